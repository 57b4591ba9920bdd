"""Sessions in rooms: real sessions, with a stand-in for LiveKit's client (its own is in ``tests/integrations``)."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from lipstream.realtime.errors import BadRequestError, ConflictError
from lipstream.realtime.rooms import incoming_stream, participant
from lipstream.realtime.rooms.participant import CLEAR, FINISHED, STARTED, STREAM_TOPIC, RoomPlace
from lipstream.realtime.rooms.rooms import Rooms, check_address
from lipstream.realtime.rooms.utterances import MOST_WAITING
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.session.session import Session
from lipstream.realtime.settings import Settings
from lipstream.realtime.sinks.stream_targets import StreamTargets
from tests.realtime.fakes import make_store, worker_settings
from tests.realtime.rooms import fake_livekit
from tests.realtime.rooms.fake_livekit import ByteStream, RpcError

PLACE = RoomPlace("ws://127.0.0.1:7880", "a token", "agent")
WAIT_S = 60


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


def speech(seconds: float, rate: int = 24_000, channels: int = 1) -> bytes:
    wave = 9_000 * np.sin(2 * np.pi * 200 * np.arange(round(rate * seconds)) / rate)
    return np.repeat(wave.astype("<i2"), channels).tobytes()


def heard(seconds: float) -> list[Any]:
    """Return what equals the report of a whole utterance."""
    return [(pytest.approx(seconds, abs=0.001), False)]


@pytest.fixture
def rooms_made(monkeypatch: pytest.MonkeyPatch) -> list[fake_livekit.Room]:
    return fake_livekit.install(monkeypatch).made


@pytest.fixture
async def rooms(tmp_path: Path, no_built_in_avatars: None, rooms_made: Any) -> AsyncIterator[Rooms]:
    store = make_store(tmp_path, {"ann": 60})
    settings = Settings(store=store.root, picture_workers=0, push_to=("127.0.0.1",))
    sessions = Sessions(settings, worker_settings(store, "FakePredictor"))
    await sessions.start()
    rooms = Rooms(sessions)
    yield rooms
    await rooms.close()
    await sessions.close()


class Agent:
    """The agent's side of a room."""

    def __init__(self, room: fake_livekit.Room, session: Session) -> None:
        self.room, self.session = room, session

    @property
    def called(self) -> list[tuple[str, str, str]]:
        return self.room.local_participant.called

    def say(self, *chunks: bytes | Exception | None, identity: str = "agent", **attributes: str) -> ByteStream:
        stream = ByteStream(**attributes).write(*chunks)
        self.room.streams[STREAM_TOPIC](stream, identity)
        return stream

    def clear(self, identity: str = "agent") -> str:
        answer: str = self.room.local_participant.methods[CLEAR](SimpleNamespace(caller_identity=identity))
        return answer

    async def finished(self, count: int = 1) -> list[tuple[float, bool]]:
        """Wait for reports of an end; return positions in seconds, and whether they were interrupted."""
        await until(lambda: sum(method == FINISHED for _, method, _ in self.called) >= count)
        told = [json.loads(payload) for _, method, payload in self.called if method == FINISHED]
        return [(one["playback_position"], one["interrupted"]) for one in told]

    def source(self, name: str) -> Any:
        tracks = [track for track, _ in self.room.local_participant.published]
        return next((source for named, source in tracks if named == name), None)


@pytest.fixture
async def agent(rooms: Rooms, rooms_made: list[fake_livekit.Room]) -> Agent:
    session = await rooms.join("ann", PLACE)
    there = Agent(rooms_made[0], session)
    await until(lambda: len(there.room.local_participant.published) == 2)
    return there


async def test_a_face_says_what_its_agent_sends_and_tells_what_was_heard(agent: Agent) -> None:
    assert agent.room.place == (PLACE.url, PLACE.token)
    agent.say(speech(0.3), speech(0.2)[:-1], speech(0.2)[-1:], None)
    assert await agent.finished() == heard(0.5)
    assert [(who, what) for who, what, _ in agent.called] == [("agent", STARTED), ("agent", FINISHED)]
    sound = np.frombuffer(b"".join(agent.source("avatar_audio").sound), np.int16)
    loud = np.flatnonzero(np.abs(sound) > 1_000)
    assert loud[-1] - loud[0] == pytest.approx(0.5 * 48_000, abs=300)


async def test_pictures_are_published_as_they_were_encoded(agent: Agent) -> None:
    video = agent.source("avatar_video")
    options = agent.room.local_participant.published[0][1]
    assert (options.simulcast, options.video_codec, options.video_encoder) == (False, "h264", "as it is")
    assert vars(options.video_encoding) == {"max_framerate": 25, "max_bitrate": 2_000_000}
    await until(lambda: len(video.pictures) >= 5)
    assert video.pictures[0].kind == "key"
    decoder = av.CodecContext.create("h264", "r")
    shown = [frame for one in video.pictures[:5] for frame in decoder.decode(av.Packet(one.data))]
    assert len(shown) == 5
    assert {(frame.width, frame.height) for frame in shown} == {video.size, video.pictures[0].size}
    steps = np.diff([one.timestamp_us for one in video.pictures])
    assert set(np.round(steps / 40_000, 3)) <= {1.0, 2.0, 3.0, 4.0}
    keys = sum(one.kind == "key" for one in video.pictures)
    video.asks_for_key = True
    await until(lambda: sum(one.kind == "key" for one in video.pictures) > keys)


async def test_a_bitrate_is_followed_up_to_a_limit(agent: Agent) -> None:
    video = agent.source("avatar_video")
    (publication,) = agent.session.broadcast._pictures.subscribers["video/h264"]
    for asked, followed in ((300_000, 300_000), (9_000_000, 2_000_000)):
        video.target_bitrate = asked
        async with asyncio.timeout(WAIT_S):
            while publication.bitrate != followed:
                await asyncio.sleep(0.01)


async def test_an_interruption_ends_all_that_was_sent(agent: Agent) -> None:
    first = agent.say(speech(4), None)
    await until(lambda: agent.called)
    waiting = agent.say(speech(1), None)
    open_still = agent.say(speech(0.1))
    assert agent.clear() == "ok"
    open_still.write(speech(1), None)
    told = await agent.finished(3)
    assert [interrupted for _, interrupted in told] == [True] * 3
    assert 0 < told[0][0] < 4
    assert [position for position, _ in told[1:]] == [0, 0]
    await until(lambda: first.closed and waiting.closed and open_still.closed)
    agent.say(speech(0.2), None)
    assert (await agent.finished(4))[3:] == heard(0.2)


@pytest.mark.parametrize(
    ("attributes", "seconds"),
    [
        ({"sample_rate": "48000", "num_channels": "2"}, 0.3),
        ({"sample_rate": "8000", "num_channels": "1"}, 0.3),
        ({"sample_rate": "a few", "num_channels": "1"}, 0),
        ({"sample_rate": "24000", "num_channels": "0"}, 0),
        ({"num_channels": "1"}, 0),
    ],
)
async def test_sound_of_any_rate_is_said_and_what_is_none_is_over(
    agent: Agent, attributes: dict[str, str], seconds: float
) -> None:
    rate, channels = (48_000, 2) if attributes["num_channels"] == "2" else (8_000, 1)
    agent.say(speech(0.3, rate, channels), None, **attributes)
    assert await agent.finished() == heard(seconds)


async def test_a_stream_whose_end_is_lost_is_over(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    agent.say(speech(0.1))
    agent.say(speech(0.1), ConnectionError())
    monkeypatch.setattr(incoming_stream, "IDLE_S", 0.1)
    agent.say(speech(0.1))
    assert await agent.finished(3) == heard(0.1) * 3


async def test_of_utterances_without_end_only_so_many_are_taken(agent: Agent) -> None:
    flood = [agent.say(speech(0.1)) for _ in range(4 * MOST_WAITING)]
    assert [stream.closed for stream in flood].count(True) == 3 * MOST_WAITING
    assert agent.clear() == "ok"
    assert len(await agent.finished(MOST_WAITING)) == MOST_WAITING
    assert not agent.say(speech(0.1), None).closed


async def test_of_sound_that_comes_faster_than_it_is_said_only_so_much_waits(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(incoming_stream, "MOST_HELD_BYTES", 48_000)
    long = agent.say(*[speech(0.5)] * 1000)
    await until(lambda: long.closed)
    assert "more sound than may wait" in caplog.text
    ((said_s, interrupted),) = await agent.finished()
    assert 1 <= said_s < 4
    assert not interrupted
    agent.say(speech(0.5), None)
    assert (await agent.finished(2))[1:] == heard(0.5), "what was said made room"


@pytest.mark.parametrize("event", ["data_received", "participant_attributes_changed"])
async def test_a_flood_of_any_participant_ends_that_face_alone(
    rooms: Rooms, rooms_made: list[fake_livekit.Room], caplog: pytest.LogCaptureFixture, event: str
) -> None:
    flooded, other = await rooms.join("ann", PLACE), await rooms.join("ann", PLACE)
    for number in range(participant.MESSAGES_BURST - 10):
        rooms_made[0].callbacks[event](number)
    assert not flooded.closed
    for number in range(10 + participant.MESSAGES_BURST):
        rooms_made[0].callbacks[event](number)
    await until(lambda: flooded.closed)
    assert not rooms_made[0].isconnected()
    assert not other.closed
    assert caplog.text.count("the face leaves its room") == 1


async def test_a_room_that_does_not_let_go_keeps_no_session(
    rooms: Rooms, agent: Agent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(participant, "LEAVE_S", 0.05)
    agent.room.keeps = True
    agent.room.remote_participants.clear()
    monkeypatch.setattr(participant, "ABSENT_S", 0.05)
    await until(lambda: agent.session.closed)
    assert "could not leave its room" in caplog.text
    agent.room.keeps = False
    await rooms.close()


async def test_nobody_but_the_agent_is_listened_to(agent: Agent) -> None:
    stream = agent.say(speech(0.1), None, identity="guest")
    assert stream.closed
    assert agent.clear("guest") == "reject"
    agent.say(None)
    assert await agent.finished() == [(0, False)]
    assert [what for _, what, _ in agent.called] == [FINISHED]


async def test_a_report_that_fails_is_repeated_unless_it_is_not_wanted(agent: Agent) -> None:
    agent.room.local_participant.refuse = RpcError(1501)
    agent.say(None)
    assert len(await agent.finished()) == 1
    agent.room.local_participant.refuse = RpcError(RpcError.ErrorCode.UNSUPPORTED_METHOD)
    agent.say(speech(0.1), None)
    await agent.finished(2)
    assert STARTED not in [what for _, what, _ in agent.called]


async def test_the_face_leaves_when_its_agent_is_gone(
    rooms: Rooms, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(participant, "ABSENT_S", 0.2)
    agent.room.remote_participants.clear()
    await until(lambda: not agent.room.isconnected() and agent.session.gone)
    assert rooms._sessions.all() == []
    assert agent.source("avatar_video").closed
    assert agent.source("avatar_audio").closed


async def test_the_face_leaves_when_its_session_ends(rooms: Rooms, agent: Agent) -> None:
    waiting = agent.say(speech(0.1))
    await rooms._sessions.delete(agent.session.id)
    await until(lambda: not agent.room.isconnected() and not rooms._staying)
    assert waiting.closed


async def test_another_program_may_take_over(rooms: Rooms, agent: Agent) -> None:
    agent.session.speech.take_program(16_000)
    await until(lambda: not agent.room.isconnected() and not rooms._staying)


async def test_a_fault_of_the_client_ends_the_session(
    rooms: Rooms, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("the client is broken")

    monkeypatch.setattr(agent.source("avatar_audio"), "capture_frame", fail)
    await until(lambda: agent.session.gone and not rooms._staying)


async def test_a_room_that_refuses_leaves_no_session(rooms: Rooms) -> None:
    with pytest.raises(BadRequestError, match="cannot be joined"):
        await rooms.join("ann", RoomPlace("ws://127.0.0.1:7880/refused", "a token", "agent"))
    assert rooms._sessions.count == 0


async def test_without_the_client_a_sentence_says_what_to_install(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "livekit.rtc", None)
    with pytest.raises(ConflictError, match=r"a room of LiveKit needs livekit: pip install .*livekit"):
        await rooms.join("ann", PLACE)


async def test_a_room_needs_an_encoder_for_h264(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipstream.realtime.rooms.rooms.picture_codecs", lambda: ("video/vp8",))
    with pytest.raises(ConflictError, match=r"H\.264"):
        await rooms.join("ann", PLACE)


@pytest.mark.parametrize(
    ("url", "listed", "is_allowed"),
    [
        ("wss://127.0.0.1:7880", ("127.0.0.1",), True),
        ("ws://127.0.0.1:7880", ("127.0.0.1",), True),
        ("wss://127.0.0.1", (), False),
        ("wss://192.0.2.1", (), False),
        ("wss://9.9.9.9", (), True),
        ("ws://9.9.9.9", (), False),
        ("https://127.0.0.1", ("127.0.0.1",), False),
        ("wss://", ("127.0.0.1",), False),
        ("wss", (), False),
    ],
)
async def test_rooms_are_where_streams_may_go(url: str, listed: tuple[str, ...], *, is_allowed: bool) -> None:
    if is_allowed:
        await check_address(url, StreamTargets.of(listed))
        return
    with pytest.raises(BadRequestError, match="wss://"):
        await check_address(url, StreamTargets.of(listed))


def test_a_token_is_not_shown() -> None:
    assert "a token" not in repr(PLACE)
