"""The protocols of the back ends: faces are encoded once, mouths are predicted from mel windows."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

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


@runtime_checkable
class CodedPredictor(MouthPredictor, Protocol):
    """A predictor that also gives the code between audio encoder and face decoder, for weights that articulate.

    ``predict`` draws what ``draw_mouths`` draws of the codes from ``encode_speech``, up to rounding.
    """

    def encode_speech(self, mel: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Encode mel windows ``float32[B, 80, 16]`` as codes ``float32[B, C]``."""

    def draw_mouths(
        self, codes: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Draw the mouths of codes.

        Args:
            codes: ``float32[B, C]``.
            frames: ``int[B]``, index of the clip frame for each code.

        Returns:
            ``uint8[B, h, w, 3]``, BGR, the decoded region.

        Raises:
            MemoryError: If the device has too little memory for the batch.
            DeviceLostError: If the device fails.
        """
