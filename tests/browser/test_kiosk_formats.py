"""How a kiosk fills its screen, what lies behind its face, and who may show it in a frame."""

import json
import signal
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.browser.chromium import Page, chromium
from tests.browser.other_site import site
from tests.server_process import ROOT, ServerProcess

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(420)]

StartServer = Callable[..., ServerProcess]
LIVE = "document.documentElement.dataset.state === 'live'"
PORTRAIT = ROOT / "tests" / "avatar_cache" / "astronaut.jpg"
_FORM = b"--part\r\nContent-Disposition: form-data; name=%s\r\n\r\n%s\r\n"
_FRAME = """<!doctype html>
<html data-state="there"><link rel="icon" href="data:,">
<iframe allow="microphone; autoplay" src="{}/kiosk?talk=off"></iframe>
"""
_SHOWN = """
(() => {
  const face = document.getElementById('face');
  const box = face.getBoundingClientRect();
  const scale = Math.min(box.width / face.videoWidth, box.height / face.videoHeight);
  return [face.videoWidth * scale / innerWidth, face.videoHeight * scale / innerHeight];
})()
"""


def read_picture(path: Path) -> npt.NDArray[np.uint8]:
    """Return a picture, ``uint8[h, w, 3]``, BGR."""
    picture = cv2.imread(str(path))
    assert picture is not None
    return np.asarray(picture, np.uint8)


def screenshot(page: Page, folder: Path) -> npt.NDArray[np.uint8]:
    """Return what a page shows, ``uint8[h, w, 3]``, BGR."""
    page.screenshot(folder / "shown.png")
    return read_picture(folder / "shown.png")


def upload(server: ServerProcess, picture: bytes, name: str) -> str:
    """Have an avatar made of a photograph and return its id."""
    body = b"".join(_FORM % part for part in ((b"id", name.encode()), (b"consent", b"a picture of the tests")))
    body += (
        b"--part\r\nContent-Disposition: form-data; name=file; filename=a.jpg\r\n\r\n" + picture + b"\r\n--part--\r\n"
    )
    headers = {"Content-Type": "multipart/form-data; boundary=part"}
    with urllib.request.urlopen(urllib.request.Request(f"{server.url}/api/avatars", body, headers)) as answer:
        made = str(json.load(answer)["id"])
    deadline = time.monotonic() + 120
    while {one["id"]: one["state"] for one in server.get("/api/avatars")}[made] != "ready":
        assert time.monotonic() < deadline, "the avatar is not made"
        time.sleep(0.5)
    return made


def test_a_portrait_avatar_fills_a_portrait_screen(start_server: StartServer, tmp_path: Path) -> None:
    photograph = read_picture(PORTRAIT)
    height, width = photograph.shape[:2]
    left = (width - height * 9 // 16) // 2
    tall = cv2.resize(photograph[:, left : left + height * 9 // 16], (360, 640))
    server = start_server()
    avatar = upload(server, cv2.imencode(".jpg", tall)[1].tobytes(), "tall")
    with chromium(None) as page:
        page.resize(1080, 1920)
        page.open(f"{server.url}/kiosk?talk=off&avatar={avatar}")
        page.until(LIVE)
        page.until("document.getElementById('face').videoWidth > 0")
        across, down = page.run(_SHOWN)
        assert min(across, down) > 0.99, "no band beside it"

        page.resize(390, 844)
        page.open(server.url)
        page.until(f"document.querySelector('[data-avatar={avatar}] input')")
        page.run(f"document.querySelector('[data-avatar={avatar}] input').click()")
        page.click("sample")
        page.until("document.getElementById('avatar-video').videoWidth > 0")
        page.run("scrollTo(0, 0)")
        page.until("document.getElementById('start').getBoundingClientRect().bottom <= innerHeight")
        picture = page.run(
            "(({clientWidth, clientHeight}) => clientWidth / clientHeight)(document.getElementById('avatar-video'))"
        )
        assert abs(picture - 9 / 16) < 0.01, "the call page shows it whole, without bars"
        page.click("stop")
        page.until("document.documentElement.dataset.state === 'idle'")
        assert not page.complaints
    server.delete(f"/api/avatars/{avatar}")


def test_a_kiosk_shows_its_own_background_or_no_edge_at_all(start_server: StartServer, tmp_path: Path) -> None:
    picture = tmp_path / "foyer.png"
    cv2.imwrite(str(picture), np.full((40, 30, 3), (200, 40, 10), np.uint8))
    server = start_server("--kiosk-background", str(picture))
    with chromium(None) as page:
        page.resize(540, 960)
        page.open(f"{server.url}/kiosk?talk=off&avatar=ada-green&background=picture&cut")
        page.until(LIVE)
        page.until("document.getElementById('cut-out').width > 300")
        time.sleep(0.5)
        shown = screenshot(page, tmp_path).astype(int)
        for at in ((30, 270), (300, 30)):  # above the picture, and in the green beside the head
            assert np.abs(shown[at] - (200, 40, 10)).max() < 12
        assert np.abs(shown[360, 270] - (200, 40, 10)).max() > 60, "the face stands before it"

        page.open(f"{server.url}/kiosk?talk=off&background=0a28c8")
        page.until(LIVE)
        page.until("document.getElementById('face').videoWidth > 0")
        assert np.abs(screenshot(page, tmp_path)[20, 270].astype(int) - (200, 40, 10)).max() < 3

        page.open(f"{server.url}/kiosk?talk=off&background=0a28c8&fit=cover")
        page.until(LIVE)
        page.until("document.getElementById('face').videoWidth > 0")
        time.sleep(0.5)
        assert np.abs(screenshot(page, tmp_path)[20, 270].astype(int) - (200, 40, 10)).max() > 60, "it fills the screen"
        assert not page.complaints


def test_only_named_sites_show_the_pages_in_a_frame(start_server: StartServer, tmp_path: Path) -> None:
    with site(tmp_path) as origin, chromium(None) as page:
        server = start_server("--frame-ancestors", origin)
        (tmp_path / "index.html").write_text(_FRAME.format(server.url))
        page.open(f"{origin}/index.html")
        deadline = time.monotonic() + 60
        while [one["state"] for one in server.get("/api/sessions")] != ["live"]:
            assert time.monotonic() < deadline, "the face in the frame makes no call"
            time.sleep(0.2)
        assert not page.complaints

        server.stop(signal.SIGKILL)  # its store is free at once
        other = start_server()
        (tmp_path / "index.html").write_text(_FRAME.format(other.url))
        page.open(f"{origin}/index.html")
        deadline = time.monotonic() + 30
        while not any("frame-ancestors" in one for one in page.complaints):
            assert time.monotonic() < deadline, "the browser does not refuse it"
            page.run("0")  # reads what the browser has to say
            time.sleep(0.1)
        assert other.get("/api/sessions") == []
