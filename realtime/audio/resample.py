"""Resampling that keeps sample positions.

A windowed sinc in polyphase form without delay on the timeline: output sample ``k`` stands for input position
``k * rate_in / rate_out`` exactly. The price is a wait for half the filter (0.75 ms from 48 to 16 kHz).
"""

import math
from functools import cache

import numpy as np
import numpy.typing as npt

from lipstream.realtime.audio.windows import windows

Samples = npt.NDArray[np.float32]

_ZERO_CROSSINGS = 12
_KAISER_BETA = 7.0
_ROLL_OFF = 0.92


@cache
def _polyphase(up: int, down: int) -> Samples:
    """Return ``float32[up, taps]``: row ``p`` weighs the inputs around a position ``p / up`` past a sample."""
    cutoff = _ROLL_OFF * min(1.0, up / down)
    half = math.ceil(_ZERO_CROSSINGS / cutoff)
    distance = np.arange(1 - half, half + 1) - np.arange(up)[:, None] / up
    window = np.i0(_KAISER_BETA * np.sqrt(np.maximum(0.0, 1 - (distance / half) ** 2))) / np.i0(_KAISER_BETA)
    taps = cutoff * np.sinc(cutoff * distance) * window
    normalised: Samples = (taps / taps.sum(axis=1, keepdims=True)).astype(np.float32)
    return normalised


class Resampler:
    """Converts mono sound from one rate to another, in chunks of any length.

    Args:
        rate_in: Input rate, Hz.
        rate_out: Output rate, Hz.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        divisor = math.gcd(rate_in, rate_out)
        self._up, self._down = rate_out // divisor, rate_in // divisor
        self._taps = _polyphase(self._up, self._down)
        self._half = self._taps.shape[1] // 2
        self._reset()

    def _reset(self) -> None:
        self._buffer = np.zeros(self._half - 1, np.float32)
        self._first = 1 - self._half  # input position of the buffer's first sample
        self._next = 0  # next output position

    def push(self, samples: Samples) -> Samples:
        """Take in ``float32[n]`` and return the output samples that are complete."""
        if self._up == self._down:
            return samples
        self._buffer = np.concatenate((self._buffer, samples))
        received = self._first + self._buffer.size
        # Output k reads the inputs up to floor(k * down / up) + half.
        end = max(self._next, -(-(received - self._half) * self._up // self._down))
        return self._emit(end)

    def flush(self) -> Samples:
        """Return the remaining output, ``ceil(n * rate_out / rate_in)`` samples in all, and reset."""
        if self._up == self._down:
            return np.empty(0, np.float32)
        received = self._first + self._buffer.size
        self._buffer = np.pad(self._buffer, (0, self._half))
        rest = self._emit(-(-received * self._up // self._down))
        self._reset()
        return rest

    def _emit(self, end: int) -> Samples:
        if end <= self._next:
            return np.empty(0, np.float32)
        output: Samples
        if self._up == 1:  # all outputs use the same weights
            start = self._next * self._down - self._half + 1 - self._first
            evenly = windows(self._buffer[start:], 2 * self._half, self._down)[: end - self._next]
            output = np.einsum("kt,t->k", evenly, self._taps[0])
        else:
            positions = np.arange(self._next, end) * self._down
            starts = positions // self._up - self._half + 1 - self._first
            inputs = windows(self._buffer, 2 * self._half, 1)[starts]
            output = np.einsum("kt,kt->k", inputs, self._taps[positions % self._up])
        self._next = end
        keep_from = end * self._down // self._up - self._half + 1 - self._first
        self._buffer = self._buffer[keep_from:]
        self._first += keep_from
        return output
