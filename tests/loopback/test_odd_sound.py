"""Any sound may come, in any pieces: what leaves is what came, sample for sample, or as much as was sound."""

from collections.abc import Iterator

import numpy as np
import pytest

from lipstream.realtime.audio.resample import Resampler
from lipstream.realtime.test_client.click_track import voice
from lipstream.realtime.timeline import SOUND_RATE_HZ
from tests.loopback.virtual import EPOCH_S, VirtualSession

SECONDS = 3.0


def pieces(sound: np.ndarray, rate: int, chunk: int) -> Iterator[tuple[float, int, np.ndarray]]:
    """Yield what a live source of ``rate`` pushes: seconds since its start, position and sound at 48 kHz."""
    resampler, position = Resampler(rate, SOUND_RATE_HZ), 0
    for start in range(0, sound.size, chunk):
        part = sound[start : start + chunk]
        out = resampler.push(part)
        if start + chunk >= sound.size:
            out = np.concatenate((out, resampler.flush()))
        yield (start + part.size) / rate, position, out
        position += out.size


def speech(rate: int) -> np.ndarray:
    """Return speech whose first and last sample are not silence."""
    times = np.arange(int(SECONDS * rate)) / rate
    sound = voice(0, int(SECONDS * SOUND_RATE_HZ))
    return (0.9 * np.interp(times, np.arange(sound.size) / SOUND_RATE_HZ, sound) + 0.02).astype(np.float32)


def pcm(sound: np.ndarray) -> np.ndarray:
    rounded: np.ndarray = np.rint(np.clip(sound, -1, 1) * 32767)
    return rounded.astype(np.int16)


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("chunk_ms", [1, 7, 10, 20, 50, 200])
def test_nothing_is_lost_or_changed(rate: int, chunk_ms: int) -> None:
    events = list(pieces(speech(rate), rate, rate * chunk_ms // 1000))
    session = VirtualSession()
    session.run(events, SECONDS + 1)
    came = pcm(np.concatenate([sound for _, _, sound in events]))
    start = int(np.flatnonzero(session.left)[0]) - int(np.flatnonzero(came)[0])
    assert came.size == SECONDS * SOUND_RATE_HZ
    assert np.array_equal(session.left[start : start + came.size], came)
    assert not session.left[start + came.size :].any()
    counts = session.session.speech.source.counts
    assert (counts.filled, counts.dropped, counts.corrections) == (0, 0, 0)
    assert counts.underruns == 1, "only its end"
    assert session.spoken_frames > 0.9 * SECONDS * 25
    assert session.submitted_at == {session.session.decides_at}


def test_a_gap_is_silence_of_its_own_length() -> None:
    events = list(pieces(speech(48000), 48000, 960))
    came = np.concatenate([sound for _, _, sound in events])
    for lost in (30, 31, 80, *range(100, 110)):
        came[lost * 960 : (lost + 1) * 960] = 0
    kept = [event for index, event in enumerate(events) if index not in {30, 31, 80, *range(100, 110)}]
    session = VirtualSession()
    session.run(kept, SECONDS + 1)
    start = int(np.flatnonzero(session.left)[0]) - int(np.flatnonzero(came)[0])
    assert np.array_equal(session.left[start : start + came.size], pcm(came))
    assert session.session.speech.source.counts.dropped == 0


def test_silence_asks_for_no_mouth() -> None:
    session = VirtualSession()
    session.run(pieces(np.zeros(48000 * 2, np.float32), 48000, 960), 3)
    assert session.spoken_frames == 0
    assert session.submitted == 0
    assert not session.left.any()


def test_what_is_no_number_is_silence_and_what_is_too_loud_is_clipped() -> None:
    sound = speech(48000) * 4
    sound[10_000:20_000:7] = np.nan
    sound[30_000:40_000:5] = np.inf
    sound[50_000:60_000:3] = -np.inf
    events = list(pieces(sound, 48000, 480))
    session = VirtualSession()
    session.run(events, SECONDS + 1)
    wanted = pcm(np.where(np.isfinite(sound), sound, 0))
    assert np.abs(wanted).max() == 32767
    start = int(np.flatnonzero(session.left)[0]) - int(np.flatnonzero(wanted)[0])
    assert np.array_equal(session.left[start : start + wanted.size], wanted)


def test_a_source_that_only_sends_what_is_no_number_is_silent() -> None:
    session = VirtualSession()
    session.run(pieces(np.full(48000, np.nan, np.float32), 48000, 960), 2)
    assert not session.left.any()
    assert session.submitted == 0


def test_positions_may_jump_repeat_and_go_back() -> None:
    sound = speech(48000)[:960]
    positions = [0, 0, 960, 480, 10**12, 10**12 + 960, 5, 965, -(10**9), 2**63, 2**63 + 960]
    events = [(0.02 * (index + 1), position, sound) for index, position in enumerate(positions)]
    events += [(0.3 + 0.02 * index, 7, np.zeros(0, np.float32)) for index in range(3)]
    session = VirtualSession()
    session.run(events, 1.5)
    assert session.left.any()
    assert not session.left[SOUND_RATE_HZ:].any()


def test_ten_seconds_at_once_are_bounded_by_what_comes_next() -> None:
    session = VirtualSession()
    long = np.full(10 * SOUND_RATE_HZ, 0.5, np.float32)
    after = np.full(960, 0.25, np.float32)
    events = [(0.1, 0, long)] + [(0.2 + 0.02 * index, long.size + 960 * index, after) for index in range(50)]
    session.run(events, 2)
    assert session.session.speech.source.counts.dropped > 9 * SOUND_RATE_HZ
    first = int(np.flatnonzero(session.left == pcm(after)[0])[0])
    assert first < (0.2 + 0.2) * SOUND_RATE_HZ


@pytest.mark.parametrize("chunk_ms", [5, 10, 20])
async def test_what_follows_an_interruption_at_once_has_its_margin(chunk_ms: int) -> None:
    events = list(pieces(speech(48000), 48000, 48 * chunk_ms))
    came = pcm(np.concatenate([sound for at_s, _, sound in events if at_s > 1]))
    session = VirtualSession()
    session.run(events, SECONDS + 1, interrupt_s=1.0 + chunk_ms / 1000 - 0.001)
    counts = session.session.speech.source.counts
    end = int(np.flatnonzero(session.left)[-1]) + 1
    assert np.array_equal(session.left[end - came.size : end], came)
    assert (counts.underruns, counts.corrections) == (1, 0)


def test_pauses_without_a_peer_leave_no_frames_behind() -> None:
    session = VirtualSession()
    for _ in range(5):
        begins_s = session.now_s - EPOCH_S
        events = [(begins_s + at_s, position, sound) for at_s, position, sound in pieces(speech(48000), 48000, 960)]
        session.run(events, begins_s + 3)
        session.now_s += 60
    playout = session.session.playout
    assert len(playout._jobs) <= 64
    assert len(playout._arrivals) <= 64
