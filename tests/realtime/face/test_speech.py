from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lipstream.realtime.face.speech import Speech, SpeechFrame
from tests.realtime.speech import voice

RATE = 24_000
PER_FRAME = RATE // 25
OFFSET = -2440
"""Of the built-in weights: 60 ms of look-ahead."""
VOICE = voice(6.0, RATE)


def speech(rate: int = RATE, offset: int = OFFSET) -> Speech:
    return Speech(rate, window_offset_samples=offset)


def ready(speech: Speech) -> list[SpeechFrame]:
    frames = []
    while speech.ready:
        frames.append(speech.next_frame())
    return frames


def said(frames: list[SpeechFrame]) -> np.ndarray:
    """Return all sound that was pushed, of the frames that carry some."""
    return np.concatenate([np.empty(0, np.float32), *(f.sound[: f.samples] for f in frames if f.sound is not None)])


@given(
    sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=20),
    rate=st.sampled_from([8000, 11025, 16_000, 22_050, 24_000, 44_100, 48_000]),
)
@settings(max_examples=30, deadline=None)
def test_chunks_of_any_length_give_the_same_frames(sizes: list[int], rate: int) -> None:
    sound = VOICE[: sum(sizes)]
    whole, parts = speech(rate), speech(rate)
    whole.push(sound)
    whole.end()
    expected, got, start = ready(whole), [], 0
    for size in sizes:
        parts.push(sound[start : start + size])
        start += size
        got += ready(parts)
    parts.end()
    got += ready(parts)
    np.testing.assert_array_equal(said(got), sound[:start])
    np.testing.assert_array_equal(said(expected), sound)
    count = -(-start // (rate // 25))
    assert [(f.samples, f.position, f.ended) for f in got[:count]] == [
        (f.samples, f.position, f.ended) for f in expected[:count]
    ]
    for a, b in zip(got, expected, strict=False):  # the fades know more of what follows where it has come
        if a.mel is not None and b.mel is not None:
            np.testing.assert_allclose(a.mel, b.mel, atol=1e-3)


def test_the_first_frame_waits_for_the_look_ahead_alone() -> None:
    face, pushed = speech(), 0
    while not face.ready:
        face.push(VOICE[pushed : pushed + 24])
        pushed += 24
    first = face.next_frame()
    assert pushed <= 0.101 * RATE
    assert first.samples == PER_FRAME
    assert first.spoken > 0


def test_a_second_utterance_follows_without_a_gap_where_its_sound_is_there() -> None:
    face = speech()
    for _ in range(2):
        face.push(VOICE[: 25 * PER_FRAME])
        face.end()
    frames = ready(face)
    assert [f.utterance for f in frames[:50]] == [0] * 25 + [1] * 25
    assert [n for n, f in enumerate(frames) if f.ended] == [24, 49]
    assert face.resting


def test_an_utterance_that_only_began_does_not_hold_up_the_end_of_the_one_before() -> None:
    face = speech()
    face.push(VOICE[: 25 * PER_FRAME])
    face.end()
    face.push(VOICE[:100])
    frames = ready(face)
    assert [n for n, f in enumerate(frames) if f.ended] == [24]
    assert face.next_frame().sound is None
    face.push(VOICE[100:RATE])
    face.end()
    np.testing.assert_array_equal(said(ready(face)), VOICE[:RATE])


@pytest.mark.parametrize("before", [0, 10 * PER_FRAME, 10 * PER_FRAME + 1])
def test_an_empty_utterance_ends_once_and_moves_no_sound_of_the_next(before: int) -> None:
    face = speech()
    if before:
        face.push(VOICE[:before])
        face.end()
    face.end()
    face.push(VOICE[:RATE])
    face.end()
    frames = ready(face)
    ends = [(f.utterance, f.position) for f in frames if f.ended]
    assert ends == ([(0, before)] if before else []) + [(bool(before), 0), (1 + bool(before), RATE)]
    np.testing.assert_array_equal(said(frames), np.concatenate((VOICE[:before], VOICE[:RATE])))


def test_an_utterance_follows_without_a_gap_though_its_sound_came_late() -> None:
    face = speech()
    face.push(VOICE[: 25 * PER_FRAME])
    face.end()
    frames = [face.next_frame() for _ in range(24)]
    face.push(VOICE[: 25 * PER_FRAME])
    face.end()
    frames += [face.next_frame() for _ in range(26)]
    assert [f.utterance for f in frames] == [0] * 25 + [1] * 25


def test_the_mouth_of_a_frame_hears_the_sound_of_that_frame() -> None:
    """A burst after silence opens the mouth's window at the frame of the burst, also in a later utterance."""
    quiet = np.zeros(20 * PER_FRAME, np.float32)
    face, loudest = speech(), []
    for _ in range(2):
        face.push(np.concatenate((quiet, VOICE[: 20 * PER_FRAME])))
        face.end()
        frames = ready(face)
        first_loud = next(n for n, f in enumerate(frames) if f.sound is not None and np.abs(f.sound).max() > 0.01)
        first_spoken = next(n for n, f in enumerate(frames) if f.spoken > 0)
        loudest.append(first_loud - first_spoken)
    assert loudest[0] == loudest[1]
    assert 0 <= loudest[0] <= 2


def test_starved_speech_waits_and_loses_nothing() -> None:
    face = speech()
    face.push(VOICE[: RATE // 2])
    before = ready(face)
    assert not face.ready
    for _ in range(5):
        held = face.next_frame()
        assert held.sound is None
        assert held.spoken == 0
    face.push(VOICE[RATE // 2 : RATE])
    face.end()
    np.testing.assert_array_equal(said(before + ready(face)), VOICE[:RATE])


def test_clearing_says_how_much_was_handed_out_and_the_next_sound_is_said_at_once() -> None:
    face = speech()
    face.push(VOICE)
    face.push(VOICE[:0])
    frames = [face.next_frame() for _ in range(30)]
    cut = face.clear()
    assert (cut.utterance, cut.position, cut.dropped) == (0, 30 * PER_FRAME, VOICE.size - 30 * PER_FRAME)
    assert frames[-1].spoken == 1
    assert not face.ready
    assert face.resting
    assert face.clear().utterance is None
    face.push(VOICE[:RATE])
    assert face.next_frame().samples == PER_FRAME


@pytest.mark.parametrize("pushed", [8000, 16_000, 22_050, 44_100, 48_000])
def test_sound_of_any_rate_comes_out_at_the_rate_of_the_frames(pushed: int) -> None:
    face, sound = speech(), voice(1.0, pushed)
    for start in range(0, sound.size, 441):
        face.push(sound[start : start + 441], pushed)
    with pytest.raises(ValueError, match="end it before"):
        face.push(sound, 32_000)
    face.end()
    out = said(ready(face))
    assert out.size == RATE
    inner = slice(RATE // 20, -RATE // 20)
    if pushed >= 22_050:  # below, the voice has lost what lies above half the rate
        assert np.corrcoef(out[inner], VOICE[:RATE][inner])[0, 1] > 0.995
    face.push(sound, 32_000)
    with pytest.raises(ValueError, match="8000 to 192000"):
        face.push(sound, 7000)


@pytest.mark.parametrize("rate", [0, 7999, 16_001, 200_000])
def test_a_rate_without_whole_frames_is_refused(rate: int) -> None:
    with pytest.raises(ValueError, match="multiple of 25"):
        speech(rate)


@dataclass
class _Pushed:
    sound: list[np.ndarray]
    ended: bool = False


class Utterances(RuleBasedStateMachine):
    """Pushes, ends, cuts and reads in any order, against a list of what was pushed."""

    def __init__(self) -> None:
        super().__init__()
        self.face = speech()
        self.pushed: list[_Pushed] = []
        self.got: dict[int, list[np.ndarray]] = {}
        self.ends: list[int] = []
        self.cut: set[int] = set()

    def open(self) -> _Pushed:
        if not self.pushed or self.pushed[-1].ended:
            self.pushed.append(_Pushed([]))
        return self.pushed[-1]

    @rule(samples=st.integers(1, 6000), start=st.integers(0, 100_000))
    def push(self, samples: int, start: int) -> None:
        sound = VOICE[start : start + samples]
        self.face.push(sound)
        self.open().sound.append(sound)

    @rule()
    def end(self) -> None:
        self.face.end()
        self.open().ended = True

    @rule()
    def clear(self) -> None:
        said_now = max(self.got, default=-1)
        cut = self.face.clear()
        if cut.utterance is not None:
            assert cut.utterance == said_now
            assert cut.position == sum(part.size for part in self.got[said_now])
        for number, utterance in enumerate(self.pushed):
            if number not in self.ends:
                self.cut.add(number)
                utterance.ended = True

    @rule(count=st.integers(1, 30))
    def read(self, count: int) -> None:
        for _ in range(count):
            self.take(self.face.next_frame())

    def take(self, frame: SpeechFrame) -> None:
        if frame.sound is not None:
            assert frame.utterance is not None
            assert frame.utterance not in self.cut
            self.got.setdefault(frame.utterance, []).append(frame.sound[: frame.samples])
        if frame.ended:
            assert frame.utterance is not None
            self.ends.append(frame.utterance)
            assert frame.position == sum(part.size for part in self.pushed[frame.utterance].sound)

    @invariant()
    def what_is_said_was_pushed_in_this_order(self) -> None:
        assert self.ends == sorted(set(self.ends))
        for number, parts in self.got.items():
            got, pushed = np.concatenate(parts), np.concatenate(self.pushed[number].sound)
            np.testing.assert_array_equal(got, pushed[: got.size])

    def teardown(self) -> None:
        self.end()
        for frame in ready(self.face):
            self.take(frame)
        assert self.face.resting
        assert set(self.ends) | self.cut == set(range(len(self.pushed)))


TestUtterances = Utterances.TestCase
TestUtterances.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
