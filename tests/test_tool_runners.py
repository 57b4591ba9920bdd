"""The wheel as uvx and pipx run it, which install it for one run: a face on the page, from an empty home.

``LONG=1`` alone, since each of them installs everything anew.
"""

import os
import subprocess
import venv
from pathlib import Path

import pytest

from tests.browser.chromium import chromium
from tests.server_process import ServerProcess

pytestmark = [
    pytest.mark.skipif(os.environ.get("LONG") != "1", reason="LONG=1 only"),
    pytest.mark.needs("chromium"),
    pytest.mark.timeout(900),
]

RUNNERS = {"uvx": ("uv", ("uvx", "--from")), "pipx": ("pipx", ("pipx", "run", "--spec"))}


@pytest.fixture(params=RUNNERS)
def runner(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, ...]:
    """Return the command of a runner, installed for the test, up to where the wheel is named."""
    package, command = RUNNERS[request.param]
    tools, home = tmp_path / "tools", tmp_path / "home"
    home.mkdir()
    venv.create(tools, with_pip=True)
    subprocess.run([str(tools / "bin" / "pip"), "install", "--quiet", package], check=True, timeout=300)
    unset = [word for name in os.environ if name.startswith(("XDG_", "PIPX_", "UV_CACHE")) for word in ("-u", name)]
    return ("env", *unset, f"HOME={home}", f"PATH={tools / 'bin'}:{os.environ['PATH']}", *command)


def test_a_face_is_on_the_page(runner: tuple[str, ...], wheel: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    server = ServerProcess(tmp_path / "store", ("--no-browser",), (*runner, str(wheel), "lipstream"), tmp_path, log=log)
    server.start()
    with chromium(None, allow_microphone=False) as page:
        page.open(server.url)
        page.until("document.querySelector('[data-avatar] input')")
        page.click("sample")
        page.until("document.getElementById('avatar-video').videoWidth > 0", seconds=60)
    assert server.stop() == 0
    assert "Traceback" not in log.read_text()
