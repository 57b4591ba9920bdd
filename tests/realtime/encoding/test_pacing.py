"""In virtual time: the pacers' clock moves only when they sleep, or when a test says so."""

import asyncio
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace

from lipstream.realtime.clock import PlayoutClock
from lipstream.realtime.encoding import pacing
from lipstream.realtime.encoding.encoders import LiveH264Encoder, LiveVp8Encoder
from lipstream.realtime.encoding.pacing import MOUTH_GRACE_S, PicturePacer, SpeechPacer, picture_frame, speech_frame
from tests.realtime.rtc.loopback import TonePlayout


class VirtualTime:
    """Stands in for asyncio in the module of the pacers."""

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
    monkeypatch.setattr(pacing, "asyncio", stand_in)
    return virtual


@pytest.fixture
def playout(virtual: VirtualTime) -> TonePlayout:
    playout = TonePlayout()
    playout.clock = PlayoutClock(epoch_s=virtual.now_s, delay_samples=3200)
    return playout


def test_presentation_times_come_from_the_index() -> None:
    playout = TonePlayout()
    sound, picture = speech_frame(7, playout.speech(7)), picture_frame(5, playout.picture(5)())
    assert (sound.pts, picture.pts) == (960 * 7, 3600 * 5)
    assert (sound.sample_rate, sound.samples, sound.layout.name) == (48000, 960, "mono")
    assert sound.time_base == Fraction(1, 48000)
    assert picture.time_base == Fraction(1, 90000)


async def test_each_unit_leaves_when_it_is_due(playout: TonePlayout) -> None:
    speech, pictures = SpeechPacer(playout), PicturePacer(playout)
    for _ in range(50):
        await speech.next()
    assert [index for index, _ in playout.speech_sent] == list(range(50))
    for index, now_s in playout.speech_sent:
        assert now_s == pytest.approx(playout.clock.leaves_at(320 * index), abs=1e-4)
    for _ in range(25):
        await pictures.next()
    for index, now_s in playout.pictures_sent[1:]:
        assert now_s == pytest.approx(playout.clock.leaves_at(640 * index), abs=1e-4)


async def test_a_picture_waits_a_little_for_its_mouth_and_no_longer() -> None:
    playout = TonePlayout()
    playout.mouth_late_s = {3: 0.004, 5: 0.5}
    pictures = PicturePacer(playout)
    for _ in range(8):
        await pictures.next()
    late = {index: now_s - playout.clock.leaves_at(640 * index) for index, now_s in playout.pictures_sent}
    assert late[3] > 0.003
    assert MOUTH_GRACE_S <= late[5] < playout.mouth_late_s[5]
    assert playout.skips == []


@pytest.mark.parametrize(("left_ms", "packet"), [(100_008, 100_020), (100_010, 100_040), (100_029, 100_040)])
async def test_a_pacer_starts_at_what_is_due_and_speech_after_a_tick(
    playout: TonePlayout, virtual: VirtualTime, left_ms: int, packet: int
) -> None:
    virtual.now_s += 0.2 + left_ms / 1000
    await PicturePacer(playout).next()
    await SpeechPacer(playout).next()
    assert playout.pictures_sent[0][0] == 100_000 // 40
    assert playout.speech_sent[0][0] == packet // 20
    assert not playout.skips


async def test_before_the_first_sample_has_left_a_pacer_waits_for_unit_zero(playout: TonePlayout) -> None:
    await SpeechPacer(playout).next()
    ((packet, sent_s),) = playout.speech_sent
    assert packet == 0
    assert sent_s == pytest.approx(1000.2, abs=1e-4)


async def test_after_a_stall_both_skip_to_the_same_instant(playout: TonePlayout, virtual: VirtualTime) -> None:
    speech, pictures = SpeechPacer(playout), PicturePacer(playout)
    await speech.next()
    await pictures.next()
    virtual.now_s += 0.5
    (packet, _), (picture, _) = await speech.next(), await pictures.next()
    assert 0 <= packet * 20 - picture * 40 < 40
    assert playout.skips == [("speech", packet - 1), ("picture", picture - 1)]


async def test_sound_a_little_late_is_sent_and_pictures_are_dropped(playout: TonePlayout, virtual: VirtualTime) -> None:
    speech, pictures = SpeechPacer(playout), PicturePacer(playout)
    await speech.next()
    await pictures.next()
    virtual.now_s += 0.13
    for _ in range(6):
        await speech.next()
    await pictures.next()
    assert [index for index, _ in playout.speech_sent] == list(range(7))
    assert playout.pictures_sent[1][0] == 3
    assert playout.skips == [("picture", 2)]


def test_each_picture_is_a_frame_of_its_own_and_encoding_leaves_the_cached_one_alone() -> None:
    same = TonePlayout().picture(0)()
    same.flags.writeable = False
    before = same.copy()
    for encoder in (LiveVp8Encoder(), LiveH264Encoder()):
        first, second = picture_frame(0, same), picture_frame(1, same)
        for frame in (first, second):
            assert frame.pict_type == PictureType.NONE
            assert frame.colorspace == Colorspace.ITU601
            assert frame.color_range == ColorRange.MPEG
        assert encoder.encode(first, force_keyframe=True)[0]
        assert encoder.encode(second)[0]
    assert np.array_equal(same, before)


async def test_a_failure_comes_out_where_it_is_waited_for(playout: TonePlayout) -> None:
    playout.fail = "speech"
    with pytest.raises(RuntimeError):
        await SpeechPacer(playout).next()
