"""Maps video frames to the mel columns that the network reads for them."""

from lipstream.realtime.errors import shown
from lipstream.realtime.timeline import MEL_HOP_SAMPLES, MEL_WINDOW_SAMPLES, WINDOW_COLUMNS, frame_to_sample

PUBLISHED_OFFSET_SAMPLES = -640
"""The window of the published weights opens one video frame early."""
MOST_LOOK_AHEAD_SAMPLES = 16_000
"""Longest wait for a window to be complete, a second: what is heard later does not shape a mouth."""


def mel_columns(frame_index: int, *, window_offset_samples: int) -> slice:
    """Return the mel columns the network reads for one video frame.

    The offset belongs to the weights: it is the start of the window relative to the frame's first sample that they were
    trained with. An earlier window needs less look-ahead.

    Args:
        frame_index: Video frame on the session's timeline, from 0.
        window_offset_samples: Samples (16 kHz) from the frame's start to the window's.

    Returns:
        Half-open slice over the time axis of a ``[80, T]`` spectrogram, 16 columns long. It may start below 0:
        such columns are silence.
    """
    start = (frame_to_sample(frame_index) + window_offset_samples) // MEL_HOP_SAMPLES
    return slice(start, start + WINDOW_COLUMNS)


def samples_needed(frame_index: int, *, window_offset_samples: int) -> int:
    """Return how many samples must have arrived before the window of ``frame_index`` is complete."""
    first = (frame_to_sample(frame_index) + window_offset_samples) // MEL_HOP_SAMPLES
    last = first + WINDOW_COLUMNS - 1
    return last * MEL_HOP_SAMPLES + MEL_WINDOW_SAMPLES // 2


def look_ahead_samples(window_offset_samples: int) -> int:
    """Return the longest wait from a frame's first sample until its window is complete, in samples.

    The window's start falls on a column for one frame in five; the others wait up to 160 samples less.
    """
    return window_offset_samples + (WINDOW_COLUMNS - 1) * MEL_HOP_SAMPLES + MEL_WINDOW_SAMPLES // 2


def window_fault(window_offset_samples: int) -> str | None:
    """Return what is wrong with an offset of weights, in words; ``None`` for one that can be."""
    wait = look_ahead_samples(window_offset_samples)
    if wait < 0:
        return f"a window offset of {shown(str(window_offset_samples), 20)} ends before its frame"
    if wait > MOST_LOOK_AHEAD_SAMPLES:
        most = window_offset_samples - wait + MOST_LOOK_AHEAD_SAMPLES
        return f"a window offset of {shown(str(window_offset_samples), 20)} waits too long, expected {most} at most"
    return None
