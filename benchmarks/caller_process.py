"""Many callers in a process of their own, so that they do not use the time of the measured server's process.

The process writes to standard output: first its offers, and later, after the answers and a stop, its recordings.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from lipstream.realtime.test_client.call_recording import CallRecording
from lipstream.realtime.test_client.caller import Caller

_LINE_LIMIT = 1 << 28
"""Limit of a line: a recording is sent as one line."""


class CallerProcess:
    """The parent's end of a process of callers."""

    def __init__(self, process: asyncio.subprocess.Process, offers: list[str]) -> None:
        self._process = process
        self.offers = offers

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    async def accept(self, answers: list[str]) -> None:
        """Send the answers, in the order of the offers."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(answers).encode() + b"\n")
        await self._process.stdin.drain()

    async def stop(self) -> list[CallRecording]:
        """End the calls and return the callers' recordings."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"stop\n")
        return [CallRecording.from_json(fields) for fields in json.loads(await self._process.stdout.readline())]


@asynccontextmanager
async def caller_process(
    count: int = 1, *, speech: Path | None = None, keep_payloads: bool = True
) -> AsyncIterator[CallerProcess]:
    """Run ``count`` callers in a process of their own.

    Args:
        count: Number of callers.
        speech: ``.npy`` file with ``float32[n]``, 48 kHz; each caller starts at another position of it.
        keep_payloads: Whether the recordings can be decoded; without payloads the callers only count packets.
    """
    arguments = ["-m", "benchmarks.caller_process", str(count)]
    arguments += ["--speech", str(speech)] if speech else []
    arguments += ["--keep-payloads"] if keep_payloads else []
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_LIMIT,
        cwd=Path(__file__).parent.parent,
    )
    try:
        assert process.stdout is not None
        yield CallerProcess(process, json.loads(await process.stdout.readline()))
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


async def _run(count: int, speech: Path | None, *, keep_payloads: bool) -> None:
    sound = np.load(speech) if speech else None
    callers = [
        Caller(
            None if sound is None else np.roll(sound, -index * sound.size // count),
            keep_payloads=keep_payloads,
            counts_only=not keep_payloads,
        )
        for index in range(count)
    ]
    print(json.dumps([await caller.offer() for caller in callers]), flush=True)
    try:
        if answers := await asyncio.to_thread(sys.stdin.readline):
            for caller, answer in zip(callers, json.loads(answers), strict=True):
                await caller.accept(answer)
            await asyncio.to_thread(sys.stdin.readline)
    finally:
        for caller in callers:
            await caller.close()
    print(json.dumps([caller.recording.to_json() for caller in callers]), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int)
    parser.add_argument("--speech", type=Path)
    parser.add_argument("--keep-payloads", action="store_true")
    options = parser.parse_args()
    asyncio.run(_run(options.count, options.speech, keep_payloads=options.keep_payloads))
