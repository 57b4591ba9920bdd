"""The face alone: in a window that is captured, in a browser source, popped out of a call."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.chromium import Page, chromium
from tests.server_process import ServerProcess

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(420)]

KEY = "the key of an operator"
LIVE = "document.documentElement.dataset.state === 'live' && document.getElementById('face').videoWidth > 0"
_PIXELS = """
(() => {
  const canvas = document.getElementById('cut-out'), {width, height} = canvas;
  const brush = canvas.getContext('2d');
  const at = (x, y) => [...brush.getImageData(x * width, y * height, 1, 1).data];
  return {corner: at(0.02, 0.5), face: at(0.5, 0.45), width};
})()
"""


DOCUMENT = (Path(__file__).parent.parent.parent / "docs" / "VIDEO_CALL.md").read_text()


def see_nothing_else(page: Page) -> None:
    """Fail if the page shows a word, a bar or a token."""
    assert page.run("document.body.innerText.trim()") == ""
    assert page.run("document.documentElement.scrollHeight <= window.innerHeight")
    assert page.run("location.hash") == ""


def test_a_browser_source_shows_the_face_cut_out_and_comes_back(
    start_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text(KEY)
    server = start_server("--secret-file", str(tmp_path / "keys"), "--avatar", "ada-green")
    server.key = KEY
    first = server.post("/api/sessions", {})
    with chromium(None) as page:
        page.call("Emulation.setDefaultBackgroundColorOverride", color={"r": 0, "g": 0, "b": 0, "a": 0})
        page.open(f"{server.url}/stage?session={first['id']}&background=transparent#token={first['viewer_token']}")
        page.until(LIVE)
        page.until(f"({_PIXELS}).face[3] === 255")
        pixels = page.run(_PIXELS)
        assert pixels["corner"][3] == 0, "the green is gone"
        see_nothing_else(page)
        page.screenshot(tmp_path / "stage.png")
        page.call("Page.reload")
        page.until(LIVE)
        server.delete(first["urls"]["self"])
        page.until("document.documentElement.dataset.state === 'connecting'")
        see_nothing_else(page)
        second = server.post("/api/sessions", {})
        page.open(f"{server.url}/stage?session={second['id']}&background=00b140#token={second['viewer_token']}")
        page.until(LIVE)
        assert page.run("getComputedStyle(document.documentElement).backgroundColor") == "rgb(0, 177, 64)"
        recording = f"{second['urls']['self']}/recording"
        server.post(recording, {})
        page.until("document.body.innerText.trim() === 'Recorded'")
        page.open(page.run("location.href") + f"&notice=off#token={second['viewer_token']}")
        page.until(LIVE)
        see_nothing_else(page)
        server.delete(recording)
        (address,) = re.findall(r"```url\n(\S+)\n", DOCUMENT)
        page.open(address.replace("http://127.0.0.1:8080", server.url) + f"#token={KEY}")
        page.until(LIVE)
        page.until(f"({_PIXELS}).corner[3] === 0")
        see_nothing_else(page)
        assert not [text for text in page.complaints if "401" not in text and "404" not in text], json.dumps(
            page.complaints
        )


@pytest.mark.needs("recorded speech")
def test_a_call_pops_out(start_server: Callable[..., ServerProcess], speech_wav: Path) -> None:
    server = start_server()
    with chromium(speech_wav) as page:
        page.open(server.url)
        page.until("document.querySelector('[data-avatar] input')")
        page.click("start")
        page.until("document.documentElement.dataset.state === 'live'")
        page.run("window.opened = null; window.open = (url) => { window.opened = url; }; 1")
        page.click("pop-out")
        url = page.run("window.opened")
        session = server.get("/api/sessions")[0]
        assert url == f"/stage?session={session['id']}&muted#token={session['viewer_token']}"
        page.call("Target.createTarget", url=f"{server.url}{url}")
        deadline = time.monotonic() + 60
        while server.get(session["urls"]["self"])["viewers"]["connected"] != 1:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert not page.complaints
