"""What Ray costs a machine at rest: ``python -m tests.integrations.ray_at_rest``, with Ray and the tests' packages.

A head without a worker and a machine with one, a minute without calls. Prints for each part its share of a core and its
proportional memory (PSS).
"""

import asyncio
import contextlib
import os
import time
from pathlib import Path

import httpx

from tests.cluster.conftest import KEY, until
from tests.integrations.ray_machines import Machines, answer

REST_S = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")


def part_of(process: int) -> str:
    """Return what a process is for."""
    words = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    known = {
        "log_monitor": "raylet and its helpers", "gcs_server": "head", "monitor.py": "head", "dashboard.py": "head",
        "raylet": "raylet and its helpers", "DashboardAgent": "raylet and its helpers",
        "RuntimeEnvAgent": "raylet and its helpers", "ray start": "raylet and its helpers", "Keeper": "keepers",
        "IDLE": "idle processes of Ray", "--workers": "ingress", "ray_launcher": "launcher",
    }  # fmt: skip
    return next((part for word, part in known.items() if word in words), "worker")


def used_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_mb(process: int) -> float:
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


async def measure(machines: Machines) -> None:
    for _ in range(2):
        await asyncio.to_thread(machines.wait, machines.join())
    launcher = machines.launch()
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=machines.every[1].ingress, headers=headers) as client:
        await until(lambda: answer(client, "/api/avatars"), "an ingress")
    await asyncio.sleep(REST_S / 2)
    processes = {process: machine.host for machine in machines.every for process in machine.processes()}
    processes[launcher.pid] = "launcher"
    before, began_s = {process: used_s(process) for process in processes}, time.monotonic()
    await asyncio.sleep(REST_S)
    took_s = time.monotonic() - began_s
    report(processes, before, took_s)


def report(processes: dict[int, str], before: dict[int, float], took_s: float) -> None:
    """Print what the processes that are still there have used."""
    parts: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for process, host in processes.items():
        with contextlib.suppress(OSError):
            figures = (used_s(process) - before[process]) / took_s, memory_mb(process)
            parts.setdefault((host, part_of(process)), []).append(figures)
    for (host, part), figures_of in sorted(parts.items()):
        core, memory = (sum(one) for one in zip(*figures_of, strict=True))
        print(f"{host} {part}: {len(figures_of)} processes, {100 * core:.1f} % of a core, {memory:.0f} MB")


def main() -> None:
    machines = Machines()
    try:
        asyncio.run(measure(machines))
    finally:
        machines.close()


if __name__ == "__main__":
    main()
