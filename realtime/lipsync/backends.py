"""Chooses the back end: torch on CUDA if there is a card, else OpenVINO on the CPU, else torch on the CPU.

A model of the operator's own chooses for itself.
"""

import importlib
import logging
import os
from pathlib import Path

from lipstream.extras import is_missing, missing
from lipstream.realtime.errors import SettingsError
from lipstream.realtime.lipsync.devices import resolve_device
from lipstream.realtime.lipsync.metadata import Pads
from lipstream.realtime.lipsync.own_model import ModelOptions, load_model
from lipstream.realtime.lipsync.predictor import DeviceLostError, MouthPredictor

try:
    from lipstream.realtime.lipsync import openvino_backend
except ModuleNotFoundError as error:  # OpenVINO has no wheel for some platforms
    if error.name != "openvino":
        raise
    openvino_backend = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

PRECISIONS = ("auto", "fp16", "bf16", "fp32", "int8")


def create_predictor(
    weights: Path,
    *,
    device: str,
    cache: Path,
    window_offset_samples: int | None = None,
    threads: int | None = None,
    precision: str | None = None,
    fall_back: bool = False,
    pads: Pads | None = None,
    model: str = "",
    quick_start: bool = False,
) -> MouthPredictor:
    """Load a weights file, or a model of the operator's own, on a device.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        window_offset_samples: Replaces the window offset of the file, samples at 16 kHz; ``None`` keeps it.
        threads: CPU cores that one call may use; ``None`` for all.
        precision: ``fp16``, ``bf16``, ``fp32`` or ``int8``; ``None`` for the fastest of the device.
        fall_back: Whether the CPU is used when a named card fails; with ``auto`` it always is.
        pads: Replace the pads of weights with a detector's crop; ``None`` keeps them.
        model: Code that draws in the networks' place (`lipstream.realtime.lipsync.own_model`); default none.
        quick_start: Whether the predictor may be a ``StagedPredictor`` that is not complete; default false, which makes
            the same mouths of the same sound to the last bit.

    Raises:
        WeightsError: If the file is invalid.
        SettingsError: If the device is missing, fails, or does not support the precision; or if pads are given to
            weights with Lipstream's own crop; or if the model cannot be loaded, or is given with pads or an offset.
    """
    if model:
        if window_offset_samples is not None or pads is not None:
            raise SettingsError("--window-offset and --pads are for weights files: a model's code decides these itself")
        return load_model(model, ModelOptions(weights, device, cache, threads, precision))
    found = _found(device, fall_back=fall_back)
    if found != "cpu" and precision == "int8":
        raise SettingsError("precision int8 is for the CPU: CUDA takes fp16, bf16 or fp32")
    if found != "cpu":
        try:
            return _on_card(weights, found, window_offset_samples, precision, pads)
        except (DeviceLostError, MemoryError) as error:
            if device != "auto" and not fall_back:
                raise SettingsError(f"device {device!r} was asked for, but it cannot draw: {error}") from error
            logger.warning("no card is used, the CPU draws: %s", error)
            fall_back = True
    if precision == "fp16":
        if not fall_back:
            raise SettingsError("precision fp16 is for CUDA: a CPU takes bf16, fp32 or int8")
        precision = None
    return _on_cpu(weights, cache, window_offset_samples, threads, precision, pads, quick_start=quick_start)


def _found(device: str, *, fall_back: bool) -> str:
    try:
        return resolve_device(device)
    except SettingsError as error:
        if not fall_back:
            raise
        logger.warning("the CPU draws: %s", error.message)
        return "cpu"


def _on_card(
    weights: Path, device: str, window_offset_samples: int | None, precision: str | None, pads: Pads | None
) -> MouthPredictor:
    """Load a network on a card and predict one mouth as a test.

    Raises:
        DeviceLostError: If the card fails.
        MemoryError: If the card has too little memory.
    """
    torch_backend = importlib.import_module("lipstream.realtime.lipsync.torch_backend")
    try:
        predictor = torch_backend.TorchPredictor(
            weights, device=device, window_offset_samples=window_offset_samples, precision=precision, pads=pads
        )
        predictor.try_out()
    except RuntimeError as error:  # the card answers but cannot run the network
        raise DeviceLostError(f"{device}: {str(error).partition(chr(10))[0]}") from error
    drawing: MouthPredictor = predictor
    return drawing


def _on_cpu(
    weights: Path,
    cache: Path,
    window_offset_samples: int | None,
    threads: int | None,
    precision: str | None,
    pads: Pads | None,
    *,
    quick_start: bool,
) -> MouthPredictor:
    if openvino_backend is not None:
        hint = {"fp32": "f32"}.get(precision or "", precision)
        return openvino_backend.OpenVinoPredictor(
            weights,
            cache,
            window_offset_samples=window_offset_samples,
            threads=threads,
            precision=hint,
            pads=pads,
            quick_start=quick_start,
        )
    if precision == "int8":
        raise SettingsError("precision int8 needs OpenVINO, which is not installed here")
    try:
        importlib.import_module("torch").set_num_threads(threads or os.cpu_count() or 1)
    except ModuleNotFoundError as error:
        if not is_missing(error, "torch"):
            raise
        raise missing("torch", "a system without OpenVINO") from error
    logger.warning("OpenVINO is not installed: torch is used in its place, at several times the cost")
    predictor: MouthPredictor = importlib.import_module("lipstream.realtime.lipsync.torch_backend").TorchPredictor(
        weights, device="cpu", window_offset_samples=window_offset_samples, precision=precision, pads=pads
    )
    return predictor
