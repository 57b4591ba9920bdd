import librosa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.audio.mel import StreamingMel, mel_spectrogram


def _noise(length: int, seed: int = 0, scale: float = 0.3) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(length) * scale).astype(np.float32)


def _librosa_mel(samples: np.ndarray) -> np.ndarray:
    """The same analysis written with librosa."""
    emphasised = librosa.effects.preemphasis(samples.astype(np.float64), coef=0.97, zi=[0.0])
    magnitudes = np.abs(librosa.stft(emphasised, n_fft=800, hop_length=200, win_length=800, pad_mode="constant"))
    bands = librosa.filters.mel(sr=16000, n_fft=800, n_mels=80, fmin=55, fmax=7600, dtype=np.float64) @ magnitudes
    decibels = 20 * np.log10(np.maximum(1e-5, bands)) - 20
    mel: np.ndarray = np.clip(8 * (decibels + 100) / 100 - 4, -4, 4)
    return mel


@pytest.mark.parametrize("length", [800, 801, 16000, 17333])
@pytest.mark.parametrize("scale", [1e-6, 1e-3, 0.3, 3.0])
def test_offline_mel_equals_librosa(length: int, scale: float) -> None:
    samples = _noise(length, scale=scale)
    mel = mel_spectrogram(samples)
    assert mel.shape == (80, 1 + length // 200)
    np.testing.assert_allclose(mel, _librosa_mel(samples), atol=1e-4)


@given(pieces=st.lists(st.integers(0, 3000), max_size=12), seed=st.integers(0, 99))
def test_streaming_equals_offline_for_any_chunking(pieces: list[int], seed: int) -> None:
    samples = _noise(sum(pieces), seed)
    mel, position, columns = StreamingMel(), 0, []
    for piece in pieces:
        columns.append(mel.push(samples[position : position + piece]))
        position += piece
        done = sum(c.shape[1] for c in columns)
        assert done == max(0, 1 + (position - 400) // 200), "a column comes as soon as its window is complete"
    columns.append(mel.flush())
    streamed = np.concatenate(columns, axis=1)
    assert streamed.shape == (80, 1 + len(samples) // 200)
    np.testing.assert_allclose(streamed, mel_spectrogram(samples), atol=1e-5)


def test_flush_starts_anew() -> None:
    samples = _noise(5000)
    mel = StreamingMel()
    first = np.concatenate((mel.push(samples), mel.flush()), axis=1)
    second = np.concatenate((mel.push(samples), mel.flush()), axis=1)
    np.testing.assert_array_equal(first, second)


def test_silence_and_forgotten_sound_give_the_silence_column() -> None:
    assert (mel_spectrogram(np.zeros(4000, np.float32)) == -4).all()
    mel = StreamingMel()
    mel.push(_noise(4000))
    mel.forget()
    assert (mel.push(np.zeros(4000, np.float32)) == -4).all()
