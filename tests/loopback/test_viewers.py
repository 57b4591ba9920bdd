"""One speaks and several watch: the same packets for all, of one encode."""

import asyncio
import re

import numpy as np
import pytest

from lipstream.realtime.errors import NotFoundError
from lipstream.realtime.session.session import Session
from lipstream.realtime.test_client.call_recording import RecordedPacket, decode_pictures
from lipstream.realtime.test_client.caller import Caller
from lipstream.realtime.test_client.click_track import voice
from lipstream.realtime.timeline import SOUND_RATE_HZ
from tests.loopback.conftest import FOREHEAD, SHADES, Callers, Serve, until

SPEECH, H264 = "audio/opus", "video/h264"


async def watch(callers: Callers, session: Session, *, video_codec: str | None = None) -> tuple[Caller, str]:
    """Return a client that watches, and its id; connected."""
    viewer = await callers.dial()
    offer = await viewer.offer()
    if video_codec:
        offer = only(offer, video_codec)
    viewer_id, answer = await session.viewers.watch(offer)
    await viewer.accept(answer)
    await until(lambda: viewer.connected and viewer.recording.picture.packets, "pictures for a viewer")
    return viewer, viewer_id


def only(offer: str, codec: str) -> str:
    """Return an offer whose codecs of pictures all have other names, but for one."""
    return re.sub(rf"(a=rtpmap:\d+) (?!{codec}|rtx|opus)[A-Za-z0-9]+/90000", r"\1 x-none/90000", offer)


def pictures(packets: list[RecordedPacket]) -> list[bytes]:
    """Return the whole pictures' payloads, each joined."""
    found, waiting = [], b""
    for packet in packets:
        waiting += packet.payload
        if packet.marker:
            found.append(waiting)
            waiting = b""
    return found


async def test_all_get_the_same_packets_of_one_encode(serve: Serve, callers: Callers) -> None:
    sessions = await serve()
    speaker, session = await callers.call(sessions, sound=voice(0, SOUND_RATE_HZ))
    viewers = [(await watch(callers, session))[0] for _ in range(4)]
    before = session.broadcast.encoded.copy()
    counts = session.playout.counts
    shown = counts.rendered + counts.idle + counts.repeated
    await until(lambda: counts.rendered > 40, "speech")
    await until(lambda: session.broadcast.encoded[H264] >= before[H264] + 40, "pictures")
    made = session.broadcast.encoded[H264] - before[H264]
    left = counts.rendered + counts.idle + counts.repeated - shown
    assert abs(made - left) <= 8, "one encode for each picture that left, a few on their way, not one for each viewer"
    assert set(session.broadcast.encoded) == {SPEECH, H264}
    await callers.hang_up()
    for stream in ("picture", "sound"):
        reference = pictures(getattr(speaker.recording, stream).packets)
        for viewer in viewers:
            got = pictures(getattr(viewer.recording, stream).packets)
            assert len(got) > 30
            start = reference.index(got[0])
            common = min(len(got), len(reference) - start)
            assert got[:common] == reference[start : start + common]


async def test_a_late_joiner_begins_with_a_key_frame_that_others_share(serve: Serve, callers: Callers) -> None:
    sessions = await serve()
    _, session = await callers.call(sessions)
    await until(lambda: session.broadcast.encoded[H264] > 20, "pictures")
    keys = session.broadcast.key_frames[H264]
    late = await asyncio.gather(*(watch(callers, session) for _ in range(3)))
    assert 1 <= session.broadcast.key_frames[H264] - keys <= 3
    await until(lambda: all(len(viewer.recording.picture.packets) > 20 for viewer, _ in late), "pictures")
    await callers.hang_up()
    for viewer, _ in late:
        stream = viewer.recording.picture
        seen = list(decode_pictures(stream))
        assert seen[0].timestamp == stream.packets[0].timestamp, "the very first packet can be decoded"
        assert abs(seen[0].luma[FOREHEAD].mean() - SHADES["ann"]) < 5


async def test_a_viewer_that_takes_nothing_that_runs_gets_an_encode_of_its_own(serve: Serve, callers: Callers) -> None:
    sessions = await serve()
    _, session = await callers.call(sessions)
    viewer, viewer_id = await watch(callers, session, video_codec="VP8")
    assert viewer.recording.picture.codec.lower() == "video/vp8"
    another, _ = await watch(callers, session, video_codec="VP8")
    await until(lambda: len(another.recording.picture.packets) > 5, "pictures")
    assert session.broadcast.encoded["video/vp8"] > 5
    await session.viewers.leave(viewer_id)
    with pytest.raises(NotFoundError):
        session.viewers.get(viewer_id)


async def test_a_viewer_that_stops_reading_costs_the_others_nothing(serve: Serve, callers: Callers) -> None:
    sessions = await serve(silence_s=4.0)
    speaker, session = await callers.call(sessions)
    dead, viewer_id = await watch(callers, session)
    alive, _ = await watch(callers, session)
    await dead.vanish()
    assert session.viewers.count == 2
    await until(lambda: session.viewers.count == 1, "notice of the dead one")
    with pytest.raises(NotFoundError):
        session.viewers.get(viewer_id)
    heard = len(alive.recording.sound.packets), len(speaker.recording.sound.packets)
    await until(lambda: len(alive.recording.sound.packets) > heard[0] + 30, "sound for the other viewer")
    numbers = np.array([packet.sequence for packet in alive.recording.sound.packets], dtype=np.int64)
    assert np.all(np.diff(numbers) % (1 << 16) == 1), "no packet was kept back or lost"
    assert session.state == "live"


async def test_a_session_goes_on_for_its_viewers_and_ends_after_them(
    serve: Serve, callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = await serve()
    session, _ = await sessions.create("ann", None)
    viewer, viewer_id = await watch(callers, session)
    assert session.state == "live"
    for limit in ("UNCLAIMED_S", "WAITING_S"):  # now, so that the viewer had time to come
        monkeypatch.setattr(f"lipstream.realtime.server.sessions.{limit}", 0.5)
    await asyncio.sleep(1.5)
    assert sessions.get(session.id) is session, "a viewer is connected, though no peer ever spoke"
    assert session.stats()["viewers"] == {"count": 1, "connected": 1, "thinned": 0}
    await session.viewers.leave(viewer_id)
    assert viewer.recording.sound.packets
    await until(lambda: sessions.count == 0, "the session's end")


async def test_a_publisher_speaks_and_viewers_see_it(serve: Serve, callers: Callers) -> None:
    sessions = await serve()
    publisher = await callers.dial(voice(0, SOUND_RATE_HZ))
    offer = (await publisher.offer()).replace("a=recvonly", "a=sendonly")
    session, answer = await sessions.publish("ann", offer)
    await publisher.accept(answer)
    viewer, _ = await watch(callers, session)
    await until(lambda: session.playout.counts.rendered > 40, "speech")
    assert not publisher.recording.picture.packets
    assert not publisher.recording.sound.packets
    assert viewer.recording.picture.packets
    await publisher.close()
    await until(lambda: sessions.count == 0, "the session's end with its publisher's")
