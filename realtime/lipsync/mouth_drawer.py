"""Draws the mouths of heard speech with one predictor: as heard, or steadied and articulated."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lipstream.realtime.lipsync.mouth_code import MouthShaper, SpokenFrame
from lipstream.realtime.lipsync.predictor import FaceFeatures, MouthPredictor, draw_codes_with, draw_with


class MouthDrawer:
    """Draws mouths for the compositor, and keeps what the mouths of each stream need of the ones before.

    Attributes:
        pixel_bytes: Bytes of one pixel of a mouth: 3 for BGR, 8 or 20 for fields.
    """

    def __init__(self, predictor: MouthPredictor) -> None:
        self._draw, self.pixel_bytes = draw_with(predictor)
        self._coded = draw_codes_with(predictor)
        self._shaper = MouthShaper()

    def draw(
        self,
        spoken: Sequence[SpokenFrame],
        mel: npt.NDArray[np.float32],
        features: FaceFeatures,
        frames: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.uint8]:
        """Draw a batch of mouths. One that fails may come again, whole or in parts.

        Args:
            spoken: Whose mouth each is; those of a stream in order. Weights whose code is no mouth ignore it.
            mel: ``float32[B, 80, 16]``.
            frames: ``int[B]``, index of the clip frame for each window.

        Returns:
            ``uint8[B, h, w, 3]`` BGR or ``uint8[B, h, w, 8 or 20]`` fields, the decoded region.

        Raises:
            MemoryError: If the device has too little memory for the batch.
            DeviceLostError: If the device fails.
        """
        if self._coded is None:
            return self._draw(mel, features, frames)
        predictor, draw = self._coded
        codes, last = self._shaper.shape(predictor.encode_speech(mel), spoken)
        mouths = draw(codes, features, frames)
        self._shaper.keep(last)
        return mouths
