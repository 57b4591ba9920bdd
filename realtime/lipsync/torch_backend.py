"""The CUDA back end (and the reference for tests on the CPU): torch, features resident on the device."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from realtime.lipsync.graphs import FaceGraph, MouthGraph
from realtime.lipsync.metadata import WeightsMetadata
from realtime.lipsync.predictor import FaceFeatures
from realtime.lipsync.weights import load_weights

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
    """``MouthPredictor`` on a torch device: fp16 on CUDA, fp32 on the CPU.

    Args:
        weights: The weights file.
        device: A torch device string.
        window_offset_samples: Overrides the file's.
    """

    def __init__(self, weights: Path, *, device: str, window_offset_samples: int | None = None) -> None:
        self._device = torch.device(device)
        dtype = torch.float16 if self._device.type == "cuda" else torch.float32
        network, self._metadata = load_weights(
            weights, device=self._device, dtype=dtype, window_offset_samples=window_offset_samples
        )
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stub lacks it
        self._face = FaceGraph(network)
        self._mouth = MouthGraph(network, self._metadata.decoded_region)
        self._resident: WeakKeyDictionary[FaceFeatures, tuple[Tensor, list[Tensor]]] = WeakKeyDictionary()

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
            self._resident[features] = (
                torch.from_numpy(np.array(features.crops)).to(self._device),
                [torch.from_numpy(np.array(level)).to(self._device) for level in features.levels],
            )
        crops, levels = self._resident[features]
        index = torch.from_numpy(frames).to(self._device)
        mouths = self._mouth(torch.from_numpy(mel).to(self._device), crops[index], *(level[index] for level in levels))
        result: npt.NDArray[np.uint8] = mouths.cpu().numpy()
        return result
