"""For how many sessions does the render worker predict in time, without the rest of the server?

Every session requests a mouth each 40 ms. Groups of four request together, as in the server, and the groups are spread
over those 40 ms. Jobs and mouths pass through the real worker process. A number holds if the 99th percentile of the
time from request to mouth is under 40 ms and no job was refused or lost.
"""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.cuda.options import Options
from benchmarks.networks import random_network
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS
from lipstream.realtime.metrics import percentiles
from lipstream.realtime.packets import RenderJob
from lipstream.realtime.timeline import FRAME_RATE_HZ, MEL_BANDS, WINDOW_COLUMNS
from lipstream.realtime.workers.render_client import RenderWorker
from lipstream.realtime.workers.render_jobs import MouthStream
from lipstream.realtime.workers.render_worker import WorkerSettings

LIMIT_MS = 40.0
_TOGETHER = 4
_TRIAL_S, _SETTLE_S = 3.0, 0.5
_FIRST, _MOST = 8, 2048


def run_built_in(options: Options) -> Iterator[dict[str, Any]]:
    """Yield a row for each number of sessions tried with the built-in network."""
    yield from _rows(BUILT_IN_WEIGHTS, options)


def run_full_width(options: Options) -> Iterator[dict[str, Any]]:
    """Yield the same rows for a random network of the published width."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _rows(random_network(0.125 if options.short else 1.0, 96, Path(folder)), options)


def _rows(weights: Path, options: Options) -> Iterator[dict[str, Any]]:
    """Yield the rows of the asynchronous generator one by one, so that each is stored at once."""
    with asyncio.Runner() as runner:
        rows = _measure(weights, options)
        try:
            while row := runner.run(_next(rows)):
                yield row
        finally:
            runner.run(rows.aclose())


async def _next(rows: AsyncGenerator[dict[str, Any], None]) -> dict[str, Any] | None:
    return await anext(rows, None)


async def _measure(weights: Path, options: Options) -> AsyncGenerator[dict[str, Any], None]:
    drawing = "on_stand_in" if options.stand_in else "on_card"
    batches: list[int] = []
    settings = WorkerSettings(
        weights=weights,
        store=weights.parent,
        device="cpu" if options.stand_in else "cuda",
        predictor=f"benchmarks.cuda.drawing:{drawing}",
        features="benchmarks.cuda.drawing:noise",
    )
    worker = RenderWorker(settings, on_batch=lambda mouths, *_: batches.append(mouths))
    avatar = "short" if options.short else "long"
    try:
        await worker.start()
        await worker.load_avatar(avatar)
        holds, fails, count = 0, _MOST + 1, 2 if options.short else _FIRST
        while count > holds:
            batches.clear()
            row = await _try(worker, avatar, count, 0.3 if options.short else _TRIAL_S)
            yield row | {"mouths a batch": round(float(np.mean(batches)), 2) if batches else None}
            holds, fails = (count, fails) if row["holds"] else (holds, count)
            count = 0 if options.short else _following(holds, fails)
    finally:
        await worker.close()


def _following(holds: int, fails: int) -> int:
    """Return the next number to try, between the highest that holds and the lowest that fails; 0 if they are close."""
    if fails > _MOST:
        return 2 * holds if 2 * holds <= _MOST else 0
    near = fails - holds <= max(_TOGETHER, holds // 8)
    return 0 if near else (holds + fails) // 2 // _TOGETHER * _TOGETHER


class _Asker:
    """One session: requests a mouth per frame and records how long each took."""

    def __init__(self, worker: RenderWorker, avatar: str) -> None:
        self.asked_s: dict[int, float] = {}
        self.took_ms: list[float] = []
        self._now = asyncio.get_running_loop().time
        self._frame = 0
        self._window = np.random.default_rng(0).uniform(-4, 4, (MEL_BANDS, WINDOW_COLUMNS)).astype(np.float32)
        self.stream: MouthStream = worker.open_stream(avatar, self._on_mouth)

    def ask(self) -> None:
        self.asked_s[self._frame] = self._now()
        self.stream.submit(RenderJob(self._frame, self._frame % 8, 1.0, self._window))
        self._frame += 1

    def _on_mouth(self, frame: int, mouth: npt.NDArray[np.uint8]) -> None:  # noqa: ARG002 (only its time counts)
        self.took_ms.append(1000 * (self._now() - self.asked_s.pop(frame)))


async def _try(worker: RenderWorker, avatar: str, count: int, seconds: float) -> dict[str, Any]:
    """Let ``count`` sessions request mouths for some seconds; return a row of the table."""
    askers = [_Asker(worker, avatar) for _ in range(count)]
    groups = [askers[at : at + _TOGETHER] for at in range(0, count, _TOGETHER)]
    before = (worker.counts.refused, worker.counts.lost)
    loop = asyncio.get_running_loop()
    began_s, step_s = loop.time(), 1 / FRAME_RATE_HZ / len(groups)
    late_ms = 0.0
    for index in range(int(seconds * FRAME_RATE_HZ) * len(groups)):
        due_s = began_s + index * step_s
        await asyncio.sleep(max(0.0, due_s - loop.time()))
        late_ms = max(late_ms, 1000 * (loop.time() - due_s))
        for asker in groups[index % len(groups)]:
            asker.ask()
        worker.flush()
    await asyncio.sleep(_SETTLE_S)
    for asker in askers:
        asker.stream.close()
    took = percentiles([ms for asker in askers for ms in asker.took_ms])
    refused, lost = worker.counts.refused - before[0], worker.counts.lost - before[1]
    holds = took["p99"] is not None and took["p99"] < LIMIT_MS and not refused and not lost
    return {
        "sessions": count,
        "holds": holds,
        "trip p50 ms": took["p50"],
        "trip p99 ms": took["p99"],
        "refused": refused,
        "lost": lost,
        "asked late by, ms": round(late_ms, 1),
    }
