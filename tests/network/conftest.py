"""One link, server and browser for all tests of the page's networks: starting them takes longer than the tests do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.network.link import NetworkLink
from tests.network.watched import Watched, served, watched


@pytest.fixture(scope="module")
def call(server_store: Path, speech_wav: Path) -> Iterator[Watched]:
    """A call over a link without faults; the server has room for one."""
    link = NetworkLink()
    try:
        with served(link, server_store, "--max-sessions", "1") as server, watched(link, server, speech_wav) as call:
            call.start()
            yield call
    finally:
        link.close()


@pytest.fixture(autouse=True)
def mend(request: pytest.FixtureRequest) -> Iterator[None]:
    """Take the faults away after each test."""
    yield
    if "call" in request.fixturenames:
        request.getfixturevalue("call").link.set()
