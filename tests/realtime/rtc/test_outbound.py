"""In virtual time: the tracks' clock moves only when they sleep, or when a test says so."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace

from realtime.clock import PlayoutClock
from realtime.rtc import outbound
from realtime.rtc.encoders import LiveH264Encoder, LiveVp8Encoder
from realtime.rtc.outbound import MOUTH_GRACE_S, AvatarTrack, SpeechTrack
from tests.realtime.rtc.loopback import TonePlayout


class VirtualTime:
    """Stands in for asyncio in the module of the tracks."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def time(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now_s += seconds


@pytest.fixture
def virtual(monkeypatch: pytest.MonkeyPatch) -> VirtualTime:
    virtual = VirtualTime()
    stand_in = SimpleNamespace(get_running_loop=lambda: virtual, sleep=virtual.sleep, Event=asyncio.Event)
    monkeypatch.setattr(outbound, "asyncio", stand_in)
    return virtual


@pytest.fixture
def playout(virtual: VirtualTime) -> TonePlayout:
    playout = TonePlayout()
    playout.clock = PlayoutClock(epoch_s=virtual.now_s, delay_samples=3200)
    return playout


async def test_presentation_times_come_from_the_index(playout: TonePlayout) -> None:
    speech, avatar = SpeechTrack(playout), AvatarTrack(playout)
    sound = [await speech.recv() for _ in range(4)]
    pictures = [await avatar.recv() for _ in range(3)]
    assert [f.pts for f in sound] == [960 * index for index, _ in playout.speech_sent]
    assert [f.pts for f in pictures] == [3600 * index for index, _ in playout.pictures_sent]
    assert (sound[0].sample_rate, sound[0].samples, sound[0].layout.name) == (48000, 960, "mono")
    assert sound[0].time_base.denominator == 48000
    assert pictures[0].time_base.denominator == 90000


async def test_each_unit_leaves_when_it_is_due(playout: TonePlayout) -> None:
    speech, avatar = SpeechTrack(playout), AvatarTrack(playout)
    for _ in range(50):
        await speech.recv()
    assert [index for index, _ in playout.speech_sent] == list(range(50))
    for index, now_s in playout.speech_sent:
        assert now_s == pytest.approx(playout.clock.leaves_at(320 * index), abs=1e-4)
    for _ in range(25):
        await avatar.recv()
    for index, now_s in playout.pictures_sent[1:]:
        assert now_s == pytest.approx(playout.clock.leaves_at(640 * index), abs=1e-4)


async def test_a_picture_waits_a_little_for_its_mouth_and_no_longer() -> None:
    playout = TonePlayout()
    playout.mouth_late_s = {3: 0.004, 5: 0.5}
    avatar = AvatarTrack(playout)
    for _ in range(8):
        await avatar.recv()
    late = {index: now_s - playout.clock.leaves_at(640 * index) for index, now_s in playout.pictures_sent}
    assert 0.003 < late[3] < late[5]
    assert MOUTH_GRACE_S <= late[5] < 0.1
    assert playout.skips == []


async def test_a_track_starts_at_what_is_due(playout: TonePlayout, virtual: VirtualTime) -> None:
    virtual.now_s += 100.21
    await SpeechTrack(playout).recv()
    await AvatarTrack(playout).recv()
    assert playout.speech_sent[0][0] == 100_010 // 20
    assert playout.pictures_sent[0][0] == 100_010 // 40
    assert not playout.skips


async def test_before_the_first_sample_has_left_a_track_waits_for_unit_zero(playout: TonePlayout) -> None:
    await SpeechTrack(playout).recv()
    assert playout.speech_sent == [(0, pytest.approx(1000.2, abs=1e-4))]


async def test_after_a_stall_both_tracks_skip_to_the_same_instant(playout: TonePlayout, virtual: VirtualTime) -> None:
    speech, avatar = SpeechTrack(playout), AvatarTrack(playout)
    await speech.recv()
    await avatar.recv()
    virtual.now_s += 0.5
    sound, picture = await speech.recv(), await avatar.recv()
    assert 0 <= sound.pts / 48000 - picture.pts / 90000 < 0.04
    assert playout.skips == [("speech", sound.pts // 960 - 1), ("picture", picture.pts // 3600 - 1)]


async def test_sound_a_little_late_is_sent_and_pictures_are_dropped(playout: TonePlayout, virtual: VirtualTime) -> None:
    speech, avatar = SpeechTrack(playout), AvatarTrack(playout)
    await speech.recv()
    await avatar.recv()
    virtual.now_s += 0.13
    for _ in range(6):
        await speech.recv()
    await avatar.recv()
    assert [index for index, _ in playout.speech_sent] == list(range(7))
    assert playout.pictures_sent[1][0] == 3
    assert playout.skips == [("picture", 2)]


async def test_each_picture_is_a_frame_of_its_own_and_encoding_leaves_the_cached_one_alone(
    playout: TonePlayout,
) -> None:
    same = playout.picture(0)()
    same.flags.writeable = False
    playout.picture = lambda frame: lambda: same  # type: ignore[method-assign, misc]
    avatar = AvatarTrack(playout)
    first, second = await avatar.recv(), await avatar.recv()
    assert first is not second
    for frame in (first, second):
        assert frame.pict_type == PictureType.NONE
        assert frame.colorspace == Colorspace.ITU601
        assert frame.color_range == ColorRange.MPEG
    before = same.copy()
    for encoder in (LiveVp8Encoder(), LiveH264Encoder()):
        first.pts, second.pts = 0, 3600
        assert encoder.encode(first, force_keyframe=True)[0]
        assert encoder.encode(second)[0]
    assert np.array_equal(same, before)


async def test_a_failure_is_kept_with_its_cause(playout: TonePlayout) -> None:
    playout.fail = "speech"
    track = SpeechTrack(playout)
    with pytest.raises(RuntimeError):
        await track.recv()
    assert isinstance(track.failure, RuntimeError)


async def test_an_ended_track_gives_nothing(playout: TonePlayout) -> None:
    track = AvatarTrack(playout)
    track.stop()
    with pytest.raises(MediaStreamError):
        await track.recv()
