"""The sample's file is what a browser decodes: the sound that was written, at its rate."""

from pathlib import Path

import numpy as np

from lipstream.realtime.render import read_sound
from training.sample import write_mp3


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    rate_hz = 24_000
    tone = (np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz) / 2).astype(np.float32)
    write_mp3(tmp_path / "tone.mp3", tone, rate_hz)
    read = read_sound(tmp_path / "tone.mp3")
    assert abs(read.size / 48_000 - 1) < 0.1
    spectrum = np.abs(np.fft.rfft(read))
    assert abs(np.argmax(spectrum) * 48_000 / read.size - 440) < 2
