"""The mel windows of a whole sound, one for each video frame."""

from __future__ import annotations

import numpy as np

from lipstream.realtime.audio.mel import mel_spectrogram
from lipstream.realtime.lipsync.alignment import mel_columns
from training.heads import Floats


def windows_of(samples: Floats, offset: int) -> Floats:
    """Return the mel window of every frame of a sound, ``float32[frames, 80, 16]``."""
    mel = mel_spectrogram(samples)
    frames = len(samples) // 640
    windows = np.full((frames, 80, 16), -4.0, np.float32)
    for frame in range(frames):
        span = mel_columns(frame, window_offset_samples=offset)
        first, last = max(span.start, 0), min(span.stop, mel.shape[1])
        if last > first:
            windows[frame, :, first - span.start : last - span.start] = mel[:, first:last]
    return windows
