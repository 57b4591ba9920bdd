"""The video service for Pipecat bots, installed into an environment of its own beside the real framework."""

from pathlib import Path
from typing import Any

import pytest

from tests.integrations.environments import Environment

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def facts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    environment = Environment(wheel, "pipecat-ai>=1.14,<2", "integrations/pipecat", tmp_path_factory.mktemp("pipecat"))
    return environment.run("tests.integrations.pipecat_in_process")


def test_a_bot_speaks_its_utterance_with_a_face(facts: dict[str, Any]) -> None:
    (whole,) = facts["call"]["whole"]
    assert whole["heard_s"] > facts["call"]["speech_s"] - 0.2
    assert (whole["said"][0], whole["said"][-1]) == ("BotStartedSpeakingFrame", "BotStoppedSpeakingFrame")
    assert facts["call"]["size"] == [512, 512]


def test_an_interrupted_bot_is_silent_and_its_last_words_are_said(facts: dict[str, Any]) -> None:
    (interrupted,) = facts["call"]["interrupted"]
    assert interrupted["heard_s"] < facts["call"]["speech_s"] - 0.2
    assert facts["call"]["last"]["heard_s"] > facts["call"]["speech_s"] - 0.2


def test_pictures_carry_the_time_at_which_they_left(facts: dict[str, Any]) -> None:
    assert facts["call"]["rtp_clock"] == pytest.approx(1, abs=0.1)


def test_a_bot_whose_face_fails_goes_on_speaking(facts: dict[str, Any]) -> None:
    broken = facts["broken"]
    assert broken["heard_s"] > facts["broken"]["speech_s"] - 0.2
    assert broken["said"][0] == "BotStartedSpeakingFrame"
