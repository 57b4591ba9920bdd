"""Chooses the back end: CUDA through torch where there is a card, else the CPU through OpenVINO."""

import importlib
from pathlib import Path

from realtime.errors import SettingsError
from realtime.lipsync.devices import resolve_device
from realtime.lipsync.openvino_backend import OpenVinoPredictor, convert
from realtime.lipsync.predictor import MouthPredictor

PRECISIONS = ("auto", "fp16", "bf16", "fp32", "int8")


def create_predictor(
    weights: Path,
    *,
    device: str,
    cache: Path,
    window_offset_samples: int | None = None,
    threads: int | None = None,
    precision: str | None = None,
) -> MouthPredictor:
    """Load a weights file on a device.

    Args:
        weights: The weights file.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        cache: Folder where converted graphs are kept.
        window_offset_samples: Overrides the file's.
        threads: CPU cores that one call may use.
        precision: One of :data:`PRECISIONS` but ``auto``; ``None`` takes the fastest that the device has.

    Raises:
        WeightsError: If the file does not fit.
        SettingsError: If the device is not there, or does not know the precision.
    """
    if (found := resolve_device(device)) != "cpu":
        if precision == "int8":
            raise SettingsError("precision int8 is for the CPU: CUDA takes fp16, bf16 or fp32")
        backend = importlib.import_module("realtime.lipsync.torch_backend")
        predictor: MouthPredictor = backend.TorchPredictor(
            weights, device=found, window_offset_samples=window_offset_samples, precision=precision
        )
        return predictor
    if precision == "fp16":
        raise SettingsError("precision fp16 is for CUDA: a CPU takes bf16, fp32 or int8")
    hint = {"fp32": "f32"}.get(precision or "", precision)
    return OpenVinoPredictor(convert(weights, cache, window_offset_samples), threads=threads, precision=hint)
