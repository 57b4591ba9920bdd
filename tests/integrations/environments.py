"""Environments of their own for the agents' frameworks and our wheels, over the packages of the tests."""

import json
import os
import shutil
import subprocess
import venv
from pathlib import Path
from typing import Any

import pytest

from tests.server_process import ROOT
from tests.wheels import BINARIES, pip


class Environment:
    """A framework, Lipstream's wheel and perhaps one more of our distributions, installed beside each other.

    Its programs run away from the checkout: in a folder with copies of the tests, where nothing else of ours lies.

    Args:
        wheel: Lipstream's own.
        framework: Requirement of the framework.
        distribution: Folder of the distribution, from the checkout's root; ``None`` for none.
        folder: An empty folder; the environment, its store and what its programs write are in it.
    """

    def __init__(self, wheel: Path, framework: str, distribution: str | None, folder: Path) -> None:
        self._folder, self.python = folder, str(folder / BINARIES / "python")
        venv.create(folder)
        (site,) = {*folder.glob("lib/python*/site-packages"), *folder.glob("Lib/site-packages")}
        (site / "packages_of_the_tests.pth").write_text(f"{Path(pytest.__file__).parent.parent}\n")
        pip("--python", self.python, "install", "--quiet", framework)
        more = [str(ROOT / distribution)] if distribution else []
        pip("--python", self.python, "install", "--quiet", "--no-deps", str(wheel), *more)
        self._tests = folder / "checkout"
        shutil.copytree(ROOT / "tests", self._tests / "tests", ignore=_but_modules)
        shutil.copy(ROOT / "run_server.py", self._tests)  # what servers of the tests start
        shutil.copytree(ROOT / "docs", self._tests / "docs", ignore=_but_pages)  # whose code the tests run
        assert Path(self.call("-c", "import lipstream; print(lipstream.__file__)")).is_relative_to(folder)

    def run(self, module: str, *, timeout_s: float = 450) -> dict[str, Any]:
        """Run a module that takes the path of a JSON file, and return what it wrote there."""
        written = self._folder / f"{module}.json"
        self.call("-m", module, str(written), timeout_s=timeout_s)
        seen: dict[str, Any] = json.loads(written.read_text())
        return seen

    def call(self, *arguments: str, timeout_s: float = 450, **variables: str) -> str:
        """Run the interpreter with arguments, and return what it printed; more variables of the environment may be set.

        A failure fails the test with what it wrote on standard error.
        """
        environment = os.environ | {"LIPSTREAM_STORE": str(self._folder / "store")} | variables
        environment.pop("PYTHONPATH", None)
        command = [self.python, *arguments]
        done = subprocess.run(
            command, cwd=self._tests, env=environment, capture_output=True, text=True, check=False, timeout=timeout_s
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def _but_modules(folder: str, names: list[str]) -> set[str]:
    """Return what is left out of a copy of the tests: all but folders and modules."""
    return {name for name in names if not name.endswith(".py") and not (Path(folder) / name).is_dir()} | {"__pycache__"}


def _but_pages(folder: str, names: list[str]) -> set[str]:
    """Return what is left out of a copy of the documents: all but pages."""
    return {name for name in names if not name.endswith(".md")}
