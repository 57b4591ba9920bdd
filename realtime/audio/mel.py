"""The mel spectrogram that the network reads, offline and streaming.

Pre-emphasis 0.97, magnitude STFT (periodic Hann, 800 points, hop 200), 80 Slaney bands from 55 to 7600 Hz with
area normalisation, ``20 log10(max(1e-5, x)) - 20`` dB, scaled from -100..0 dB to -4..4 and clipped: the analysis
of the published Wav2Lip. Column ``k`` is centred on sample ``200 k``; the signal is padded with zeros.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

from lipstream.realtime.audio.windows import windows
from lipstream.realtime.timeline import MEL_BANDS, MEL_HOP_SAMPLES, MEL_WINDOW_SAMPLES, SAMPLE_RATE_HZ

PRE_EMPHASIS = 0.97
LOWEST_HZ, HIGHEST_HZ = 55.0, 7600.0
SILENCE_LEVEL = -4.0
"""Value of every band in silence; a column of this value is the *silence column*."""

_HALF = MEL_WINDOW_SAMPLES // 2

Samples = npt.NDArray[np.float32]
Mel = npt.NDArray[np.float32]


def _hz_to_mel(hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Slaney's scale: linear below 1 kHz, 27 steps a factor of 6.4 above it."""
    return np.where(hz < 1000.0, hz * 3 / 200, 15.0 + 27.0 * np.log(np.maximum(hz, 1e-9) / 1000.0) / np.log(6.4))


def _mel_to_hz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(mel < 15.0, mel * 200 / 3, 1000.0 * np.exp(np.log(6.4) * (mel - 15.0) / 27.0))


@cache
def _filterbank() -> npt.NDArray[np.float64]:
    """Triangular bands of unit area, ``[80, 401]`` (Slaney, Auditory Toolbox, 1998)."""
    bins_hz = np.arange(MEL_WINDOW_SAMPLES // 2 + 1) * SAMPLE_RATE_HZ / MEL_WINDOW_SAMPLES
    lowest, highest = _hz_to_mel(np.array([LOWEST_HZ, HIGHEST_HZ]))
    edges_hz = _mel_to_hz(np.linspace(lowest, highest, MEL_BANDS + 2))[:, None]
    left, centre, right = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    triangles = np.minimum((bins_hz - left) / (centre - left), (right - bins_hz) / (right - centre))
    bands: npt.NDArray[np.float64] = np.maximum(0.0, triangles) * 2.0 / (right - left)
    return bands


@cache
def _hann() -> npt.NDArray[np.float64]:
    window: npt.NDArray[np.float64] = np.hanning(MEL_WINDOW_SAMPLES + 1)[:-1]
    return window


def _columns(emphasised: npt.NDArray[np.float64]) -> Mel:
    """Return all whole columns of an emphasised signal, ``[80, 1 + (n - 800) // 200]``; the first starts at 0."""
    if emphasised.size < MEL_WINDOW_SAMPLES:
        return np.empty((MEL_BANDS, 0), np.float32)
    magnitudes = np.abs(np.fft.rfft(windows(emphasised, MEL_WINDOW_SAMPLES, MEL_HOP_SAMPLES) * _hann(), axis=1))
    decibels = 20.0 * np.log10(np.maximum(1e-5, _filterbank() @ magnitudes.T)) - 20.0
    return np.minimum(np.maximum(decibels * 0.08 + 4.0, -4.0), 4.0).astype(np.float32)


class StreamingMel:
    """The mel spectrogram of a signal that arrives in chunks.

    The columns equal those of :func:`mel_spectrogram` for any chunking. The state is one sample for the pre-emphasis
    and at most 800 samples for the next column.
    """

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._previous = 0.0
        self._pending = np.zeros(_HALF)
        self._samples = 0
        self._emitted = 0

    def push(self, samples: Samples) -> Mel:
        """Take in samples and return the columns that they complete.

        Args:
            samples: ``float32[n]`` at 16 kHz, any ``n``.

        Returns:
            ``float32[80, k]``; column ``j`` of the signal is complete at sample ``200 j + 400``.
        """
        if not samples.size:
            return np.empty((MEL_BANDS, 0), np.float32)
        signal = np.concatenate(([self._previous], samples.astype(np.float64)))
        self._previous = float(signal[-1])
        self._samples += samples.size
        self._pending = np.concatenate((self._pending, signal[1:] - PRE_EMPHASIS * signal[:-1]))
        return self._emit()

    def flush(self) -> Mel:
        """Return the columns that the end of the signal completes, and reset.

        Returns:
            ``float32[80, k]``; with all pushes before it, ``1 + n // 200`` columns for ``n`` samples.
        """
        missing = 1 + self._samples // MEL_HOP_SAMPLES - self._emitted
        needed = (missing - 1) * MEL_HOP_SAMPLES + MEL_WINDOW_SAMPLES if missing else 0
        self._pending = np.pad(self._pending[:needed], (0, max(0, needed - self._pending.size)))
        columns = self._emit()
        self._reset()
        return columns

    def forget(self) -> None:
        """Replace the past signal by silence; the positions of the columns to come stay the same."""
        self._previous = 0.0
        self._pending[:] = 0.0

    def _emit(self) -> Mel:
        columns = _columns(self._pending)
        self._emitted += columns.shape[1]
        self._pending = self._pending[columns.shape[1] * MEL_HOP_SAMPLES :]
        return columns


def mel_spectrogram(samples: Samples) -> Mel:
    """Return the mel spectrogram of a whole signal.

    Args:
        samples: ``float32[n]`` at 16 kHz, nominally -1..1.

    Returns:
        ``float32[80, 1 + n // 200]`` in -4..4.
    """
    mel = StreamingMel()
    return np.concatenate((mel.push(samples), mel.flush()), axis=1)
