"""The plugin for LiveKit agents, installed into an environment of its own beside the real framework."""

import re
import statistics
from typing import Any

import pytest

from tests.integrations.environments import Environment
from tests.server_process import ROOT

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def facts(livekit_environment: Environment) -> dict[str, Any]:
    return livekit_environment.run("tests.integrations.livekit_in_process")


@pytest.fixture(scope="module")
def room(livekit_environment: Environment) -> dict[str, Any]:
    return livekit_environment.run("tests.integrations.livekit_in_room")


def kinds(seen: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in seen]


def median_off_s(interrupted: list[dict[str, Any]]) -> float:
    """Return by how much a reported position is off what was heard, s; a machine that stalls spoils single ones."""
    off_s: list[float] = [abs(seen["events"][-1]["position_s"] - seen["heard_s"]) for seen in interrupted]
    return statistics.median(off_s)


# In the agent's own process


def test_an_utterance_is_reported_from_its_first_sound_to_its_last(facts: dict[str, Any]) -> None:
    for seen in (*facts["whole"], facts["after_stall"]):
        assert kinds(seen["events"]) == ["started", "finished"]
        assert seen["events"][1]["position_s"] == pytest.approx(facts["speech_s"], abs=0.02)
        assert not seen["events"][1]["interrupted"]


def test_an_interruption_reports_how_much_was_heard(facts: dict[str, Any]) -> None:
    for seen in facts["interrupted"]:
        assert kinds(seen["events"]) == ["started", "finished"]
        assert seen["events"][1]["interrupted"]
        assert 0 < seen["events"][1]["position_s"] < facts["speech_s"]
    assert median_off_s(facts["interrupted"]) <= 0.1  # 40 ms on a quiet machine: benchmarks/integrations.py


def test_utterances_that_follow_each_other_are_reported_one_by_one(facts: dict[str, Any]) -> None:
    assert kinds(facts["following"]) == ["started", "finished"] * 2
    assert [event["position_s"] for event in facts["following"][1::2]] == pytest.approx(
        [facts["speech_s"]] * 2, abs=0.02
    )


def test_another_avatar_is_shown_in_mid_word(facts: dict[str, Any], room: dict[str, Any]) -> None:
    assert facts["avatar"] == "ben"
    assert room["shown"] == "ben"
    assert kinds(facts["switched"]["events"]) == ["started", "finished"]
    assert facts["switched"]["events"][1]["position_s"] == pytest.approx(facts["speech_s"], abs=0.02)


def test_an_agent_whose_face_fails_speaks_on(facts: dict[str, Any]) -> None:
    assert kinds(facts["failing"]["events"]) == ["started", "finished"]
    assert facts["failing"]["events"][1]["position_s"] == pytest.approx(facts["speech_s"], abs=0.06)
    assert not facts["failing"]["events"][1]["interrupted"]


def test_an_agent_whose_face_is_closed_waits_for_nothing(facts: dict[str, Any]) -> None:
    assert kinds(facts["closed"]) == ["started", "finished", "finished"]
    assert all(event["interrupted"] for event in facts["closed"][1:])
    assert 0 < facts["closed"][1]["position_s"] < facts["speech_s"]
    assert facts["closed"][2]["position_s"] == 0
    assert facts["unpublished"] == [1, 2]


def test_the_face_is_the_agents_own_and_one_layer_of_h264(facts: dict[str, Any]) -> None:
    assert facts["identity"] == "agent"
    assert facts["size"] == [512, 512]
    assert facts["codec"] == "H264"
    assert not facts["simulcast"]


def test_nothing_is_left_when_the_session_ends(facts: dict[str, Any]) -> None:
    assert facts["tasks"] == []


# In a room, with a server


def test_a_servers_face_speaks_for_the_agent_in_the_room(room: dict[str, Any]) -> None:
    assert room["on_behalf_of"] == "agent"
    assert room["kind"] == "agent"
    assert room["size"] == [512, 512]
    assert room["layers"] == [1]
    assert room["rtp_clock"] == pytest.approx(1, abs=0.1)
    assert room["server"]["state"] == "live"


def test_the_room_hears_whole_utterances_and_the_agent_is_told(room: dict[str, Any]) -> None:
    for seen in room["whole"]:
        assert kinds(seen["events"]) == ["started", "finished"]
        assert seen["events"][1]["position_s"] == pytest.approx(room["speech_s"], abs=0.02)
        assert not seen["events"][1]["interrupted"]
        assert seen["heard_s"] > room["speech_s"] / 2


def test_the_room_hears_as_much_of_an_interrupted_utterance_as_the_agent_is_told(room: dict[str, Any]) -> None:
    for seen in room["interrupted"]:
        assert kinds(seen["events"]) == ["started", "finished"]
        assert seen["events"][1]["interrupted"]
        assert 0 < seen["events"][1]["position_s"] < room["speech_s"]
    assert median_off_s(room["interrupted"]) <= 0.1


def test_utterances_without_a_gap_and_without_sound_are_reported_too(room: dict[str, Any]) -> None:
    *events, heard = room["following"]
    assert kinds(events) == ["started", "finished"] * 2
    assert [event["position_s"] for event in events[1::2]] == pytest.approx([room["speech_s"]] * 2, abs=0.02)
    assert heard["heard_s"] > room["speech_s"]
    assert room["empty"] == ['{"playback_position": 0.0, "interrupted": false}']


def test_the_framework_measures_the_face(room: dict[str, Any]) -> None:
    assert len(room["joined_s"]) == 1
    assert any(latency > 0 for latency in room["latencies_s"])


def test_the_face_leaves_with_its_agent_and_a_refusal_is_an_error(room: dict[str, Any]) -> None:
    assert room["sessions"] == []
    status, message = room["refused"]
    assert status == 400
    assert "wss://" in message


# The page


BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/LIVEKIT.md").read_text(), re.DOTALL)
AGENTS = [block for block in BLOCKS if "def entrypoint" in block]


@pytest.mark.parametrize("block", AGENTS, ids=("in_process", "by_a_server"))
def test_the_code_of_the_document_gives_an_agent_a_face(livekit_environment: Environment, block: str) -> None:
    shown = livekit_environment.call("-m", "tests.integrations.livekit_document", block)
    assert "25 pictures and the greeting" in shown


def test_other_code_of_the_document_is_for_this_framework(livekit_environment: Environment) -> None:
    for block in BLOCKS:
        if block not in AGENTS:
            livekit_environment.call("-c", block)
