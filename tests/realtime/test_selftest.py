"""The self-test against a real server."""

import json
from collections.abc import Callable

import numpy as np
import pytest

from lipstream.realtime.selftest import SYLLABLE_EVERY_SOUND, main, syllables
from lipstream.realtime.test_client.click_track import click
from tests.server_process import ServerProcess, free_port

pytestmark = pytest.mark.timeout(300)


def test_each_syllable_begins_with_a_click_after_a_pause() -> None:
    sound, starts = syllables(6)
    assert len(starts) == 6
    for start in starts:
        assert start % SYLLABLE_EVERY_SOUND == 0
        assert np.array_equal(sound[start : start + len(click())], click())
        assert not sound[start - 14_400 : start].any()


def test_a_server_is_measured(start_server: Callable[..., ServerProcess], capsys: pytest.CaptureFixture[str]) -> None:
    server = start_server()
    main([server.url, "--seconds", "6", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert len(found["voice_ms"]) >= 4
    assert all(way_ms > 60 for way_ms in found["voice_ms"]), "nothing comes back before the look-ahead is over"
    assert found["mouth_ms"] > 60
    assert found["lips_ms"] is not None
    assert found["arrival_offset_ms"] is not None
    assert len(found["tail_ms"]) >= 4
    assert found["server"]["frames_rendered"] > 0
    assert "lipstream_sessions 0" in server.metrics(), "it hangs up"


def test_no_server_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"http://127.0.0.1:{free_port()}"]) == 2
    assert main(["ftp://there"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "refused" in said[0]
    assert "is no http or https address" in said[1]
