"""Nobody is told that this software runs: its libraries ask no server of their makers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = (
    "lipstream.realtime.lipsync.openvino_backend",
    "lipstream.realtime.api.app",
    "lipstream.avatar_cache.build_job",
    "lipstream.avatar_cache.landmark_network",
    "lipstream.realtime.weights_check",
    "training.photograph",
)
_LISTEN = """
import sys, time

def listen(event, arguments):
    if event in ("urllib.Request", "socket.getaddrinfo", "socket.connect"):
        print(event, *arguments, flush=True)
        raise OSError("this test lets nothing out")

sys.addaudithook(listen)
import {module}
time.sleep({seconds})
"""
_SENT_WITHIN_S = 2
# Under a build service OpenVINO's telemetry keeps silent, which would prove nothing about a user's machine.
_BUILD_SERVICE = {"CI", "TF_BUILD", "JENKINS_URL"}


def asked(module: str, home: Path) -> str:
    """Return what a process that imports a module asked the network for."""
    program = _LISTEN.format(module=module, seconds=_SENT_WITHIN_S)
    environment = {name: value for name, value in os.environ.items() if name not in _BUILD_SERVICE}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment | {"HOME": str(home)},
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize("module", MODULES)
def test_an_import_asks_nobody_and_leaves_nothing_in_the_home(module: str, tmp_path: Path) -> None:
    assert asked(module, tmp_path) == ""
    assert not list(tmp_path.iterdir())


def test_stock_openvino_tells_google(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    assert "google-analytics" in asked("openvino", tmp_path)
    assert (tmp_path / "intel").is_dir()
