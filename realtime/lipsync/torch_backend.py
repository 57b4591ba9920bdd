"""The CUDA back end: torch, with faces resident on the device and one CUDA graph per batch size.

Only indices and what was heard are copied to the device, and only mouths back, as bytes, both through pinned memory. On
the CPU the same functions run without a graph, so that tests cover everything but the capture without a card.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lipstream.realtime.lipsync.card import Device, first_line, is_short_of_memory, open_device
from lipstream.realtime.lipsync.fields import FIELDS_BYTES
from lipstream.realtime.lipsync.folding import fold
from lipstream.realtime.lipsync.graphs import FaceGraph, FieldGraph, MouthGraph, SpeechGraph
from lipstream.realtime.lipsync.layers import feature_windows
from lipstream.realtime.lipsync.metadata import Pads, WeightsMetadata
from lipstream.realtime.lipsync.network import Wav2Lip
from lipstream.realtime.lipsync.predictor import DeviceLostError, FaceFeatures, draw_with
from lipstream.realtime.lipsync.weights import load_weights
from lipstream.realtime.timeline import MEL_BANDS, WINDOW_COLUMNS

BATCHES = (1, 2, 4, 8, 16, 32)
"""Batch sizes that are captured; a batch is padded to the next one, as a card draws eight mouths as fast as five."""
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
_SILENCE = -4.0

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def _telling_faults(
    call: Callable[Concatenate["TorchPredictor", _Arguments], _Result],
) -> Callable[Concatenate["TorchPredictor", _Arguments], _Result]:
    """Raise MemoryError if the device's memory is full, and DeviceLostError if the device fails."""

    @functools.wraps(call)
    def wrapped(predictor: "TorchPredictor", /, *arguments: _Arguments.args, **named: _Arguments.kwargs) -> _Result:
        try:
            return call(predictor, *arguments, **named)
        except RuntimeError as error:
            short, why = is_short_of_memory(error), first_line(error)
            if not short and predictor.on.answers():
                raise
        if not short:
            raise DeviceLostError(f"{predictor.device} is gone: {why}")
        predictor.on.release()  # out of the handler, whose traceback holds tensors
        raise MemoryError(why)

    return wrapped


class TorchPredictor:
    """``MouthPredictor`` on a torch device.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``, or an open device.
        window_offset_samples: Replaces the window offset of the file, samples at 16 kHz; ``None`` keeps it.
        precision: ``fp16``, ``bf16`` or ``fp32``; ``None`` for fp16 on CUDA and fp32 on the CPU.
        pads: Replace the pads of weights with a detector's crop; ``None`` keeps them.

    Raises:
        DeviceLostError: If the card cannot be used.
        MemoryError: If the card has too little memory for the network.
    """

    def __init__(
        self,
        weights: Path,
        *,
        device: str | Device,
        window_offset_samples: int | None = None,
        precision: str | None = None,
        pads: Pads | None = None,
    ) -> None:
        self.on = open_device(device) if isinstance(device, str) else device
        network, metadata = load_weights(weights, window_offset_samples=window_offset_samples)
        self._metadata = metadata.with_pads(pads)
        self._take(fold(network), DTYPES[precision or self.on.precision])
        self._resident: WeakKeyDictionary[FaceFeatures, _Resident] = WeakKeyDictionary()
        self._calls: dict[tuple[MouthGraph | FieldGraph, int], _Call] = {}  # by graph, and by size of the batch
        self._speech_calls: dict[int, _SpeechCall] = {}

    @_telling_faults
    def _take(self, network: Wav2Lip, dtype: torch.dtype) -> None:
        network = network.to(self.on.device, dtype)
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stub lacks it
        region, window = self._metadata.decoded_region, self._metadata.fine_window
        self._face = FaceGraph(network, region)
        self.feature_windows = feature_windows(network.plan, region)
        self._mouth = MouthGraph(network, region)
        self._mouth_of_codes = MouthGraph(network, region, of_codes=True)
        self._fields = FieldGraph(network, region, window=window)
        self._fields_of_codes = FieldGraph(network, region, of_codes=True, window=window)
        self._speech = SpeechGraph(network)

    @property
    def device(self) -> str:
        """Device of the network: ``cpu``, ``cuda`` or ``cuda:N``."""
        return str(self.on.device)

    @property
    def metadata(self) -> WeightsMetadata:
        """The metadata of the loaded weights."""
        return self._metadata

    @_telling_faults
    @torch.inference_mode()
    def encode_faces(self, crops: npt.NDArray[np.uint8]) -> FaceFeatures:
        """Encode ``uint8[N, size, size, 3]`` crops, 32 at a time."""
        parts = [
            self._face(torch.from_numpy(part).to(self.on.device))
            for part in np.array_split(crops, len(crops) // 32 + 1)
        ]
        return FaceFeatures(tuple(torch.cat(level).cpu().numpy() for level in zip(*parts, strict=True)), crops)

    @_telling_faults
    @torch.inference_mode()
    def predict(
        self, mel: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Predict ``uint8[B, h, w, 3]`` mouths for ``mel[B, 80, 16]`` in the clip's ``frames``."""
        return self._draw(self._mouth, mel, features, frames)

    @_telling_faults
    @torch.inference_mode()
    def predict_fields(
        self, mel: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Predict ``uint8[B, h, w, 8 or 20]`` fields of a copying head, as :meth:`predict` predicts pixels."""
        return self._draw(self._fields, mel, features, frames).view(np.uint8)

    @_telling_faults
    @torch.inference_mode()
    def encode_speech(self, mel: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Encode mel windows ``float32[B, 80, 16]`` as codes ``float32[B, C]``."""
        codes = []
        for at in range(0, len(mel), BATCHES[-1]):
            part = mel[at : at + BATCHES[-1]]
            size = next(size for size in BATCHES if size >= len(part))
            if size not in self._speech_calls:
                self._speech_calls[size] = _SpeechCall(self._speech, size, self.on)
            codes.append(self._speech_calls[size].encode(part))
        return np.concatenate(codes)

    @_telling_faults
    @torch.inference_mode()
    def draw_mouths(
        self, codes: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Draw ``uint8[B, h, w, 3]`` mouths of ``codes[B, C]`` in the clip's ``frames``."""
        return self._draw(self._mouth_of_codes, codes, features, frames)

    @_telling_faults
    @torch.inference_mode()
    def draw_fields(
        self, codes: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Draw ``uint8[B, h, w, 8 or 20]`` fields of a copying head, as :meth:`draw_mouths` draws pixels."""
        return self._draw(self._fields_of_codes, codes, features, frames).view(np.uint8)

    def _draw(
        self,
        graph: MouthGraph | FieldGraph,
        heard: npt.NDArray[np.float32],
        features: FaceFeatures,
        frames: npt.NDArray[np.int64],
    ) -> npt.NDArray[Any]:
        if features not in self._resident:
            self._resident[features] = _Resident(features, self.on.device)
        resident = self._resident[features]
        largest = BATCHES[-1]
        parts = [
            self._call(graph, min(largest, len(frames) - at)).draw(
                heard[at : at + largest], resident, frames[at : at + largest]
            )
            for at in range(0, len(frames), largest)
        ]
        return np.concatenate(parts)

    def try_out(self) -> None:
        """Predict one mouth in a black face, to test the device.

        Raises:
            DeviceLostError: If the device fails.
            MemoryError: If the device has too little memory.
        """
        size = self._metadata.size
        silence = np.full((1, MEL_BANDS, WINDOW_COLUMNS), _SILENCE, np.float32)
        draw, _ = draw_with(self)
        draw(silence, self.encode_faces(np.zeros((1, size, size, 3), np.uint8)), np.zeros(1, np.int64))

    def repeat(self, count: int, *, fields: bool = False) -> Callable[[], Tensor]:
        """Return a function that repeats the last batch of a size without copies, for timing.

        Args:
            count: Size of the batch, in :data:`BATCHES`.
            fields: Whether it repeats :meth:`predict_fields`, or :meth:`predict`.

        Raises:
            KeyError: If no batch of this size was drawn before.
        """
        replay = self._calls[self._fields if fields else self._mouth, count].replay
        assert replay is not None
        return replay

    def _call(self, graph: MouthGraph | FieldGraph, count: int) -> "_Call":
        key = graph, next(size for size in BATCHES if size >= count)
        if key not in self._calls:
            self._calls[key] = _Call(graph, key[1], self.on)
        return self._calls[key]


class _Resident:
    """One clip's crops and feature levels on the device."""

    def __init__(self, features: FaceFeatures, device: torch.device) -> None:
        self.crops = torch.from_numpy(np.array(features.crops)).to(device)
        self.levels = [torch.from_numpy(np.array(level)).to(device) for level in features.levels]


class _SpeechCall:
    """The audio encoder at one batch size: a fixed input on the device, and the graph that reads it."""

    def __init__(self, speech: SpeechGraph, size: int, on: Device) -> None:
        self._speech, self._on = speech, on
        self._mel = torch.full((size, MEL_BANDS, WINDOW_COLUMNS), _SILENCE, device=on.device)
        self._mel_out = torch.zeros_like(self._mel, device="cpu", pin_memory=on.pins)
        self._replay: Callable[[], Tensor] | None = None

    def encode(self, mel: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        self._mel_out[: len(mel)] = torch.from_numpy(mel)
        self._mel.copy_(self._mel_out, non_blocking=True)
        if self._replay is None:
            self._replay = self._on.capture(lambda: self._speech(self._mel))
        codes: npt.NDArray[np.float32] = self._replay()[: len(mel)].cpu().numpy().copy()
        return codes


class _Call:
    """The network at one batch size: fixed inputs on the device, and the graph that reads them."""

    def __init__(self, mouth: MouthGraph | FieldGraph, size: int, on: Device) -> None:
        self._mouth, self._size, self._on = mouth, size, on
        self._heard = torch.zeros((size, *mouth.heard_shape), device=on.device)
        self._faces: list[Tensor] = []  # crops and levels of the batch's frames
        self.replay: Callable[[], Tensor] | None = None
        self._index_out = torch.zeros(size, dtype=torch.int64, pin_memory=on.pins)
        self._heard_out = torch.zeros_like(self._heard, device="cpu", pin_memory=on.pins)
        channels, dtype = 3, torch.uint8
        if isinstance(mouth, FieldGraph):
            channels, dtype = FIELDS_BYTES[mouth.network.paint_scale] // 2, torch.int16
        shape = size, mouth.region.height, mouth.region.width, channels
        self._mouths_in = torch.zeros(shape, dtype=dtype, pin_memory=on.pins)

    def draw(
        self, heard: npt.NDArray[np.float32], resident: _Resident, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[Any]:
        count = len(frames)
        self._heard_out[:count] = torch.from_numpy(heard)
        self._index_out[:count] = torch.from_numpy(frames)
        self._index_out[count:] = self._index_out[0]  # the padding of the batch is drawn and discarded
        self._heard.copy_(self._heard_out, non_blocking=True)
        index = self._index_out.to(self._on.device, non_blocking=True)
        sources = (resident.crops, *resident.levels)
        if not self._faces:
            self._faces = [source[index] for source in sources]
        else:
            for face, source in zip(self._faces, sources, strict=True):
                torch.index_select(source, 0, index, out=face)
        if self.replay is None:
            self.replay = self._on.capture(lambda: self._mouth(self._heard, *self._faces))
        self._mouths_in.copy_(self.replay(), non_blocking=True)
        self._on.wait()
        mouths: npt.NDArray[Any] = self._mouths_in[:count].numpy().copy()
        return mouths
