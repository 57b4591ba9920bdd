"""Speech-like sound for tests that need no words."""

import numpy as np
import numpy.typing as npt


def voice(seconds: float, rate: int = 16000, pitch_hz: float = 120.0) -> npt.NDArray[np.float32]:
    """A buzz with syllables: four openings a second, what the voice detector takes for speech."""
    t = np.arange(int(rate * seconds)) / rate
    buzz = np.sum([np.sin(2 * np.pi * pitch_hz * k * t) / (1 + abs(k - 5)) for k in range(1, 25)], axis=0)
    sound: npt.NDArray[np.float64] = 0.15 * buzz * (0.55 - 0.45 * np.cos(2 * np.pi * 4 * t))
    return sound.astype(np.float32)


def silence(seconds: float, rate: int = 16000) -> npt.NDArray[np.float32]:
    return np.zeros(int(rate * seconds), np.float32)
