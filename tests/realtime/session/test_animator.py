import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipstream.avatar_cache.motion_graph import Loop
from lipstream.realtime.audio.mel import mel_spectrogram
from lipstream.realtime.lipsync.alignment import look_ahead_samples, mel_columns, samples_needed
from lipstream.realtime.packets import PcmChunk, RenderJob
from lipstream.realtime.session.animator import FADE_OUT_FRAMES, JUMP_SAMPLES, Animator, ClipLoop
from tests.realtime.speech import silence, voice

LOOP = ClipLoop(50, "seamless")
OFFSETS = [-2600, -640, 0]


def _feed(animator: Animator, sound: np.ndarray, piece: int = 160) -> list[RenderJob]:
    jobs = []
    for start in range(0, len(sound), piece):
        jobs += animator.push(PcmChunk(animator.position, sound[start : start + piece]))
    return jobs


@pytest.mark.parametrize("kind", ["seamless", "pingpong"])
@pytest.mark.parametrize("frames", [1, 2, 7])
def test_loops_repeat_without_a_jump(kind: Loop, frames: int) -> None:
    shown = [ClipLoop(frames, kind).clip_frame(n) for n in range(60)]
    assert set(shown) == set(range(frames))
    steps = {abs(a - b) for a, b in itertools.pairwise(shown)}
    assert steps <= ({0, 1} if kind == "pingpong" else {0, 1, frames - 1})


@pytest.mark.parametrize("offset", OFFSETS)
def test_look_ahead_is_the_longest_wait(offset: int) -> None:
    waits = [samples_needed(n, window_offset_samples=offset) - 640 * n for n in range(100)]
    assert max(waits) == look_ahead_samples(offset)
    assert waits[:5] == waits[5:10], "the pattern repeats every five frames"


@given(pieces=st.lists(st.integers(1, 4000), min_size=1, max_size=20), offset=st.sampled_from(OFFSETS))
@settings(deadline=None, max_examples=40)
def test_jobs_do_not_depend_on_the_chunking_and_windows_are_the_offline_mel(pieces: list[int], offset: int) -> None:
    total = max(sum(pieces), 16000)
    sound = np.concatenate((silence(0.3), voice(2), silence(1), voice(1)))[:total]
    whole = Animator(LOOP, window_offset_samples=offset).push(PcmChunk(0, sound))
    animator, jobs, position = Animator(LOOP, window_offset_samples=offset), [], 0
    for piece in [*pieces, total]:
        jobs += animator.push(PcmChunk(position, sound[position : position + piece]))
        position = min(len(sound), position + piece)
    assert [j.frame for j in jobs] == list(range(len(jobs)))
    assert len(jobs) == len(whole)
    offline = np.pad(mel_spectrogram(sound), ((0, 0), (16, 0)), constant_values=-4)
    for job in jobs:
        assert (job.mel is None) == (job.spoken == 0)
        if job.mel is not None:
            columns = mel_columns(job.frame, window_offset_samples=offset)
            np.testing.assert_allclose(job.mel, offline[:, columns.start + 16 : columns.stop + 16], atol=1e-5)


@pytest.mark.parametrize("offset", OFFSETS)
def test_speech_is_shown_from_its_first_sound_to_its_last_sample(offset: int) -> None:
    jobs = _feed(Animator(LOOP, window_offset_samples=offset), np.concatenate((silence(1), voice(1.5), silence(2))))
    spoken = np.array([job.spoken for job in jobs])
    first, last = 16000 // 640, 40000 // 640
    assert (spoken[first + 1 : last] == 1).all()
    assert spoken[first] > 0
    assert (spoken[: first - 4] == 0).all()
    assert (spoken[last + 12 :] == 0).all(), "no model call once the mouth is at rest"


def test_the_fade_has_no_jump() -> None:
    sound = np.concatenate((silence(0.7), voice(0.6), silence(0.5), voice(0.4), silence(1)))
    spoken = np.array([job.spoken for job in _feed(Animator(LOOP, window_offset_samples=-2600), sound)])
    assert np.abs(np.diff(spoken)).max() <= 0.5
    assert spoken.max() == 1


def test_idle_costs_no_model_call() -> None:
    jobs = _feed(Animator(LOOP, window_offset_samples=-2600), silence(10))
    assert len(jobs) >= 248
    assert all(job.mel is None and job.spoken == 0 for job in jobs)
    assert [job.clip_frame for job in jobs] == [n % 50 for n in range(len(jobs))]


def test_interrupt_shuts_the_mouth_and_later_speech_is_spoken() -> None:
    animator = Animator(LOOP, window_offset_samples=-2600)
    jobs = _feed(animator, np.concatenate((silence(0.5), voice(1.5))))
    first = jobs[-1].frame - 2  # three decided frames have not left
    changed = animator.interrupt(first)
    assert [job.frame for job in changed] == [first, first + 1, first + 2]
    later = _feed(animator, silence(0.4))
    spoken = [job.spoken for job in changed + later]
    assert all(a > b or a == b == 0 for a, b in zip([1.0, *spoken], spoken, strict=False))
    assert spoken[FADE_OUT_FRAMES - 1 :] == [0.0] * (len(spoken) - FADE_OUT_FRAMES + 1)
    assert max(job.spoken for job in _feed(animator, voice(1))) == 1


def test_a_mouth_continues_the_one_before_except_after_rest_an_interruption_and_a_jump() -> None:
    animator = Animator(LOOP, window_offset_samples=-2600)
    jobs = _feed(animator, np.concatenate((silence(0.5), voice(1), silence(1), voice(1))))
    spoken = [job.spoken > 0 for job in jobs]
    assert [job.continues for job in jobs[1:]] == spoken[:-1]
    animator.interrupt(jobs[-1].frame - 2)
    later = _feed(animator, voice(0.5))
    assert not later[0].continues
    animator.jump(-(-animator.position // JUMP_SAMPLES) * JUMP_SAMPLES)
    assert not _feed(animator, voice(0.5))[0].continues


def test_sound_before_an_interrupt_is_not_in_the_windows_after_it() -> None:
    animator = Animator(LOOP, window_offset_samples=0)
    jobs = _feed(animator, voice(1))
    animator.interrupt(jobs[-1].frame)
    windows = [job.mel for job in _feed(animator, silence(0.5)) if job.mel is not None]
    assert windows
    assert all((window == -4).all() for window in windows)


def test_a_jump_keeps_frames_and_columns_aligned() -> None:
    animator = Animator(LOOP, window_offset_samples=-2600)
    _feed(animator, voice(0.5))
    animator.jump(5 * JUMP_SAMPLES)
    sound = voice(1)
    jobs = _feed(animator, sound)
    assert jobs[0].frame == 25
    offline = np.pad(mel_spectrogram(sound), ((0, 0), (200, 0)), constant_values=-4)
    spoken = [(job.frame, job.mel) for job in jobs if job.mel is not None]
    assert spoken
    for frame, mel in spoken:
        start = mel_columns(frame, window_offset_samples=-2600).start - 80 + 200
        np.testing.assert_allclose(mel, offline[:, start : start + 16], atol=1e-5)
    with pytest.raises(ValueError, match="cannot jump"):
        animator.jump(100 * JUMP_SAMPLES + 1)
    with pytest.raises(ValueError, match="was next"):
        animator.push(PcmChunk(0, sound))


@pytest.mark.parametrize("follows", [False, True])
def test_stress_is_measured_for_clips_that_show_it(follows: bool) -> None:
    animator = Animator(ClipLoop(50, "seamless", follows_stress=follows), window_offset_samples=-640)
    jobs = _feed(animator, np.concatenate((0.2 * voice(2), voice(0.5), silence(1))))
    assert any(job.stress > 0 for job in jobs) is follows
