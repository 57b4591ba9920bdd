"""The protocols of what draws mouths: faces are encoded once, mouths are predicted from mel windows.

Lipstream's own networks, published ones and models of the operator's own (docs/LIP_MODELS.md) are all behind
:class:`MouthPredictor`; the other protocols add to it.

- *In*: face crops, from which features are computed once for each frame of a clip; and for each mouth 200 ms of sound
  as a mel window, and the index of the clip's frame.
- *Out*: what the compositor paints for one frame, the pixels of the decoded region, from every predictor, or the
  region's fields, from a predictor that also has :meth:`FieldPredictor.predict_fields`.
- *Look-ahead and region*: ``metadata`` gives them, with the size and the kind of the crops. Its fingerprint names what
  was prepared.
- *Batch*: the render worker asks for up to eight mouths at once, of different sessions and avatars; for fewer if the
  predictor is a :class:`BatchedPredictor`, or after a ``MemoryError``.
- *Cost*: nothing is declared. The worker measures it before the first session, and again with every batch; admission
  counts with what was measured.
- *Features*: a :class:`WindowedPredictor` reads windows of them, and what was stored whole is cut for it.
- *Start*: a :class:`StagedPredictor` draws before it is prepared for batches.

One thread calls a predictor, in a process that holds nothing else. A predictor is stateless between calls: what belongs
to a sequence of mouths, as their steadiness, is done on their codes by the worker (:class:`CodedPredictor`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import numpy as np
import numpy.typing as npt

from lipstream.realtime.lipsync.fields import FIELDS_BYTES, PIXEL_BYTES
from lipstream.realtime.lipsync.metadata import Region, WeightsMetadata


class DeviceLostError(Exception):
    """The device cannot be used in this process; the message gives the reason."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class FaceFeatures:
    """The face encoder's output for every frame of a clip, and the crops that the copying head reads.

    Attributes:
        levels: ``float16[N, C, H, W]`` of each of its blocks, shallowest first; may be memory-mapped. Of our networks
            they are the windows that the decoded region depends on.
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


class FieldPredictor(MouthPredictor, Protocol):
    """A predictor of weights with a copying head, whose mouths are painted at the picture's own size."""

    def predict_fields(
        self, mel: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Predict the fields of mouths.

        The arguments and errors are those of :meth:`predict`.

        Returns:
            ``uint8[B, h, w, 8]``, or with fine paint ``uint8[B, h, w, 20]``: the decoded region in the layout of
            `lipstream.realtime.lipsync.fields`.
        """


@runtime_checkable
class CodedFieldPredictor(CodedPredictor, Protocol):
    """A predictor of fields that also gives codes, for weights that articulate."""

    def draw_fields(
        self, codes: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Draw the fields of codes.

        The arguments and errors are those of :meth:`draw_mouths`.

        Returns:
            ``uint8[B, h, w, 8 or 20]``, as from :meth:`FieldPredictor.predict_fields`.
        """


@runtime_checkable
class BatchedPredictor(MouthPredictor, Protocol):
    """A predictor that draws fewer mouths at once than the worker would ask for."""

    @property
    def largest_batch(self) -> int:
        """The most mouths of one call, 1 or more."""


@runtime_checkable
class StagedPredictor(MouthPredictor, Protocol):
    """A predictor that draws single mouths at once, and larger batches as one call only after :meth:`complete`."""

    def complete(self) -> None:
        """Prepare what larger batches need, which takes seconds. Another thread may draw meanwhile."""


@runtime_checkable
class WindowedPredictor(MouthPredictor, Protocol):
    """A predictor that reads, and encodes, only a window of each feature level."""

    @property
    def feature_windows(self) -> Sequence[Region]:
        """The window of each level, shallowest first, px of the level."""


def as_encoded(predictor: MouthPredictor, features: FaceFeatures) -> FaceFeatures:
    """Return features as ``encode_faces`` of a predictor gives them, without a copy.

    Earlier versions kept the levels whole.
    """
    if not isinstance(predictor, WindowedPredictor):
        return features
    levels = (
        level
        if level.shape[2:] == (window.height, window.width)
        else level[:, :, window.top : window.bottom, window.left : window.right]
        for level, window in zip(features.levels, predictor.feature_windows, strict=True)
    )
    return FaceFeatures(tuple(levels), features.crops)


LARGEST_BATCH = 8
"""Mouths of one call: more gain nothing on a CPU, and a call must end well before its worker is taken for hung."""


def largest_batch(predictor: MouthPredictor) -> int:
    """Return how many mouths one call of a predictor may ask for, 1 to :data:`LARGEST_BATCH`."""
    if not isinstance(predictor, BatchedPredictor):
        return LARGEST_BATCH
    return max(1, min(LARGEST_BATCH, predictor.largest_batch))


Draw = Callable[[npt.NDArray[np.float32], FaceFeatures, npt.NDArray[np.int64]], npt.NDArray[np.uint8]]
"""A method of a predictor that draws mouths of mel windows, or of codes."""


def draw_with(predictor: MouthPredictor) -> tuple[Draw, int]:
    """Return the method of a predictor that draws what is painted, and the bytes of one pixel of its mouths."""
    if predictor.metadata.head == "copy" and hasattr(predictor, "predict_fields"):
        return cast("FieldPredictor", predictor).predict_fields, FIELDS_BYTES[predictor.metadata.paint_scale]
    return predictor.predict, PIXEL_BYTES


def draw_codes_with(predictor: MouthPredictor) -> tuple[CodedPredictor, Draw] | None:
    """Return a predictor and its method that draws of codes what is painted; ``None`` if its codes are no mouths."""
    if not (predictor.metadata.articulates and isinstance(predictor, CodedPredictor)):
        return None
    if draw_with(predictor)[1] == PIXEL_BYTES:
        return predictor, predictor.draw_mouths
    return (predictor, predictor.draw_fields) if isinstance(predictor, CodedFieldPredictor) else None
