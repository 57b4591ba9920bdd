"""The call page without a microphone: a recorded sentence and typed texts, then the visitor's own voice."""

from collections.abc import Callable
from pathlib import Path

import av
import pytest

from tests.browser.chromium import Page, chromium
from tests.server_process import ROOT, ServerProcess

pytestmark = [pytest.mark.needs("chromium", "recorded speech"), pytest.mark.timeout(420)]

LIVE = "document.documentElement.dataset.state === 'live'"
SPEAKING = "document.documentElement.dataset.speaking === 'true'"
_SPY = """
window.opened = 0;
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = (wanted) => { window.opened += 1; return ask(wanted); };
"""
_LOUDNESS = """
(async () => {
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, {fftSize: 2048});
  context.createMediaStreamSource(document.getElementById('avatar-video').srcObject).connect(analyser);
  const sound = new Float32Array(analyser.fftSize);
  let loudest = 0;
  for (let look = 0; look < 40; look += 1) {
    await new Promise((done) => { setTimeout(done, 50); });
    analyser.getFloatTimeDomainData(sound);
    loudest = Math.max(loudest, ...sound);
  }
  return loudest;
})()
"""

_QUIET = """
(async () => {
  for (let quiet = 0; quiet < 15;) {
    await new Promise((done) => { setTimeout(done, 100); });
    quiet = document.documentElement.dataset.speaking === 'true' ? 0 : quiet + 1;
  }
})()
"""  # longer than the pauses of a sentence


def is_shown(name: str) -> str:
    return f"document.getElementById('{name}').checkVisibility()"


def mouths(page: Page, server: ServerProcess) -> int:
    """Return how many pictures with a speaking mouth the session of a page has had."""
    (session,) = server.get("/api/sessions")
    return int(server.get(session["urls"]["self"])["frames_rendered"])


def test_the_face_says_a_sample_and_a_typed_text_and_then_what_is_spoken(
    start_server: Callable[..., ServerProcess], speech_wav: Path
) -> None:
    server = start_server("--synthesizer", "espeak-ng")
    with chromium(speech_wav) as page:
        page.call("Page.addScriptToEvaluateOnNewDocument", source=_SPY)
        page.open(server.url)
        page.until("document.querySelector('[data-avatar] input')")
        page.click("sample")
        page.until(LIVE)
        page.until(SPEAKING)
        assert page.run(_LOUDNESS) > 0.05, "the sentence is heard"
        assert page.run("document.getElementById('avatar-video').muted") is False
        assert mouths(page, server) > 0
        assert page.run("window.opened") == 0, "no microphone was asked for"
        assert not page.run(is_shown("mute"))
        page.run(_QUIET)

        before = mouths(page, server)
        page.run("document.getElementById('text').value = 'Good morning.'")
        page.run("document.getElementById('type-here').requestSubmit()")
        page.until(SPEAKING)
        page.run(_QUIET)
        assert mouths(page, server) > before

        page.click("start")
        page.until("window.opened === 1")
        page.until(is_shown("mute"))
        assert page.run("document.getElementById('avatar-video').muted") is True, "it would feed the microphone"
        assert not page.run(is_shown("sample"))
        page.until(SPEAKING)
        page.click("stop")
        page.until("document.documentElement.dataset.state === 'idle'")
        assert page.run(is_shown("sample"))
        assert not page.complaints


def test_a_refused_microphone_leaves_the_sample_going(start_server: Callable[..., ServerProcess]) -> None:
    server = start_server()
    with chromium(None, allow_microphone=False) as page:
        page.open(server.url)
        page.click("sample")
        page.until(LIVE)
        assert not page.run(is_shown("type-here")), "this server speaks no text"
        page.click("start")
        page.until("/microphone/i.test(document.getElementById('status').innerText)")
        page.until(SPEAKING)
        assert page.run(LIVE)
        page.click("sample")
        page.until(SPEAKING)


def test_the_sentence_is_small_and_whole() -> None:
    path = ROOT / "web" / "call" / "sample.mp3"
    assert path.stat().st_size <= 150_000
    with av.open(str(path)) as file:
        frames = list(file.decode(audio=0))
    assert frames[0].layout.name == "mono"
    assert 4 < sum(frame.samples for frame in frames) / frames[0].sample_rate < 10
