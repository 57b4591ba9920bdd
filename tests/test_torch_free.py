"""The server's whole start path without torch: nothing imports it, and what needs it names the extra that brings it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server_process import ROOT, ServerProcess

IMPORT_ALL = """
import importlib, json, pkgutil, sys
import lipstream
from lipstream.realtime.workers.child_process import _IMPORTED
NEEDS_TORCH = {f"lipstream.realtime.lipsync.{name}" for name in (
    "blocks", "card", "fine_paint", "folding", "graphs", "network", "torch_backend", "weights"
)}
names = [*_IMPORTED, "lipstream.realtime.api.serving", "lipstream.avatar_cache.__main__"]
for package in ("lipstream.realtime", "lipstream.avatar_cache"):
    folder = importlib.import_module(package).__path__
    names += [found.name for found in pkgutil.walk_packages(folder, package + ".")]
for name in names:
    if name not in NEEDS_TORCH and not name.endswith(("__main__", "launching.launcher")):
        importlib.import_module(name)
print(json.dumps([len(names), sorted(name for name in sys.modules if name.split(".")[0] == "torch")]))
"""
"""Imports every module of the package but those that are torch's own, and the one that needs Ray."""


def run(*command: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)} | (environment or {}),
        capture_output=True, text=True, check=False, timeout=170,
    )  # fmt: skip


def without_torch(folder: Path) -> dict[str, str]:
    """Return an environment whose Python finds no torch, as where no extra brings it."""
    (folder / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    return {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


def test_no_module_but_torchs_own_imports_torch() -> None:
    done = run("-c", IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    count, found = json.loads(done.stdout)
    assert count > 200
    assert not found


def test_the_process_that_answers_requests_loads_no_networks() -> None:
    done = run("-c", "import lipstream.realtime.api.serving, sys; print('openvino' in sys.modules)")
    assert done.stdout == "False\n", done.stderr


@pytest.mark.timeout(300)
def test_no_process_of_a_server_that_draws_has_loaded_torch(server_store: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    os.environ["PYTHONPROFILEIMPORTTIME"] = "1"  # inherited by all children, each writes down what it imports
    try:
        server = ServerProcess(server_store, log=log)
        server.start()
        assert server.post("/api/sessions", {})["id"]
        assert server.stop() == 0
    finally:
        del os.environ["PYTHONPROFILEIMPORTTIME"]
    text = log.read_text()
    assert "lipstream.realtime.lipsync.openvino_graphs" in text
    assert "| torch\n" not in text
    assert " torch." not in text


def test_a_card_that_is_asked_for_without_torch_names_the_extra(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    done = run(
        "run_server.py", "--port", "0", "--device", "cuda", "--store", store, environment=without_torch(tmp_path)
    )
    assert done.returncode == 2
    assert "run_server.py: device 'cuda' needs torch: pip install -e '.[cuda]'\n" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("lists", "lines"), [("echo 'GPU 0: NVIDIA H200'", 1), ("echo 'No devices found'", 0)])
def test_a_card_that_is_not_used_for_want_of_torch_is_one_line(lists: str, lines: int, tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{lists}\n")
    program.chmod(0o755)
    code = "from lipstream.realtime.lipsync.devices import resolve_device; print(resolve_device('auto'))"
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = run("-c", code, environment=without_torch(tmp_path) | {"PATH": path})
    assert done.stdout == "cpu\n"
    assert done.stderr.count("\n") == done.stderr.count("pip install -e '.[cuda]'") == lines


def test_without_openvino_and_torch_the_extra_is_named(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; sys.modules['openvino'] = None\n"
        "from lipstream.realtime.lipsync.backends import create_predictor\n"
        "from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS\n"
        f"create_predictor(BUILT_IN_WEIGHTS, device='cpu', cache=pathlib.Path({str(tmp_path)!r}))\n"
    )
    done = run("-c", code, environment=without_torch(tmp_path))
    assert done.stderr.rstrip().endswith("a system without OpenVINO needs torch: pip install -e '.[cuda]'")
