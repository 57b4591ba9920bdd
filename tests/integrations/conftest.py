"""The environment that two modules of tests share: it takes half a minute to install."""

from pathlib import Path

import pytest

from tests.integrations.environments import Environment


@pytest.fixture(scope="session")
def livekit_environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """LiveKit's agents with our plugin; they bring OpenAI's client."""
    return Environment(wheel, "livekit-agents>=1.8,<2", "integrations/livekit", tmp_path_factory.mktemp("livekit"))
