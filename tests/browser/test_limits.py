"""Limits that end a call are said plainly on the page; a kiosk says so too, and goes on by itself."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.chromium import chromium
from tests.server_process import ServerProcess

pytestmark = [pytest.mark.needs("chromium", "recorded speech"), pytest.mark.timeout(420)]

KEY = "the key of an operator"
LIVE = "document.documentElement.dataset.state === 'live'"
TITLE = "document.getElementById('notice-title').textContent"
BANNER = "document.getElementById('banner').textContent"


def test_the_pages_say_which_limit_ended_the_call(
    start_server: Callable[..., ServerProcess], speech_wav: Path, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text(KEY)
    server = start_server("--secret-file", str(tmp_path / "keys"))
    server.key = KEY
    invitation = server.post("/api/tokens", {"kiosk": True})
    with chromium(speech_wav) as page:
        page.open(f"{server.url}/#join={invitation['token']}")
        page.until("document.querySelector('[data-avatar] input')")
        page.click("start")
        page.until(LIVE)
        server.delete(f"/api/tokens/{invitation['id']}")
        page.until(f"{TITLE} === 'The invitation was taken back'")
        assert page.run("document.documentElement.dataset.state") == "failed"
        assert server.get("/api/sessions") == [], "no new call begins by itself"
        token = server.post("/api/tokens", {"kiosk": True, "max_minutes": 0.15})["token"]
        page.open(f"{server.url}/kiosk?talk=off#join={token}")
        page.until(LIVE)
        (first,) = server.get("/api/sessions")
        page.until(f"{BANNER}.includes('The time for this call is over')")
        page.until(LIVE)
        (second,) = server.get("/api/sessions")
        assert second["id"] != first["id"]
