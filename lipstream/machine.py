"""What this machine lacks to run Lipstream, in one sentence. Python 3.6 reads this file, to say that it is too old."""

import platform
import sys

OLDEST = (3, 11)
NO_AVX = (
    "this processor has no AVX, without which the network cannot keep up with speech; "
    "a virtual machine may only hide it: give it the host's type of processor"
)


def python_fault(major: int, minor: int) -> "str | None":
    """Return why a version of Python does not do; ``None`` if it does."""
    if (major, minor) >= OLDEST:
        return None
    oldest = ".".join(map(str, OLDEST))
    return f"Lipstream needs Python {oldest} or newer, and this is {major}.{minor}: run it with a newer one"


def exit_if_python_is_old() -> None:
    """End the process with status 2 and one sentence if its Python is too old."""
    fault = python_fault(*sys.version_info[:2])
    if fault:
        sys.stderr.write(f"lipstream: {fault}\n")
        sys.exit(2)


def processor_fault(cpuinfo: str = "/proc/cpuinfo", machine: "str | None" = None) -> "str | None":
    """Return why the processor does not do; ``None`` if it does, or if the system does not say.

    Args:
        cpuinfo: Where Linux describes the processor.
        machine: Architecture of the processor as `platform.machine` names it; default: this machine's.
    """
    if (machine or platform.machine()) not in ("x86_64", "AMD64"):
        return None
    try:
        with open(cpuinfo, encoding="ascii", errors="replace") as file:  # noqa: PTH123 (for old versions of Python)
            flags = next((line.split() for line in file if line.startswith("flags")), None)
    except OSError:
        return None
    return NO_AVX if flags and "avx" not in flags else None
