"""A kiosk whose face takes part: it greets, listens, thinks and answers, as the page of a visitor is told."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.render import read_sound
from tests.avatar_cache.filmed import film
from tests.browser.chromium import chromium
from tests.server_process import PROMPTS, ROOT, ServerProcess, free_port
from tests.sound_files import write_wav

pytestmark = [pytest.mark.needs("chromium", "recorded speech"), pytest.mark.timeout(420)]

NOTE_EVENTS = """
window.told = [];
const create = RTCPeerConnection.prototype.createDataChannel;
RTCPeerConnection.prototype.createDataChannel = function (...args) {
  const channel = create.apply(this, args);
  channel.addEventListener('message', ({ data }) => window.told.push(JSON.parse(data)));
  return channel;
};
"""


@pytest.fixture
def question(tmp_path: Path) -> Path:
    """A visitor's microphone: ten seconds of silence, then a question, again and again."""
    prompt = read_sound(PROMPTS / "conf-adminmenu.wav")[: 48_000 * 2]
    silence = np.zeros(48_000, np.float32)
    path = tmp_path / "question.wav"
    write_wav(path, np.concatenate((*[silence] * 10, 0.6 * prompt / np.abs(prompt).max(), *[silence] * 10)))
    return path


def test_a_kiosk_greets_listens_thinks_and_answers(server_store: Path, tmp_path: Path, question: Path) -> None:
    films = film(tmp_path, idle=50, speaking=40, greet=40)
    store = AvatarStore(server_store)
    store.build(films["idle"], "host")
    store.add_motions("host", {"greet": films["greet"], "think": films["speaking"]})
    agent_port = free_port()
    agent = subprocess.Popen(
        [sys.executable, "-m", "tests.realtime.agent.agent_server", str(agent_port), "A long story. " * 3], cwd=ROOT
    )
    url = f"http://127.0.0.1:{agent_port}/v1"
    engines = [part for name in ("transcriber", "chat", "synthesizer") for part in (f"--{name}", url)]
    server = ServerProcess(server_store, ("--avatar", "host", *engines))
    try:
        server.start()
        with chromium(question) as page:
            page.call("Page.enable")
            page.call("Page.addScriptToEvaluateOnNewDocument", source=NOTE_EVENTS)
            page.open(f"{server.url}/kiosk")
            for told in (
                {"type": "motion_started", "motion": "greet"},
                {"type": "listening"},
                {"type": "motion_started", "motion": "think"},
                {"type": "transcript"},
                {"type": "speech_started"},
            ):
                facts = " && ".join(f"one.{name} === {json.dumps(value)}" for name, value in told.items())
                page.until(f"window.told?.some((one) => {facts})")
            order = [one["motion"] for one in page.run("window.told") if one["type"] == "motion_started"]
            assert order[:2] == ["greet", "think"]
            assert not page.complaints
            page.call("Page.navigate", url="about:blank")  # hangs up, so that the server need not wait
    finally:
        server.stop()
        agent.terminate()
        agent.wait(20)
        store.remove("host")
