"""What a stranger meets first: one sentence and status 2 where something is missing, and a browser that opens."""

import ast
import os
import socket
import subprocess
import sys
import webbrowser
from pathlib import Path

import pytest

from lipstream import cli
from lipstream.machine import processor_fault, python_fault
from lipstream.realtime.api import browser
from tests.server_process import ROOT

pytestmark = pytest.mark.timeout(300)


def start(*options: str, python: str = sys.executable, **environment: str) -> str:
    """Start the server where it cannot run; return the last line that it says."""
    run = subprocess.run(
        [python, "run_server.py", *options], cwd=ROOT, env=os.environ | environment, capture_output=True, text=True,
        check=False, timeout=200,
    )  # fmt: skip
    assert run.returncode == 2, run.stderr
    assert "Traceback" not in run.stderr
    return run.stderr.rstrip().splitlines()[-1]


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = start("--port", port, "--store", str(tmp_path / "store"))
    told = "give this server another one with --port, 0 takes a free one"
    assert said == f"run_server.py: port {port} of 127.0.0.1 is in use: {told}"


def test_a_store_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")  # root may write into any folder that is one
    said = start("--port", "0", "--store", str(tmp_path / "file" / "store"))
    assert said.startswith(f"run_server.py: the store {tmp_path / 'file' / 'store'} cannot be written to: ")


@pytest.mark.needs("tmpfs")
def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], check=True)
    try:
        said = start("--port", "0", "--store", str(disk))
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
    assert said.startswith(f"run_server.py: the disk of the store {disk} is full: ")


def test_an_old_python_is_one_sentence() -> None:
    code = (
        "import runpy, sys; sys.version_info = (3, 10, 13, 'final', 0); sys.argv = ['run_server.py']; "
        "runpy.run_path('run_server.py', run_name='__main__')"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 2
    assert run.stderr == "lipstream: Lipstream needs Python 3.11 or newer, and this is 3.10: run it with a newer one\n"


@pytest.mark.parametrize(
    "name", ["run_server.py", *(f"lipstream/{each}.py" for each in ("__init__", "__main__", "machine"))]
)
def test_what_says_so_is_read_by_an_old_python(name: str) -> None:
    ast.parse((ROOT / name).read_text(), feature_version=(3, 7))


def test_versions_of_python_are_told_apart() -> None:
    assert python_fault(3, 11) is python_fault(3, 14) is python_fault(4, 0) is None
    assert "this is 2.7" in (python_fault(2, 7) or "")


def test_a_processor_without_avx_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old").write_text("processor\t: 0\nflags\t\t: fpu sse sse2 sse4_2\n")
    (tmp_path / "new").write_text("processor\t: 0\nflags\t\t: fpu sse avx avx2\n")
    assert processor_fault(str(tmp_path / "new"), "x86_64") is None
    assert processor_fault(str(tmp_path / "none"), "x86_64") is None
    assert processor_fault(str(tmp_path / "old"), "aarch64") is None
    fault = processor_fault(str(tmp_path / "old"), "x86_64")
    monkeypatch.setattr(cli, "processor_fault", lambda: fault)
    assert cli.serve([]) == 2
    assert capsys.readouterr().err == f"lipstream: {fault}\n"


@pytest.mark.parametrize(
    ("environ", "is_terminal", "platform", "wanted"),
    [
        ({"DISPLAY": ":0"}, True, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True, "linux", True),
        ({}, True, "linux", False),
        ({"DISPLAY": ""}, True, "linux", False),
        ({"DISPLAY": ":0"}, False, "linux", False),
        ({"DISPLAY": "localhost:10.0", "SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}, True, "linux", False),
        ({}, True, "darwin", True),
        ({}, True, "win32", True),
        ({}, False, "win32", False),
    ],
)
def test_a_browser_opens_for_a_person_at_the_screen_alone(
    environ: dict[str, str], is_terminal: bool, platform: str, wanted: bool
) -> None:
    assert browser.is_wanted(environ, is_terminal=is_terminal, platform=platform) is wanted


OPENS = """
import sys, threading, webbrowser
from lipstream import cli
from lipstream.realtime.api import browser
browser.is_wanted = lambda *_, **__: True
webbrowser.open = lambda url: (print("opened", url, flush=True), threading.main_thread())
sys.exit(cli.serve(sys.argv[1:]))
"""


@pytest.mark.parametrize("option", [(), ("--no-browser",)])
def test_the_page_is_opened_when_the_server_is_ready(option: tuple[str, ...], server_store: Path) -> None:
    command = [sys.executable, "-c", OPENS, "--port", "0", "--store", str(server_store), *option]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        assert server.stdout is not None
        ready = next(line for line in server.stderr if "ready: open http://" in line)
        port = ready.rstrip().rpartition(":")[2]
        opened = [server.stdout.readline()] if not option else []
        server.terminate()
        opened += server.stdout.readlines()
        server.stderr.read()
    assert server.returncode == 0
    assert opened == ([] if option else [f"opened http://127.0.0.1:{port}\n"])


def test_a_browser_that_fails_is_no_fault_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(url: str) -> bool:
        raise webbrowser.Error(url)

    monkeypatch.setattr(webbrowser, "open", fail)
    browser._open("http://127.0.0.1:8080")
