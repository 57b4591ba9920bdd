import asyncio
import time

import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace

from realtime.clock import PlayoutClock
from realtime.rtc.outbound import AvatarTrack, SpeechTrack
from tests.realtime.rtc.loopback import TonePlayout


async def test_presentation_times_come_from_the_index() -> None:
    playout = TonePlayout()
    speech, avatar = SpeechTrack(playout), AvatarTrack(playout)
    sound = [await speech.recv() for _ in range(4)]
    pictures = [await avatar.recv() for _ in range(3)]
    assert [f.pts for f in sound] == [960 * index for index, _ in playout.speech_sent]
    assert [f.pts for f in pictures] == [3600 * index for index, _ in playout.pictures_sent]
    assert (sound[0].sample_rate, sound[0].samples, sound[0].layout.name) == (48000, 960, "mono")
    assert sound[0].time_base.denominator == 48000
    assert pictures[0].time_base.denominator == 90000


async def test_nothing_leaves_before_it_is_due() -> None:
    playout = TonePlayout()
    speech, avatar = SpeechTrack(playout), AvatarTrack(playout)
    for _ in range(5):
        await speech.recv()
        await avatar.recv()
    assert all(now_s >= playout.clock.leaves_at(320 * index) - 1e-4 for index, now_s in playout.speech_sent)
    assert all(now_s >= playout.clock.leaves_at(640 * index) - 1e-4 for index, now_s in playout.pictures_sent)


async def test_a_track_starts_at_what_is_due() -> None:
    playout = TonePlayout()
    playout.clock = PlayoutClock(epoch_s=time.monotonic() - 100, delay_samples=0)
    speech, avatar = SpeechTrack(playout), AvatarTrack(playout)
    await speech.recv()
    await avatar.recv()
    due = playout.clock.left(time.monotonic())
    assert 0 <= due - 320 * playout.speech_sent[0][0] < 16000
    assert 0 <= due - 640 * playout.pictures_sent[0][0] < 16000
    assert not playout.skips


async def test_before_the_first_sample_has_left_a_track_waits_for_unit_zero() -> None:
    playout = TonePlayout()
    await SpeechTrack(playout).recv()
    assert playout.speech_sent[0][0] == 0


async def test_after_a_stall_both_tracks_skip_to_the_same_instant() -> None:
    playout = TonePlayout()
    speech, avatar = SpeechTrack(playout), AvatarTrack(playout)
    await speech.recv()
    await avatar.recv()
    time.sleep(0.5)  # noqa: ASYNC251 - the stall
    sound, picture = await speech.recv(), await avatar.recv()
    assert abs(sound.pts / 48000 - picture.pts / 90000) <= 0.06
    assert {kind for kind, _ in playout.skips} == {"speech", "picture"}
    assert dict(playout.skips)["picture"] == playout.pictures_sent[1][0] - playout.pictures_sent[0][0] - 1


async def test_sound_a_little_late_is_sent_and_pictures_are_dropped() -> None:
    playout = TonePlayout()
    speech, avatar = SpeechTrack(playout), AvatarTrack(playout)
    await speech.recv()
    await avatar.recv()
    time.sleep(0.13)  # noqa: ASYNC251 - the stall
    await speech.recv()
    await avatar.recv()
    assert playout.speech_sent[1][0] == playout.speech_sent[0][0] + 1
    assert playout.pictures_sent[1][0] >= playout.pictures_sent[0][0] + 3


async def test_each_picture_is_a_frame_of_its_own() -> None:
    playout = TonePlayout()
    same = playout.picture(0)
    playout.picture = lambda frame: same  # type: ignore[method-assign, misc]
    avatar = AvatarTrack(playout)
    first, second = await avatar.recv(), await avatar.recv()
    assert first is not second
    for frame in (first, second):
        assert frame.pict_type == PictureType.NONE
        assert frame.colorspace == Colorspace.ITU601
        assert frame.color_range == ColorRange.MPEG
    before = same.copy()
    first.planes[0].update(bytes(first.planes[0].buffer_size))
    assert np.array_equal(same, before)
    assert np.array_equal(second.to_ndarray(), before)


async def test_a_failure_is_kept_with_its_cause() -> None:
    playout = TonePlayout()
    playout.fail = "speech"
    track = SpeechTrack(playout)
    with pytest.raises(RuntimeError):
        await track.recv()
    assert isinstance(track.failure, RuntimeError)


async def test_an_ended_track_gives_nothing() -> None:
    track = AvatarTrack(TonePlayout())
    track.stop()
    with pytest.raises(MediaStreamError):
        await track.recv()


async def test_waiting_can_be_cancelled() -> None:
    playout = TonePlayout()
    playout.clock = PlayoutClock(epoch_s=time.monotonic() + 100, delay_samples=0)
    waiting = asyncio.create_task(AvatarTrack(playout).recv())
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
