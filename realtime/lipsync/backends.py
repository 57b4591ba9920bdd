"""Chooses the back end: CUDA through torch where there is a card, else the CPU through OpenVINO."""

import importlib
import shutil
from pathlib import Path

from realtime.errors import SettingsError
from realtime.lipsync.openvino_backend import OpenVinoPredictor, convert
from realtime.lipsync.predictor import MouthPredictor

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "fp16", "bf16", "fp32", "int8")


def resolve_device(device: str) -> str:
    """Return ``cpu`` or ``cuda`` for one of :data:`DEVICES`.

    Torch is asked only where the machine seems to have a card: importing it takes seconds.

    Raises:
        SettingsError: If the device is unknown, or CUDA was asked for and is not there.
    """
    if device not in DEVICES:
        raise SettingsError(f"device {device!r} is none of {', '.join(DEVICES)}")
    if device == "cpu" or (device == "auto" and not shutil.which("nvidia-smi")):
        return "cpu"
    if importlib.import_module("torch").cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise SettingsError("device 'cuda' was asked for, but torch finds no CUDA device here")
    return "cpu"


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
        device: One of :data:`DEVICES`.
        cache: Folder where converted graphs are kept.
        window_offset_samples: Overrides the file's.
        threads: CPU cores that one call may use.
        precision: One of :data:`PRECISIONS` but ``auto``; ``None`` takes the fastest that the device has.

    Raises:
        WeightsError: If the file does not fit.
        SettingsError: If the device is not there, or does not know the precision.
    """
    if resolve_device(device) == "cuda":
        if precision == "int8":
            raise SettingsError("precision int8 is for the CPU: CUDA takes fp16, bf16 or fp32")
        backend = importlib.import_module("realtime.lipsync.torch_backend")
        predictor: MouthPredictor = backend.TorchPredictor(
            weights, device="cuda", window_offset_samples=window_offset_samples, precision=precision
        )
        return predictor
    if precision == "fp16":
        raise SettingsError("precision fp16 is for CUDA: a CPU takes bf16, fp32 or int8")
    hint = {"fp32": "f32"}.get(precision or "", precision)
    return OpenVinoPredictor(convert(weights, cache, window_offset_samples), threads=threads, precision=hint)
