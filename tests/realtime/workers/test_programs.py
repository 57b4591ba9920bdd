"""Programs are ended at the moment in which they end by themselves: asyncio's watcher loses none of them."""

import asyncio
import contextlib
import random
import sys

import pytest

from lipstream.realtime.synthesis.programs import SpeakingProgram
from lipstream.realtime.workers.programs import close_pipes, kill_program


async def test_a_program_that_fills_its_pipe_is_ended() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "import sys\nwhile True: sys.stdout.write('x' * 4096)"),
        stdout=asyncio.subprocess.PIPE,
    )
    kill_program(process)
    close_pipes(process)
    async with asyncio.timeout(60):
        assert await process.wait() == -9
    kill_program(process)


async def test_no_status_is_taken_from_the_watcher(caplog: pytest.LogCaptureFixture) -> None:
    engine = SpeakingProgram(["sh", "-c", "cat >/dev/null; echo some sound"], 16_000)
    chance = random.Random(1)
    for _ in range(60):
        async with contextlib.aclosing(engine.speak("Hello.")) as sound:
            await anext(sound)
            await asyncio.sleep(0.004 * chance.random())
    assert "Unknown child process" not in caplog.text
