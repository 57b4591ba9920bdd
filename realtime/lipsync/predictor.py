"""The protocol of the back ends: faces are encoded once, mouths are predicted from mel windows.

A mouth is what the compositor paints for one frame: the pixels of the decoded region, from every predictor, or the
region's fields, from a predictor that also has :meth:`FieldPredictor.predict_fields`. ``metadata`` gives the look-ahead
and the region; the render worker chooses the batches, up to eight mouths, and measures their cost.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from lipstream.realtime.lipsync.fields import FIELD_BYTES, PIXEL_BYTES
from lipstream.realtime.lipsync.metadata import WeightsMetadata


class DeviceLostError(Exception):
    """The device cannot be used in this process; the message gives the reason."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class FaceFeatures:
    """The face encoder's output for every frame of a clip, and the crops that the copying head reads.

    Attributes:
        levels: ``float16[N, C, H, W]`` of each of its blocks, shallowest first; may be memory-mapped.
        crops: ``uint8[N, size, size, 3]``, BGR.
    """

    levels: tuple[npt.NDArray[np.float16], ...]
    crops: npt.NDArray[np.uint8]


class MouthPredictor(Protocol):
    """One loaded network on one device."""

    @property
    def device(self) -> str:
        """Device of the network: ``cpu``, ``cuda`` or ``cuda:N``."""

    @property
    def metadata(self) -> WeightsMetadata:
        """The metadata of the loaded weights."""

    def encode_faces(self, crops: npt.NDArray[np.uint8]) -> FaceFeatures:
        """Encode face crops, ``uint8[N, size, size, 3]`` BGR."""

    def predict(
        self, mel: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Predict mouths.

        Args:
            mel: ``float32[B, 80, 16]``.
            frames: ``int[B]``, index of the clip frame for each window.

        Returns:
            ``uint8[B, h, w, 3]``, BGR, the decoded region.

        Raises:
            MemoryError: If the device has too little memory for the batch.
            DeviceLostError: If the device fails.
        """


class FieldPredictor(MouthPredictor, Protocol):
    """A predictor of weights with a copying head, whose mouths are painted at the picture's own size."""

    def predict_fields(
        self, mel: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Predict the fields of mouths.

        The arguments and errors are those of :meth:`predict`.

        Returns:
            ``uint8[B, h, w, 8]``, the decoded region in the layout of `lipstream.realtime.lipsync.fields`.
        """


Predict = Callable[[npt.NDArray[np.float32], FaceFeatures, npt.NDArray[np.int64]], npt.NDArray[np.uint8]]


def draw_with(predictor: MouthPredictor) -> tuple[Predict, int]:
    """Return the method of a predictor that draws what is painted, and the bytes of one pixel of its mouths."""
    if predictor.metadata.head == "copy" and hasattr(predictor, "predict_fields"):
        return cast("FieldPredictor", predictor).predict_fields, FIELD_BYTES
    return predictor.predict, PIXEL_BYTES
