import itertools

import numpy as np
import pytest

from lipstream.realtime.clock import PlayoutClock, Send, Skip, Wait, pace
from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.packets import RenderJob
from lipstream.realtime.picture.compositor import Compositor
from lipstream.realtime.picture.i420 import bgr_to_i420, planes
from lipstream.realtime.picture.mouth_painter import Box
from lipstream.realtime.session.animator import ClipLoop
from lipstream.realtime.session.playout import PlayoutBuffer

REGION = Region(48, 96, 16, 80)
WINDOW = np.zeros((80, 16), np.float32)


@pytest.fixture
def playout() -> PlayoutBuffer:
    frames = np.stack([bgr_to_i420(np.full((96, 96, 3), 100, np.uint8))] * 4)
    rest = np.full((4, 48, 64, 3), 100, np.uint8)
    compositor = Compositor(frames, rest, (Box(0, 0, 96, 96),) * 4, REGION, 96)
    return PlayoutBuffer(PlayoutClock(0.0, 1600), compositor, ClipLoop(4, "seamless"))


def _mouth(playout: PlayoutBuffer, frame: int) -> int:
    """The brightness of the mouth in a frame's picture, over that of the face at rest."""
    luma = planes(playout.picture(frame)())[0]
    playout.sent_picture(frame, 0.0)
    return int(luma[72, 48]) - int(luma[4, 4])


def _speak(playout: PlayoutBuffer, frames: range, *, late: tuple[int, ...] = ()) -> None:
    playout.add_jobs(RenderJob(n, n % 4, 1.0, WINDOW) for n in frames)
    for n in frames:
        if n not in late:
            playout.add_mouth(n, np.full((48, 64, 3), 200, np.uint8))


def test_the_clock_is_one_straight_line_and_pacing_follows_it() -> None:
    clock = PlayoutClock(100.0, 1600)
    assert clock.leaves_at(0) == 100.1
    assert clock.left(100.1) == 0
    options = {"unit_samples": 640, "late_limit_samples": 640}
    waits = pace(clock, 0, now_s=100.05, **options)
    assert isinstance(waits, Wait)
    assert waits.seconds == pytest.approx(0.05)
    assert pace(clock, 0, now_s=100.12, **options) == Send(0)
    assert pace(clock, 0, now_s=100.65, **options) == Skip(13)
    assert pace(clock, 13, now_s=100.65, **options) == Send(13)


def test_speech_leaves_as_it_entered_and_what_is_not_there_is_silence(playout: PlayoutBuffer) -> None:
    sound = np.linspace(-1, 1, 3000, dtype=np.float32)
    playout.add_speech(sound[:1000])
    playout.add_speech(sound[1000:])
    left = np.concatenate([playout.speech(packet) for packet in range(4)])
    np.testing.assert_array_equal(left[:3000], np.rint(sound * 32767).astype(np.int16))
    assert not left[3000:].any()
    assert playout.counts.underruns == 1
    playout.skip_speech(96_000)
    playout.add_speech(sound[:960])
    assert not playout.speech(99).any()
    assert playout.speech(100).any()


def test_a_late_mouth_repeats_once_and_then_goes_to_rest(playout: PlayoutBuffer) -> None:
    _speak(playout, range(20), late=tuple(range(5, 12)))
    shown = [_mouth(playout, n) for n in range(20)]
    assert shown[1:5] == [shown[4]] * 4
    assert shown[5] == shown[4], "the first late one repeats"
    assert shown[8:12] == [0] * 4, "then the mouth is at rest"
    assert shown[13:] == [shown[4]] * 7, "and comes back"
    assert max(abs(a - b) for a, b in itertools.pairwise(shown)) <= shown[4] * 0.55, "without a jump"
    assert (playout.counts.rendered, playout.counts.repeated, playout.counts.idle) == (13, 7, 0)


def test_idle_frames_are_counted_and_a_mouth_for_a_frame_that_left_is_ignored(playout: PlayoutBuffer) -> None:
    playout.add_jobs(RenderJob(n, n % 4, 0.0, None) for n in range(5))
    assert [_mouth(playout, n) for n in range(5)] == [0] * 5
    playout.add_mouth(2, np.full((48, 64, 3), 200, np.uint8))
    assert _mouth(playout, 5) == 0
    assert playout.counts.idle == 6


def test_an_interrupt_silences_what_has_not_left_without_a_click(playout: PlayoutBuffer) -> None:
    playout.add_speech(np.full(9600, 0.5, np.float32))
    for packet in range(3):
        playout.speech(packet)
        playout.sent_speech(packet, 0.1 + packet * 0.02)
    playout.sent_picture(1, 0.14)
    sample, frame = playout.interrupt(0.15)
    assert (sample, frame) == (3 * 320, 2)
    rest = np.concatenate([playout.speech(packet) for packet in range(3, 10)]).astype(int)
    assert not rest[240:].any()
    assert np.abs(np.diff(rest)).max() < 200
    playout.sent_speech(3, 0.16)
    assert list(playout.interrupt_tail_ms) == [pytest.approx(10)]


def test_figures_of_what_leaves(playout: PlayoutBuffer) -> None:
    _speak(playout, range(3))
    playout.note_arrival(2, 9.95)
    for frame in range(3):
        playout.picture(frame)()
        playout.sent_speech(2 * frame, 10.0 + frame * 0.04)
        playout.sent_picture(frame, 10.005 + frame * 0.04)
    assert list(playout.mouth_latency_ms) == [pytest.approx(135)]
    assert list(playout.av_offset_ms) == [pytest.approx(5)] * 3
    playout.skipped("picture", 3)
    playout.skipped("speech", 3)
    assert playout.counts.dropped == 3


def test_another_avatar_begins_with_its_mouth_at_rest(playout: PlayoutBuffer) -> None:
    _speak(playout, range(10))
    assert _mouth(playout, 3) > 0
    playout.show(playout.compositor, ClipLoop(2, "pingpong"))
    assert _mouth(playout, 4) == 0


def test_an_interrupt_when_nothing_was_sent_for_long_costs_nothing(playout: PlayoutBuffer) -> None:
    playout.skip_speech(48_000 * 3600)
    sample, frame = playout.interrupt(3600.0 + 0.1)
    assert (sample, frame) == (16_000 * 3600, 25 * 3600)


def test_what_is_never_shown_is_forgotten(playout: PlayoutBuffer) -> None:
    for frame in range(0, 3000, 3):
        _speak(playout, range(frame, frame + 1))
        playout.note_arrival(frame, 0.0)
    assert max(len(playout._jobs), len(playout._mouths), len(playout._arrivals)) <= 64


def test_the_first_mouth_of_an_utterance_is_never_that_of_the_last_one(playout: PlayoutBuffer) -> None:
    _speak(playout, range(5))
    playout.add_jobs(RenderJob(n, n % 4, 0.0, None) for n in range(5, 12))
    _speak(playout, range(12, 16), late=(12,))
    shown = [_mouth(playout, n) for n in range(16)]
    assert shown[12] == 0
    assert 0 < shown[13] <= 0.55 * shown[15]


def test_a_mouth_that_is_to_come_is_told_of_once_it_has(playout: PlayoutBuffer) -> None:
    came: list[int] = []
    window = np.zeros((80, 16), np.float32)
    playout.add_jobs([RenderJob(0, 0, 0.0, None), *(RenderJob(frame, 0, 1.0, window) for frame in range(1, 6))])
    assert not playout.await_mouth(0, lambda: came.append(0))  # at rest
    assert playout.await_mouth(1, lambda: came.append(1))
    playout.add_mouth(2, np.zeros((REGION.height, REGION.width, 3), np.uint8))
    assert came == []
    playout.add_mouth(1, np.zeros((REGION.height, REGION.width, 3), np.uint8))
    assert came == [1]
    assert not playout.await_mouth(2, lambda: came.append(2))  # there already
    assert playout.await_mouth(3, lambda: came.append(3))
    playout.picture(3)
    playout.sent_picture(3, 0.0)
    assert not playout.await_mouth(4, lambda: came.append(4))  # the last one never came
    playout.add_mouth(3, np.zeros((REGION.height, REGION.width, 3), np.uint8))
    assert playout.await_mouth(4, lambda: came.append(4))  # it was only late
    assert came == [1]


def test_mouths_that_come_a_frame_late_are_shown_a_frame_late(playout: PlayoutBuffer) -> None:
    _speak(playout, range(12), late=tuple(range(4, 12)))
    on_time = [_mouth(playout, frame) for frame in range(4)][-1]
    shown = []
    for frame in range(4, 12):
        shown.append(_mouth(playout, frame))
        playout.add_mouth(frame, np.full((48, 64, 3), 200 + 6 * (frame - 3), np.uint8))
    brighter = 6 * 219 / 255
    assert shown == [pytest.approx(on_time + brighter * late, abs=2) for late in range(8)]
    assert playout.counts.repeated == 8
