"""The wheel of the checkout, for environments of their own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server_process import ROOT

BINARIES = "Scripts" if os.name == "nt" else "bin"
PACKED = ("lipstream", "realtime", "avatar_cache", "web", "pyproject.toml", "README.md", "LICENSE")
NO_INDEX = ("ConnectionError", "NewConnectionError", "No matching distribution", "Temporary failure", "timed out")


def pip(*arguments: str) -> None:
    """Run pip; skip the test where it finds no package index."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    if run.returncode and any(sign in run.stdout + run.stderr for sign in NO_INDEX):
        if os.environ.get("REQUIRE_SYSTEM") == "1":
            pytest.fail(f"needs a package index: {run.stderr}")
        pytest.skip("needs a package index")
    assert not run.returncode, run.stderr


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built of a copy: a build leaves folders where it runs."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in PACKED:
        source, to = ROOT / name, folder / "source" / name
        if source.is_dir():
            shutil.copytree(source, to, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, to)
    pip("wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(folder / "source"))
    (found,) = folder.glob("*.whl")
    return found
