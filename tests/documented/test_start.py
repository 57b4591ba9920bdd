"""docs/START.md and the README followed: the agent's commands as they are, and the Python that they show."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.server_process import ROOT, ServerProcess

pytestmark = pytest.mark.timeout(300)


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(
        rf"```{kind}\n(.*?)```", re.sub(r"^  ", "", (ROOT / page).read_text(), flags=re.MULTILINE), re.DOTALL
    )


@pytest.mark.needs("espeak-ng")
def test_a_text_is_said_and_recorded(start_server: Callable[..., ServerProcess]) -> None:
    server = start_server("--synthesizer", "espeak-ng")
    (said,) = [block for block in blocks("docs/START.md", "sh") if "/say" in block]
    run = said.replace("127.0.0.1:8080", f"127.0.0.1:{server.port}").replace(".venv/bin/python", sys.executable)
    told = subprocess.run(["bash", "-ec", run], capture_output=True, text=True, check=True, timeout=60).stdout
    assert '"sample"' in told
    (session,) = server.get("/api/sessions")
    assert server.get(f"/api/sessions/{session['id']}/recording")


@pytest.mark.parametrize("page", ["README.md", "docs/START.md"])
def test_the_python_speaks(page: str, server_store: Path) -> None:
    (code,) = [block for block in blocks(page, "python") if "Face(" in block]
    before = (
        "import numpy as np\nshown, pcm = [], np.sin(np.arange(24_000) / 30)\nshow = lambda *frame: shown.append(frame)"
    )
    told = subprocess.run(
        [sys.executable, "-c", f"{before}\n{code}\nprint(len(shown))"],
        cwd=ROOT, env={"LIPSTREAM_STORE": str(server_store), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=True, timeout=120,
    ).stdout  # fmt: skip
    if page == "README.md":
        assert int(told) > 20, "a second of sound is 25 frames, some of which wait for more"
    else:
        assert len(told.splitlines()) > 25
        assert "(512, 512, 3) True" in told
