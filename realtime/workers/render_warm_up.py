"""Draws mouths nobody asked for: then the first real ones take no longer than the next, and their cost is known."""

import time

import numpy as np

from lipstream.realtime.audio.mel import SILENCE_LEVEL
from lipstream.realtime.lipsync.mouth_code import SpokenFrame
from lipstream.realtime.lipsync.mouth_drawer import MouthDrawer
from lipstream.realtime.lipsync.predictor import FaceFeatures
from lipstream.realtime.timeline import MEL_BANDS, WINDOW_COLUMNS
from lipstream.realtime.workers.render_messages import MouthCost

TRIED_BATCHES = (1, 2, 4)
"""Sizes of the batches that measure the cost of a mouth before the first session."""
_NO_STREAM = -1
"""Stream of mouths that nobody asked for."""


def warm_up(drawer: MouthDrawer, features: FaceFeatures, largest: int) -> MouthCost:
    """Draw batches of doubling size once, since back ends compile for those; then measure the cost of a mouth.

    Args:
        largest: Largest size of a batch, 1 or more.
    """
    size = 1
    while size < 2 * largest:
        _draw_silence(drawer, features, min(size, largest))
        size *= 2
    cpu_s, begun_s = time.process_time(), time.perf_counter()
    tried = [min(size, largest) for size in TRIED_BATCHES]
    for size in tried:
        _draw_silence(drawer, features, size)
    took_s = time.perf_counter() - begun_s
    return MouthCost(sum(tried), time.process_time() - cpu_s, took_s)


def _draw_silence(drawer: MouthDrawer, features: FaceFeatures, size: int) -> None:
    silence = np.full((size, MEL_BANDS, WINDOW_COLUMNS), SILENCE_LEVEL, np.float32)
    spoken = [SpokenFrame(_NO_STREAM, 0, continues=False, articulation=1.0)] * size
    drawer.draw(spoken, silence, features, np.zeros(size, np.int64))
