"""A predictor that is slower than its sessions speak."""

import time

import numpy as np

from tests.realtime.fakes import FakePredictor

JOB_S = 0.03


class SlowPredictor(FakePredictor):
    """Takes 30 ms for a mouth, in a batch too: what one session needs, and less than two do."""

    def draw(self, mouth: np.ndarray, window: np.ndarray) -> None:
        time.sleep(JOB_S)
        super().draw(mouth, window)
