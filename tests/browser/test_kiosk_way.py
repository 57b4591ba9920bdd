"""docs/KIOSK.md followed from an empty directory: a spoken question goes in, and the face speaks the answer."""

import asyncio
import contextlib
import json
import re
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from lipstream.realtime.render import read_sound
from lipstream.realtime.settings import read_settings
from tests.browser.chromium import chromium
from tests.integrations.standin_voices import ANSWER, RATE, StandInOpenAI
from tests.server_process import PROMPTS, ROOT, ServerProcess, free_port
from tests.sound_files import write_wav

pytestmark = [pytest.mark.needs("chromium", "recorded speech"), pytest.mark.timeout(420)]

DOCUMENT = (ROOT / "docs" / "KIOSK.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", DOCUMENT, re.DOTALL)
LOUDNESS = """
(() => {
  const analyser = new AnalyserNode(new AudioContext(), {fftSize: 2048});
  analyser.context.createMediaStreamSource(document.getElementById('face').srcObject).connect(analyser);
  window.loudest = 0;
  const samples = new Float32Array(2048);
  setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    for (const value of samples) window.loudest = Math.max(window.loudest, Math.abs(value));
  }, 30);
})()
"""


def block(start: str) -> str:
    """Return the document's block that begins with some words."""
    (found,) = [text for _, text in BLOCKS if text.startswith(start)]
    return str(found)


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """A visitor's microphone: a question, and another one into the answer to it."""
    prompt = read_sound(PROMPTS / "conf-adminmenu.wav")[: 48_000 * 2]
    question = 0.6 * prompt / np.abs(prompt).max()
    silence = np.zeros(48_000, np.float32)
    path = tmp_path / "questions.wav"
    write_wav(path, np.concatenate((silence, silence, silence, question, *[silence] * 4, question, *[silence] * 30)))
    return path


def test_a_kiosk_answers_what_it_is_asked_and_can_be_interrupted(
    server_store: Path, tmp_path: Path, questions: Path
) -> None:
    folder, port = tmp_path / "empty", free_port()
    folder.mkdir()
    command = [sys.executable, "-m", "tests.realtime.agent.agent_server", str(port), "A long story. " * 12]
    agent = subprocess.Popen(command, cwd=ROOT)
    config = block('avatar = "ada"\ntranscriber = ')
    assert "http://127.0.0.1:9000" in config
    (folder / "kiosk.toml").write_text(config.replace("http://127.0.0.1:9000", f"http://127.0.0.1:{port}"))
    options = re.findall(r'make run ARGS="(.*)"', DOCUMENT)
    assert options[0] == "--config kiosk.toml"
    local = read_settings([*shlex.split(options[1])[2:]], {})
    assert (local.local_microphone, local.local_speaker) == ("default", "default")
    server = ServerProcess(server_store, ("--config", str(folder / "kiosk.toml")))
    try:
        visit(server, questions, "What time is it?", "A long story.")
    finally:
        agent.terminate()
        agent.wait(20)


async def test_a_kiosk_with_one_api_in_place_of_three_answers_and_can_be_interrupted(
    server_store: Path, tmp_path: Path, questions: Path
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "openai.key").write_text("sk-1")
    config = block('avatar = "ada"\nrealtime = ')
    async with StandInOpenAI() as there:
        there.answer = ANSWER * 3  # the second question comes into it, and all of it fits into the queue
        (folder / "kiosk.toml").write_text(
            config.replace("https://api.openai.com/v1", f"http://{there.address}/v1")
            + 'transcriber_model = "whisper-1"\n'
        )
        command = (sys.executable, str(ROOT / "run_server.py"))
        server = ServerProcess(server_store, ("--config", "kiosk.toml"), command, cwd=folder)
        await asyncio.to_thread(visit, server, questions, "What is this?", "It speaks.")
        async with asyncio.timeout(60):
            while not (cut := [one for one in there.got if one["type"] == "conversation.item.truncate"]):
                await asyncio.sleep(0.1)
    assert there.headers["authorization"] == "Bearer sk-1"
    assert there.got[0]["session"]["instructions"].startswith("You stand in the foyer")
    assert 0 < cut[0]["audio_end_ms"] < len(there.answer) * 1000 // (2 * RATE)


def visit(server: ServerProcess, questions: Path, heard: str, line: str) -> None:
    """Ask the kiosk as its document opens it, and again into its answer, which is interrupted; then end the server.

    Args:
        heard: What it writes down of the first question.
        line: A caption of its answer.
    """
    browser = shlex.split(block("chromium "))
    try:
        server.start()
        flags = [part for part in browser if part.startswith("--")]
        with chromium(questions, flags=flags) as page:
            page.open(browser[-1].replace("http://127.0.0.1:8080", server.url))
            page.until("document.documentElement.dataset.state === 'live'")
            (session,) = server.get("/api/sessions")
            events = Events(server, session["id"])
            page.run(LOUDNESS)
            events.until("transcript")
            page.until(f"document.getElementById('visitor').textContent === '{heard}'")
            page.until(f"document.getElementById('line').textContent === '{line}'")
            page.until("window.loudest > 0.05", 60)  # the answer is heard
            interrupted = events.until("interrupted")
            print(f"interrupted by {interrupted['by']} after {interrupted['after_ms']} ms of media time")
            assert interrupted["by"] == "voice"
            assert interrupted["after_ms"] <= 150
            assert server.get(f"/api/sessions/{session['id']}")["frames_rendered"] > 10, "by a mouth that moved"
            assert not page.complaints
            events.close()
    finally:
        if server.process:
            server.stop()


class Events:
    """The server's events, received by a program that sends no sound."""

    def __init__(self, server: ServerProcess, session: str) -> None:
        self._heard: list[dict[str, object]] = []
        self._stack = contextlib.ExitStack()
        address = f"{server.url.replace('http', 'ws')}/api/sessions/{session}/audio"
        self._socket = self._stack.enter_context(connect(address))
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def until(self, kind: str) -> dict[str, Any]:
        """Wait for an event of a kind."""
        deadline = time.monotonic() + 60
        while True:
            for event in self._heard:
                if event["type"] == kind:
                    return event
            assert time.monotonic() < deadline, f"no {kind} in {self._heard}"
            time.sleep(0.05)

    def close(self) -> None:
        self._stack.close()
        self._thread.join(60)

    def _listen(self) -> None:
        with contextlib.suppress(ConnectionClosed):  # the server ended
            for text in self._socket:
                self._heard.append(json.loads(text))
