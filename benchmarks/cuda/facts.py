"""Facts about the card from its driver and torch."""

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.cuda.options import Options

_ASKED = {
    "name": "card",
    "driver_version": "driver",
    "clocks.sm": "SM clock now",
    "clocks.max.sm": "SM clock at most",
    "clocks.mem": "memory clock now",
    "power.limit": "power limit",
    "temperature.gpu": "temperature, C",
    "utilization.gpu": "used by others",
}
_PATIENCE_S = 20


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield one row per fact."""
    on = options.open()
    facts: dict[str, Any] = {"torch": torch.__version__, "CUDA of torch": torch.version.cuda}
    if on.device.type == "cuda":
        properties = torch.cuda.get_device_properties(on.device)
        facts |= {
            "compute capability": f"{properties.major}.{properties.minor}",
            "torch is built for": " ".join(torch.cuda.get_arch_list()),
            "multiprocessors": properties.multi_processor_count,
            "memory, GiB": round(properties.total_memory / 2**30, 1),
            "cuDNN": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        } | _said_by_driver()
    else:
        facts["card"] = "replaced by the CPU"
    for fact, value in facts.items():
        yield {"fact": fact, "value": value}


def _said_by_driver() -> dict[str, Any]:
    if not (program := shutil.which("nvidia-smi")):
        return {}
    command = [program, f"--query-gpu={','.join(_ASKED)}", "--format=csv,noheader", "--id=0"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_PATIENCE_S).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(zip(_ASKED.values(), map(str.strip, said.partition("\n")[0].split(",")), strict=False))
