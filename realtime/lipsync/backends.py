"""Chooses the back end: torch on CUDA where there is a card, OpenVINO on the CPU, torch there where that is missing."""

import importlib
import logging
import os
from pathlib import Path

from realtime.errors import SettingsError
from realtime.lipsync.devices import resolve_device
from realtime.lipsync.predictor import MouthPredictor

try:
    from realtime.lipsync import openvino_backend
except ModuleNotFoundError as error:  # it has no wheel for every platform
    if error.name != "openvino":
        raise
    openvino_backend = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

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
    found = resolve_device(device)
    if found != "cpu" and precision == "int8":
        raise SettingsError("precision int8 is for the CPU: CUDA takes fp16, bf16 or fp32")
    if found == "cpu" and precision == "fp16":
        raise SettingsError("precision fp16 is for CUDA: a CPU takes bf16, fp32 or int8")
    if found == "cpu" and openvino_backend is not None:
        hint = {"fp32": "f32"}.get(precision or "", precision)
        folder = openvino_backend.convert(weights, cache, window_offset_samples)
        return openvino_backend.OpenVinoPredictor(folder, threads=threads, precision=hint)
    torch_backend = importlib.import_module("realtime.lipsync.torch_backend")
    if found == "cpu":
        if precision == "int8":
            raise SettingsError("precision int8 needs OpenVINO, which is not installed here")
        log.warning("OpenVINO is not installed here: torch draws in its place, at several times the cost")
        importlib.import_module("torch").set_num_threads(threads or os.cpu_count() or 1)
    predictor: MouthPredictor = torch_backend.TorchPredictor(
        weights, device=found, window_offset_samples=window_offset_samples, precision=precision
    )
    return predictor
