"""The kiosk's endpoints of docs/KIOSK.md, installed as it says: they hear recorded prompts, and think in sentences.

``LONG=1`` alone, since the packages with their weights are 760 MB on the disk.
"""

import os
import re
import subprocess
import time
import venv
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from lipstream.realtime.agent.endpoints import Chat, Transcriber
from lipstream.realtime.render import read_sound
from tests.server_process import PROMPTS, ROOT, free_port

pytestmark = [
    pytest.mark.skipif(os.environ.get("LONG") != "1", reason="LONG=1 only"),
    pytest.mark.needs("recorded speech"),
    pytest.mark.timeout(900),
]
SAID = {
    "conf-waitforleader": "The conference will begin when the leader arrives.",
    "queue-thankyou": "Thank you for your patience.",
    "tt-somethingwrong": "Something is terribly wrong.",
}


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of the two endpoints, in an environment made by the lines of the document."""
    folder = tmp_path_factory.mktemp("local")
    venv.create(folder / "local", with_pip=True)
    for arguments in re.findall(r"^local/bin/pip (.*)$", (ROOT / "docs" / "KIOSK.md").read_text(), re.MULTILINE):
        subprocess.run([str(folder / "local/bin/pip"), *arguments.split()], check=True, timeout=600)
    port = free_port()
    command = [str(folder / "local/bin/python"), str(ROOT / "examples/local_endpoints.py"), "--port", str(port)]
    with subprocess.Popen(command, cwd=folder) as server:
        try:
            deadline = time.monotonic() + 300
            while not answers(port):
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.5)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/docs").status_code == 200
    except httpx.TransportError:
        return False


async def test_they_hear(endpoints: str) -> None:
    transcriber = Transcriber(endpoints, model="whisper-1", language="en")
    try:
        for name, words in SAID.items():
            sound = read_sound(PROMPTS / f"{name}.wav")[::3].astype(np.float32)
            assert await transcriber.transcribe(sound) == words
    finally:
        await transcriber.close()


async def test_they_think(endpoints: str) -> None:
    chat = Chat(endpoints, model="default")
    try:
        answer = "".join([part async for part in chat.stream([{"role": "user", "content": "Say hello to a visitor."}])])
    finally:
        await chat.close()
    assert len(answer.split()) > 2
