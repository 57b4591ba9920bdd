"""The CUDA tests, run by pytest if it is installed."""

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from benchmarks.cuda.options import CannotRunError, Options

_ROOT = Path(__file__).parents[2]
_TESTS = "tests/realtime/lipsync/test_cuda.py"
_SHORT = "every_batch"
_CARD = {"CARD": "required"}


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield a row for each kind of outcome."""
    if not importlib.util.find_spec("pytest"):
        raise CannotRunError("It needs pytest, which is not installed here.")
    options.open()  # raises if there is no card
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", _TESTS]
        command += [f"--junitxml={report}", *(("-k", _SHORT) if options.short else ())]
        environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | ({} if options.stand_in else _CARD)
        done = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=False)
        if not report.exists():
            raise CannotRunError(f"pytest does not run here: {(done.stderr or done.stdout).strip()[-300:]}")
        yield from _rows(report)


def _rows(report: Path) -> Iterator[dict[str, Any]]:
    tests: dict[str, list[str]] = {"passed": [], "failed": [], "skipped": []}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 (pytest wrote it)
        kinds = {part.tag for part in case}
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        tests[outcome].append(case.get("name", ""))
    for outcome, names in tests.items():
        if names:
            shown = ", ".join(names) if outcome == "failed" else ""
            yield {"outcome": outcome, "tests": len(names), "which": shown}
