"""Sound files for tests."""

import wave
from pathlib import Path

import numpy as np


def write_wav(path: Path, sound: np.ndarray, rate: int = 48000) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.rint(np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
