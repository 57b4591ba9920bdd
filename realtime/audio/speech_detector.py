"""Finds speech among other sounds: WebRTC's detector dates it to 10 ms, Silero's network says whether it is a voice."""

from collections import deque

import numpy as np

from lipstream.realtime.audio.silero import WINDOW_SAMPLES, SileroNetwork
from lipstream.realtime.audio.voice_detector import Sound, VoiceDetector
from lipstream.realtime.timeline import BLOCK_SAMPLES

LEAST_PROBABILITY = 0.35
"""Of a voice in the window that holds a block, or in the next one: the network hears soft beginnings late."""


class SpeechDetector:
    """Decides for each 10 ms block whether it is speech. A block is decided with the window that holds its end.

    Args:
        aggressiveness: WebRTC's mode, 0..3.
        noise_floor_db: Level below which a block holds no speech, dBFS.
    """

    def __init__(self, *, aggressiveness: int, noise_floor_db: float) -> None:
        self._dating = VoiceDetector(aggressiveness=aggressiveness, noise_floor_db=noise_floor_db)
        self._network = SileroNetwork()
        self._window = np.empty(0, np.float32)
        self._blocks: deque[tuple[Sound, bool]] = deque()
        self._decided = 0  # samples that windows cover beyond the blocks that were returned

    @property
    def pending(self) -> int:
        """Number of samples whose blocks have not been returned."""
        return len(self._blocks) * BLOCK_SAMPLES + self._dating.pending

    def push(self, samples: Sound) -> list[tuple[Sound, bool]]:
        """Take in ``float32[n]`` at 16 kHz; return each decided block with whether it is speech."""
        self._blocks.extend(self._dating.push(samples))
        self._window = np.concatenate((self._window, samples))
        decided: list[tuple[Sound, bool]] = []
        while self._window.size >= WINDOW_SAMPLES:
            is_voice = self._network.probability(self._window[:WINDOW_SAMPLES]) >= LEAST_PROBABILITY
            self._window = self._window[WINDOW_SAMPLES:]
            self._decided += WINDOW_SAMPLES
            while self._decided >= BLOCK_SAMPLES and self._blocks:
                block, sounds = self._blocks.popleft()
                self._decided -= BLOCK_SAMPLES
                decided.append((block, sounds and is_voice))
        return decided
