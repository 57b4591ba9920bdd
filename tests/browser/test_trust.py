"""The page tells its visitor what it shows, runs no foreign script, and explains what it cannot do."""

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.browser.chromium import Page, chromium
from tests.realtime.fakes import write_avatar
from tests.server_process import ServerProcess

pytestmark = [pytest.mark.needs("chromium", "recorded speech"), pytest.mark.timeout(300)]

StartServer = Callable[..., ServerProcess]

# Notes, at the moment when the microphone is asked for, how much of the notice can be seen, and what it says.
_WATCH_MICROPHONE = """
(() => {
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (...wanted) => {
    const notice = document.getElementById('disclosure');
    const share = await new Promise((done) => {
      new IntersectionObserver(([entry]) => done(entry.intersectionRatio)).observe(notice);
    });
    const seen = notice.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    window.noticed = { share: seen ? share : 0, text: notice.innerText };
    return ask(...wanted);
  };
})()
"""

XSS = (
    "<img src=x onerror=\"broken='img'\">",
    "<script>broken='script'</script>",
    "\"><svg onload=broken='svg'>",
    "javascript:broken='url'",
    "</label><iframe srcdoc='<script>parent.broken=1</script>'>",
)


@pytest.mark.parametrize(("width", "height"), [(360, 740), (1280, 800)])
def test_the_page_says_that_the_face_is_made_by_ai_before_the_microphone_opens(
    start_server: StartServer, speech_wav: Path, width: int, height: int
) -> None:
    server = start_server()
    with chromium(speech_wav) as page:
        page.call("Page.addScriptToEvaluateOnNewDocument", source=_WATCH_MICROPHONE)
        page.resize(width, height)
        page.open(server.url)
        page.until("document.querySelector('[data-avatar] input')")
        page.click("start")
        page.until("document.documentElement.dataset.state === 'live'")
        noticed = page.run("window.noticed")
        assert noticed["share"] > 0.95, "on screen, whole"
        assert "made by AI" in noticed["text"]
        page.until("document.getElementById('avatar-video').videoWidth > 0")
        assert page.run("document.getElementById('disclosure').checkVisibility()"), "and it stays"
        bright = page.run(
            "(() => { const v = document.getElementById('avatar-video'), c = new OffscreenCanvas(v.videoWidth,"
            " v.videoHeight), b = c.getContext('2d'); b.drawImage(v, 0, 0);"
            " return [...b.getImageData(0, 0, 90, 70).data].filter((_, i) => i % 4 === 1); })()"
        )
        corner = np.array(bright).reshape(70, 90)
        assert corner.max() > 230
        assert np.percentile(corner, 20) < 110, "white letters on a dark plate"


@pytest.fixture
def hostile_avatar(server_store: Path) -> Iterator[str]:
    """An avatar whose every text is an attack, in the store of the servers that start meanwhile."""
    folder = server_store / "avatars" / "xss"
    write_avatar(folder, "xss")
    facts = json.loads((folder / "avatar.json").read_text())
    facts |= {name: " ".join(XSS) for name in ("name", "licence", "description", "consent", "tool")}
    (folder / "avatar.json").write_text(json.dumps(facts))
    yield "xss"
    shutil.rmtree(folder)


def test_no_text_becomes_a_script(
    start_server: StartServer, speech_wav: Path, hostile_avatar: str, tmp_path: Path
) -> None:
    server = start_server()
    evil = tmp_path / f"{XSS[0].replace('/', ' ')}.png"
    evil.write_bytes(b"no picture")
    with chromium(speech_wav) as page:
        page.open(f"{server.url}/#join={XSS[1]}")
        page.until(f"document.querySelector('[data-avatar={hostile_avatar}] input')")
        shown = page.run(f"document.querySelector('[data-avatar={hostile_avatar}] .name').textContent")
        assert all(attack in shown for attack in XSS), "shown as it is"
        page.run(f"document.querySelector('[data-avatar={hostile_avatar}] input').click()")
        page.run("window.confirm = () => false")
        page.run(f"document.querySelector('[data-avatar={hostile_avatar}] .remove').click()")
        page.choose_file("upload", evil)
        _consent(page, who=XSS[2])
        page.until("document.getElementById('upload-note').innerText.includes('cannot be used')")
        page.click("start")
        page.until("document.documentElement.dataset.state === 'live'")
        # What a server's message brings into the page, by the control channel and by an error.
        page.run(
            "(async () => { const words = await import('/static/shared/words.js');"
            " const { byId } = await import('/static/shared/dom.js');"
            f" byId('notice-text').textContent = words.wordsFor('refused', {XSS[0]!r}).text; }})()"
        )
        assert page.run("window.broken ?? null") is None
        foreign = (
            "document.querySelectorAll('iframe, script:not([src^=\"/static/\"]), [onerror], [onload], style').length"
        )
        assert page.run(foreign) == 0
        # Even markup that found its way in would not run: the policy has no room for inline scripts or other hosts.
        blocked = page.run(
            "new Promise((done) => { const seen = [];"
            " addEventListener('securitypolicyviolation', (event) => seen.push(event.effectiveDirective));"
            " document.body.insertAdjacentHTML('beforeend', '<img src=data:, onerror=\"window.broken=1\">');"
            " const script = document.createElement('script'); script.textContent = 'window.broken = 2';"
            " document.body.append(script); fetch('https://example.org').catch(() => {});"
            " setTimeout(() => done(seen), 500); })"
        )
        assert {"script-src-elem", "script-src-attr", "connect-src"} <= set(blocked)
        assert page.run("window.broken ?? null") is None


def test_without_https_the_page_says_why_there_is_no_microphone(start_server: StartServer) -> None:
    address = _own_address()
    if address is None:
        pytest.skip("this machine has no address but loopback")
    server = start_server("--host", "0.0.0.0", "--insecure")
    with chromium(None) as page:
        page.open(f"http://{address}:{server.port}")
        page.until("document.documentElement.dataset.reason === 'insecure'")
        assert "https" in page.run("document.getElementById('notice').innerText")
        assert page.run("document.getElementById('start').disabled")


def _consent(page: Page, who: str) -> None:
    page.until("document.getElementById('consent').open")
    page.run("document.querySelector('#consent [value=agreed]').click()")
    page.run(f"document.getElementById('consent-who').value = {json.dumps(who)}")
    page.run("document.querySelector('#consent [value=make]').click()")


def _own_address() -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            return None
        address: str = probe.getsockname()[0]
        return None if address.startswith("127.") else address
