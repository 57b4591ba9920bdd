"""Decides for each 10 ms block of a signal whether it holds voice."""

from typing import Protocol

import numpy as np
import numpy.typing as npt
import webrtcvad

from lipstream.realtime.timeline import BLOCK_SAMPLES, SAMPLE_RATE_HZ

Sound = npt.NDArray[np.float32]


class BlockDetector(Protocol):
    """Finds the voice in a signal that arrives in chunks."""

    @property
    def pending(self) -> int:
        """Number of samples whose blocks have not been returned."""

    def push(self, samples: Sound) -> list[tuple[Sound, bool]]:
        """Take in ``float32[n]`` at 16 kHz; return each decided block with whether it is voiced."""


class VoiceDetector:
    """WebRTC's voice detector for a signal that arrives in chunks.

    Args:
        aggressiveness: WebRTC's mode, 0..3; higher modes reject more noise.
        noise_floor_db: Level below which a block holds no speech, dBFS.
    """

    def __init__(self, *, aggressiveness: int, noise_floor_db: float) -> None:
        self._vad = webrtcvad.Vad(aggressiveness)
        self._least_energy = BLOCK_SAMPLES * 10 ** (noise_floor_db / 10)
        self._pending = np.empty(0, np.float32)

    @property
    def pending(self) -> int:
        """Number of samples that wait for the rest of their block."""
        return self._pending.size

    def push(self, samples: Sound) -> list[tuple[Sound, bool]]:
        """Take in ``float32[n]`` at 16 kHz; return each completed block with whether it is voiced."""
        self._pending = np.concatenate((self._pending, samples))
        whole = self._pending.size // BLOCK_SAMPLES * BLOCK_SAMPLES
        blocks, self._pending = self._pending[:whole].reshape(-1, BLOCK_SAMPLES), self._pending[whole:]
        pcm = np.rint(np.clip(blocks, -1.0, 1.0) * 32767).astype("<i2")
        loud = np.einsum("bs,bs->b", blocks, blocks) > self._least_energy
        heard = [self._vad.is_speech(block.tobytes(), SAMPLE_RATE_HZ) for block in pcm]  # all: it adapts to noise
        return list(zip(blocks, np.logical_and(heard, loud).tolist(), strict=True))
