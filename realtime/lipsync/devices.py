"""Resolves the device setting.

Torch takes seconds to import, so it is imported only where a card answers or is asked for.
"""

import importlib
import logging
import re
import shutil
import subprocess
import sys
from typing import Any

from lipstream.extras import install_line, is_missing, missing
from lipstream.realtime.errors import SettingsError

logger = logging.getLogger(__name__)

DEVICE = re.compile(r"auto|cpu|cuda(:[0-9]+)?")
_PATIENCE_S = 60.0
_ASK_TORCH = "import torch; print(torch.cuda.device_count())"


def resolve_device(device: str) -> str:
    """Return ``cpu``, ``cuda`` or ``cuda:N`` for a value of the device setting.

    Raises:
        SettingsError: If the value is invalid, names a CUDA device that is not present, or torch is not installed.
    """
    if not DEVICE.fullmatch(device):
        raise SettingsError(f"device {device!r} is none of auto, cpu, cuda and cuda:N")
    if device == "cpu" or (device == "auto" and not shutil.which("nvidia-smi")):
        return "cpu"
    try:
        card: Any = importlib.import_module("lipstream.realtime.lipsync.card")
    except ModuleNotFoundError as error:
        if not is_missing(error, "torch"):
            raise
        if device != "auto":
            raise missing("torch", f"device {device!r}") from error
        if "GPU " in _said_by("nvidia-smi", "-L"):
            logger.warning(
                "an NVIDIA card is here and not used, because torch is not installed: %s", install_line("torch")
            )
        return "cpu"
    found = card.count()
    if device == "auto":
        if not found:
            logger.warning("nvidia-smi is here, but no card can be used (%s): the CPU draws", card.why_none())
        return "cuda" if found else "cpu"
    if int(device.partition(":")[2] or 0) >= found:
        why = f" ({card.why_none()})" if not found else ""
        raise SettingsError(f"device {device!r} was asked for, but torch finds no CUDA device like that here{why}")
    return device


def devices_of(device: str) -> tuple[str, ...]:
    """Return the devices that a server uses for a value of the setting: ``auto`` and ``cuda`` mean every card."""
    cards = _cards() if device in ("auto", "cuda") else 0
    return tuple(f"cuda:{number}" for number in range(cards)) if cards > 1 else (device,)


def _cards() -> int:
    """Return the number of cards that torch can use, without loading torch if there is at most one."""
    if not (lister := shutil.which("nvidia-smi")) or _said_by(lister, "-L").count("GPU ") < 2:
        return 1
    count = _said_by(sys.executable, "-c", _ASK_TORCH).strip()
    return int(count) if count.isdigit() else 1


def _said_by(*command: str) -> str:
    """Return a program's output; empty if it fails or hangs, as a broken driver may."""
    try:
        asked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PATIENCE_S)  # noqa: S603
    except (subprocess.TimeoutExpired, OSError):
        return ""
    return asked.stdout
