"""A kiosk in real Chromium: it starts alone, goes on without ears, survives its server and itself, and can be shown."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.chromium import Page, chromium
from tests.server_process import ServerProcess

pytestmark = [pytest.mark.needs("chromium", "recorded speech"), pytest.mark.timeout(420)]

StartServer = Callable[..., ServerProcess]
LIVE = "document.documentElement.dataset.state === 'live'"
HINT = "document.getElementById('hint').textContent"
_SPY = """
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = (wanted) => { window.wanted = wanted; return ask(wanted); };
"""

_PROGRAM = """
(async () => {
  const { Speaker } = await import('/static/speaker.js');
  window.told = [];
  window.speaker = await Speaker.connect(location.origin, '%s', { rate: 24000 });
  window.speaker.addEventListener('event', ({ detail }) => window.told.push(detail));
  window.speaker.say(Float32Array.from({ length: 24000 * 30 }, (_, index) => (index %% 170) / 340 - 0.25));
})()
"""


def only_session(server: ServerProcess) -> str:
    """Return the id of the one session that is connected."""
    (session,) = [one for one in server.get("/api/sessions") if one["state"] == "live"]
    return str(session["id"])


def reloaded(page: Page, born: float) -> None:
    """Wait until the page is a later one than that of a time."""
    deadline = time.monotonic() + 90
    while page.run("performance.timeOrigin") <= born:
        assert time.monotonic() < deadline, "the page does not reload itself"
        time.sleep(0.3)


def test_a_kiosk_starts_once_with_a_hand_and_then_alone_and_never_gives_up(
    start_server: StartServer, speech_wav: Path
) -> None:
    server = start_server("--synthesizer", "espeak-ng")
    with chromium(speech_wav, allow_microphone=False) as page:
        page.call("Page.addScriptToEvaluateOnNewDocument", source=_SPY)
        page.call("Page.navigate", url=f"{server.url}/kiosk?talk=push&idle=300")
        page.until("document.getElementById('welcome') && !document.getElementById('welcome').hidden")
        assert server.get("/api/sessions") == [], "nothing begins before the first touch"
        page.click("welcome")
        page.until(LIVE, 60)  # the microphone was refused, and the face is there
        page.until(f"{HINT} === 'The microphone is missing.'")
        page.until("document.getElementById('face').videoWidth > 0")
        constraints = page.run("window.wanted")["audio"]
        assert constraints["echoCancellation"] is True

        page.call("Browser.grantPermissions", origin=server.url, permissions=["audioCapture", "wakeLockScreen"])
        page.until(f"{HINT} === ''", 30)  # it was asked for again
        born = page.run("performance.timeOrigin")
        session = only_session(server)
        page.run("for (let fault = 0; fault < 3; fault += 1) setTimeout(() => { throw new Error('a fault'); })")
        reloaded(page, born)
        page.until(LIVE, 60)  # by itself: the microphone was granted
        assert only_session(server) == session, "it came back to its own session"
        page.until("document.documentElement.dataset.awake === 'true'")

        server.post(f"/api/sessions/{session}/recording", {})
        page.until("!document.getElementById('recorded').hidden")
        server.delete(f"/api/sessions/{session}/recording")
        page.until("document.getElementById('recorded').hidden")

        said = json.dumps({"text": "Good morning. " + "Come a little closer, and tell me your name. " * 20})
        page.run(f"fetch('/api/sessions/{session}/say', {{method: 'POST', body: {said!r},"
                 " headers: {'Content-Type': 'application/json'}}).then((answer) => answer.status)")  # fmt: skip
        page.until("document.getElementById('line').textContent === 'Good morning.'")
        page.until("document.documentElement.dataset.mood === 'speaking'")
        page.click("face")  # a touch interrupts
        page.until("document.documentElement.dataset.mood === 'quiet'")
        deadline = time.monotonic() + 30
        while server.get(f"/api/sessions/{session}")["interrupt_tail_ms"] is None:
            assert time.monotonic() < deadline, "it was a touch that silenced the face"
            time.sleep(0.2)

        page.run(_PROGRAM % session)  # a page's program speaks through the same face
        page.until("window.told.some(({ type, heard_ms }) => type === 'playout' && heard_ms > 300)")
        page.run("window.speaker.interrupt()")
        page.until("window.told.some(({ type, heard_ms }) => type === 'interrupted' && heard_ms > 300)")
        page.run("window.speaker.close()")

        server.stop(signal.SIGKILL)
        page.until("document.documentElement.dataset.state === 'reconnecting'")
        page.until("!document.getElementById('banner').hidden")
        server.start()
        page.until(LIVE)
        assert only_session(server) != session
        page.until("document.getElementById('banner').hidden")
        assert not [one for one in page.complaints if "a fault" not in one and "Failed to load" not in one]
