"""The CUDA back end: torch, faces resident on the device, one CUDA graph for each size of batch.

Only indices and mel windows go to the device and only finished mouths, as bytes, come back, both through pinned memory.
On the CPU the same functions run without a graph, so that everything but the capture is tested without a card.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from realtime.lipsync.folding import fold
from realtime.lipsync.graphs import FaceGraph, MouthGraph
from realtime.lipsync.metadata import WeightsMetadata
from realtime.lipsync.predictor import FaceFeatures
from realtime.lipsync.weights import load_weights
from realtime.timeline import MEL_BANDS, WINDOW_COLUMNS

BATCHES = (1, 2, 4, 8, 16, 32)
"""Sizes that are captured: a batch is filled up to the next one, as a card draws eight mouths as fast as five."""
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def _telling_memory(call: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Have a call that finds the device's memory full let go of what it can, and say so as Python does."""

    @functools.wraps(call)
    def wrapped(*arguments: _Arguments.args, **named: _Arguments.kwargs) -> _Result:
        try:
            return call(*arguments, **named)
        except torch.OutOfMemoryError as error:
            why = str(error).partition("\n")[0]
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise MemoryError(why)

    return wrapped


class TorchPredictor:
    """``MouthPredictor`` on a torch device.

    Args:
        weights: The weights file.
        device: A torch device string.
        window_offset_samples: Overrides the file's.
        precision: One of :data:`DTYPES`; ``None`` takes fp16 on CUDA, fp32 on the CPU.
    """

    def __init__(
        self, weights: Path, *, device: str, window_offset_samples: int | None = None, precision: str | None = None
    ) -> None:
        self._device = torch.device(device)
        if self._device.index is not None:
            torch.cuda.set_device(self._device)  # streams, graphs and pinned memory belong to the current one
        dtype = DTYPES[precision or ("fp16" if self._device.type == "cuda" else "fp32")]
        network, self._metadata = load_weights(weights, window_offset_samples=window_offset_samples)
        network = fold(network).to(self._device, dtype)
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stub lacks it
        self._face = FaceGraph(network)
        self._mouth = MouthGraph(network, self._metadata.decoded_region)
        self._resident: WeakKeyDictionary[FaceFeatures, _Resident] = WeakKeyDictionary()
        self._calls: dict[int, _Call] = {}

    @property
    def metadata(self) -> WeightsMetadata:
        """The facts about the loaded weights."""
        return self._metadata

    @_telling_memory
    @torch.inference_mode()
    def encode_faces(self, crops: npt.NDArray[np.uint8]) -> FaceFeatures:
        """Encode ``uint8[N, size, size, 3]`` crops, 32 at a time."""
        parts = [
            self._face(torch.from_numpy(part).to(self._device)) for part in np.array_split(crops, len(crops) // 32 + 1)
        ]
        return FaceFeatures(tuple(torch.cat(level).cpu().numpy() for level in zip(*parts, strict=True)), crops)

    @_telling_memory
    @torch.inference_mode()
    def predict(
        self, mel: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Draw ``uint8[B, h, w, 3]`` mouths for ``mel[B, 80, 16]`` into the clip's ``frames``."""
        if features not in self._resident:
            self._resident[features] = _Resident(features, self._device)
        resident = self._resident[features]
        largest = BATCHES[-1]
        parts = [
            self._call(min(largest, len(frames) - at)).draw(mel[at : at + largest], resident, frames[at : at + largest])
            for at in range(0, len(frames), largest)
        ]
        return np.concatenate(parts)

    def _call(self, count: int) -> "_Call":
        size = next(size for size in BATCHES if size >= count)
        if size not in self._calls:
            self._calls[size] = _Call(self._mouth, size, self._device)
        return self._calls[size]


class _Resident:
    """One clip's crops and feature levels on the device."""

    def __init__(self, features: FaceFeatures, device: torch.device) -> None:
        self.crops = torch.from_numpy(np.array(features.crops)).to(device)
        self.levels = [torch.from_numpy(np.array(level)).to(device) for level in features.levels]


class _Call:
    """The network at one size of batch: fixed inputs on the device, and the graph that reads them."""

    def __init__(self, mouth: MouthGraph, size: int, device: torch.device) -> None:
        self._mouth, self._size, self._device = mouth, size, device
        self._on_card = device.type == "cuda"
        self._mel = torch.full((size, MEL_BANDS, WINDOW_COLUMNS), -4.0, device=device)
        self._faces: list[Tensor] = []  # crops and levels of the batch's frames
        self._graph: torch.cuda.CUDAGraph | None = None
        self._mouths: Tensor | None = None
        self._index_out = torch.zeros(size, dtype=torch.int64, pin_memory=self._on_card)
        self._mel_out = torch.zeros_like(self._mel, device="cpu", pin_memory=self._on_card)

    def draw(
        self, mel: npt.NDArray[np.float32], resident: _Resident, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        count = len(frames)
        self._mel_out[:count] = torch.from_numpy(mel)
        self._index_out[:count] = torch.from_numpy(frames)
        self._index_out[count:] = self._index_out[0]  # what fills the batch up is drawn and thrown away
        self._mel.copy_(self._mel_out, non_blocking=True)
        index = self._index_out.to(self._device, non_blocking=True)
        sources = (resident.crops, *resident.levels)
        if not self._faces:
            self._faces = [source[index] for source in sources]
        else:
            for face, source in zip(self._faces, sources, strict=True):
                torch.index_select(source, 0, index, out=face)
        if not self._on_card:
            drawn: npt.NDArray[np.uint8] = self._mouth(self._mel, *self._faces)[:count].numpy()
            return drawn
        return self._replay()[:count].copy()

    def _replay(self) -> npt.NDArray[np.uint8]:
        if self._graph is None:
            side = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream(self._device))
            with torch.cuda.stream(side):
                for _ in range(3):  # algorithms are chosen and workspaces made before a capture
                    self._mouth(self._mel, *self._faces)
            torch.cuda.current_stream(self._device).wait_stream(side)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._mouths = self._mouth(self._mel, *self._faces)
            self._mouths_in = torch.zeros_like(self._mouths, device="cpu", pin_memory=True)
        assert self._mouths is not None
        self._graph.replay()
        self._mouths_in.copy_(self._mouths, non_blocking=True)
        torch.cuda.current_stream(self._device).synchronize()
        mouths: npt.NDArray[np.uint8] = self._mouths_in.numpy()
        return mouths
