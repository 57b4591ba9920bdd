"""How long a process has waited for a processor, as Linux counts it."""

from pathlib import Path


def processor_wait_s(pid: int | None) -> float | None:
    """Return for how long the threads of a process have been ready to run without a processor, s, summed over them.

    A process that is stopped, or waits for something else, adds nothing. ``None`` if the process is gone, or the system
    does not tell.
    """
    try:
        waits = [int((task / "schedstat").read_text().split()[1]) for task in Path(f"/proc/{pid}/task").iterdir()]
    except (OSError, IndexError, ValueError):
        return None
    return sum(waits) / 1e9
