import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.audio.resample import Resampler

RATES = [8000, 16000, 22050, 24000, 32000, 44100, 48000]


def _all(resampler: Resampler, samples: np.ndarray) -> np.ndarray:
    return np.concatenate((resampler.push(samples), resampler.flush()))


@given(
    rate_in=st.sampled_from(RATES),
    rate_out=st.sampled_from([16000, 48000]),
    pieces=st.lists(st.integers(0, 2000), max_size=10),
)
def test_streaming_equals_offline_for_any_chunking(rate_in: int, rate_out: int, pieces: list[int]) -> None:
    samples = np.random.default_rng(1).standard_normal(sum(pieces)).astype(np.float32)
    resampler, output, position = Resampler(rate_in, rate_out), [], 0
    for piece in pieces:
        output.append(resampler.push(samples[position : position + piece]))
        position += piece
    output.append(resampler.flush())
    streamed = np.concatenate(output)
    assert len(streamed) == -(-len(samples) * rate_out // rate_in)
    np.testing.assert_allclose(streamed, _all(Resampler(rate_in, rate_out), samples), atol=1e-5)


@pytest.mark.parametrize("rate_in", RATES)
@pytest.mark.parametrize("rate_out", [16000, 48000])
def test_a_tone_keeps_its_position_and_level(rate_in: int, rate_out: int) -> None:
    tone_in = np.sin(2 * np.pi * 1000 * np.arange(rate_in) / rate_in).astype(np.float32)
    tone_out = np.sin(2 * np.pi * 1000 * np.arange(rate_out) / rate_out)
    middle = slice(rate_out // 10, -rate_out // 10)
    np.testing.assert_allclose(_all(Resampler(rate_in, rate_out), tone_in)[middle], tone_out[middle], atol=3e-3)


def test_what_16_khz_cannot_hold_is_removed() -> None:
    tone = np.sin(2 * np.pi * 10_000 * np.arange(48000) / 48000).astype(np.float32)
    assert np.abs(_all(Resampler(48000, 16000), tone)[1000:-1000]).max() < 1e-3


def test_a_click_stays_on_its_sample() -> None:
    click = np.zeros(4800, np.float32)
    click[2400] = 1.0
    assert int(np.argmax(_all(Resampler(48000, 16000), click))) == 800
