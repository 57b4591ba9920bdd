"""The package ``lipstream``: the same modules under both names, and a wheel that serves beside another ``realtime``."""

import asyncio
import importlib
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import time
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import avatar_cache
import lipstream
import realtime
from lipstream import cli
from lipstream.realtime.test_client.call_recording import decode_pictures
from lipstream.realtime.test_client.caller import Caller
from tests.server_process import ROOT, ServerProcess
from tests.sound_files import write_wav
from tests.wheels import BINARIES, pip

WHO_IS_LOADED = """
import collections, json, multiprocessing, os, sys

import avatar_cache.store

def loaded(queue, root):
    import lipstream.avatar_cache.store
    files = collections.defaultdict(set)
    for module in list(sys.modules.values()):
        spec = getattr(module, "__spec__", None)
        if spec and (spec.origin or "").startswith(root) and "site-packages" not in spec.origin:
            files[os.path.realpath(spec.origin)].add((id(module), spec.name))
    queue.put([sorted(name for _, name in names) for names in files.values()])

if __name__ == "__main__":
    found = {}
    for method in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        child = context.Process(target=loaded, args=(queue, sys.argv[1]))
        child.start()
        found[method] = queue.get(timeout=100)
        child.join()
    print(json.dumps(found))
"""
"""Prints, for each way to start a child process, under which names it has each of our files."""


def module_names(package: object) -> list[str]:
    """Return the names of all modules of a package but the commands, and what needs an extra that is not here."""
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")  # type: ignore[attr-defined]
    left_out = ("__main__", "launching.launcher")
    return sorted(module.name for module in found if not module.name.endswith(left_out))


@pytest.mark.parametrize("name", ["realtime", "avatar_cache"])
def test_both_names_give_the_same_modules(name: str) -> None:
    assert sys.modules[name] is sys.modules[f"lipstream.{name}"] is getattr(lipstream, name)
    package = {"realtime": realtime, "avatar_cache": avatar_cache}[name]
    names = module_names(package)
    assert len(names) > 20
    for full in names:
        short = full.removeprefix("lipstream.")
        assert importlib.import_module(short) is importlib.import_module(full)
        spec = sys.modules[short].__spec__
        assert spec is not None
        assert spec.name == full, "the module keeps the name that it was loaded under"
    with pytest.raises(ModuleNotFoundError, match=rf"{name}\.nothing"):
        importlib.import_module(f"{name}.nothing")


def test_a_child_process_loads_each_module_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(WHO_IS_LOADED)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, str(script), str(ROOT)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=150,
    )
    found = json.loads(run.stdout)
    assert "spawn" in found
    for method, files in found.items():
        assert ["lipstream.avatar_cache.store"] in files, method
        assert all(len(names) == 1 and names[0].startswith("lipstream") for names in files), (method, files)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("command", [("run_server.py",), ("-m", "lipstream")])
def test_the_server_and_its_workers_import_under_one_name(
    command: tuple[str, ...], server_store: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    os.environ["PYTHONPROFILEIMPORTTIME"] = "1"  # inherited by all children, each writes down what it imports
    try:
        server = ServerProcess(server_store, command=(sys.executable, *command), log=log)
        server.start()
        assert server.stop() == 0
    finally:
        del os.environ["PYTHONPROFILEIMPORTTIME"]
    imported = re.findall(r"import time: +\d+ \| +\d+ \| +(\S+)", log.read_text())
    assert sum(name.startswith("lipstream.realtime.") for name in imported) > 50
    assert not [name for name in imported if name.split(".")[0] in ("realtime", "avatar_cache")]


def test_the_command_lists_its_commands_and_refuses_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["lipstream", *arguments])
        return cli.main()

    assert run("--help") == 0
    shown = capsys.readouterr().out
    for name in ("serve", "render", "avatar", "weights", "devices", "doctor", "selftest"):
        assert re.search(rf"^  {name} ", shown, re.MULTILINE)
        with pytest.raises(SystemExit, match="0"):
            run(name, "--help")
        assert capsys.readouterr().out.startswith("usage: lipstream")
    assert run("--version") == 0
    assert capsys.readouterr().out == f"lipstream {lipstream.__version__}\n"
    assert run("sing") == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("lipstream: there is no command 'sing'")
    assert complaint.count("\n") == 1
    assert run("--host", "0.0.0.0") == 2
    assert capsys.readouterr().err.startswith("lipstream: host '0.0.0.0'")


def test_the_links_are_relative_and_give_the_folders_beside() -> None:
    for name in ("realtime", "avatar_cache", "web"):
        link = ROOT / "lipstream" / name
        assert link.is_symlink()
        assert link.readlink() == Path("..") / name


def test_a_checkout_whose_links_are_text_files_has_the_same_modules(tmp_path: Path) -> None:
    """As on Windows without the right to make links."""
    shutil.copytree(
        ROOT / "lipstream", tmp_path / "lipstream", symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("realtime", "avatar_cache", "web"):
        (tmp_path / "lipstream" / name).unlink()
        (tmp_path / "lipstream" / name).write_text(f"../{name}")
        (tmp_path / name).symlink_to(ROOT / name)
    program = (
        "import avatar_cache.store, realtime, lipstream.avatar_cache.store as store, lipstream.realtime; "
        "assert avatar_cache.store is store and realtime is lipstream.realtime; print(store.BUILT_IN.is_dir())"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=100
    )
    assert run.stdout == "True\n"


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A virtual environment with the wheel, the packages of the tests' own, and the index's ``realtime``."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    (site,) = {*folder.glob("lib/python*/site-packages"), *folder.glob("Lib/site-packages")}
    ours = Path(pytest.__file__).parent.parent
    (site / "packages_of_the_tests.pth").write_text(f"{ours}\n")  # without the .pth files there: no editable install
    python = str(folder / BINARIES / "python")
    pip("--python", python, "install", "--quiet", "--no-deps", str(wheel), "realtime")
    yield folder
    shutil.rmtree(folder)


@pytest.mark.timeout(300)
def test_the_wheel_holds_lipstream_alone_and_all_that_it_needs(wheel: Path) -> None:
    files = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in files} == {"lipstream"}
    assert not [name for name in files if re.search(r"tests|training|benchmarks|__pycache__|run_server", name)]
    pages = [*(ROOT / "web").glob("*.js"), *(ROOT / "web").glob("[acks]*/*")]
    wanted = {
        f"lipstream/{path.relative_to(ROOT).as_posix()}"
        for path in [*(ROOT / "realtime").rglob("*"), *(ROOT / "avatar_cache").rglob("*"), *pages]
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted <= files
    assert {name for name in files if name.startswith("lipstream/web/")} <= wanted
    assert "lipstream/py.typed" in files
    print(f"\n{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, {len(files)} files")


@pytest.mark.timeout(300)
def test_the_wheels_facts_are_those_of_the_project(wheel: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    packed = zipfile.ZipFile(wheel)
    (facts,) = [packed.read(name).decode() for name in packed.namelist() if name.endswith(".dist-info/METADATA")]
    assert f"\nVersion: {lipstream.__version__}\n" in facts
    assert "\nAuthor: Lipstream contributors\n" in facts
    assert "\nLicense-Expression: Apache-2.0\n" in facts
    assert facts.count("\nClassifier: ") == len(project["classifiers"])
    (entries,) = [packed.read(name).decode() for name in packed.namelist() if name.endswith("entry_points.txt")]
    assert "lipstream = lipstream.cli:main" in entries


@pytest.mark.timeout(300)
def test_the_installed_package_leaves_the_other_realtime_alone(installed: Path, tmp_path: Path) -> None:
    program = (
        "import realtime, lipstream.realtime, lipstream.avatar_cache.store, json, sys; "
        "print(json.dumps([realtime.__file__, hasattr(realtime, 'AsyncRealtimeClient'), lipstream.realtime.__file__, "
        "'avatar_cache' in sys.modules]))"
    )
    python = str(installed / BINARIES / "python")
    run = subprocess.run([python, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    theirs, has_client, ours, is_second_name = json.loads(run.stdout)
    assert has_client
    assert Path(theirs).is_relative_to(installed)
    assert Path(ours).is_relative_to(installed)
    assert Path(theirs) != Path(ours)
    assert not is_second_name


@pytest.mark.timeout(500)
async def test_the_installed_package_serves_a_picture(
    installed: Path, server_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    log = tmp_path / "log"
    server = ServerProcess(server_store, command=(str(installed / BINARIES / "lipstream"),), cwd=tmp_path, log=log)
    try:
        await asyncio.to_thread(server.start)
        created = await asyncio.to_thread(server.post, "/api/sessions", {})
        caller = Caller()
        try:
            offer: dict[str, object] = {"sdp": await caller.offer(), "type": "offer"}
            server.key = created["token"]
            answer = await asyncio.to_thread(server.post, created["urls"]["peer"], offer)
            await caller.accept(answer["answer"]["sdp"])
            deadline = time.monotonic() + 60
            while not (pictures := list(decode_pictures(caller.recording.picture.copy()))):
                assert time.monotonic() < deadline, "no picture comes"
                await asyncio.sleep(0.2)
        finally:
            await caller.close()
        assert pictures[0].luma.std() > 10, "a face is no even area"
        await asyncio.to_thread(server.delete, created["urls"]["self"])
    finally:
        if server.process:
            await asyncio.to_thread(server.stop)
    assert "Traceback" not in log.read_text()


@pytest.mark.timeout(300)
def test_the_installed_command_renders_and_lists(installed: Path, server_store: Path, tmp_path: Path) -> None:
    command = str(installed / BINARIES / "lipstream")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*arguments: str) -> str:
        return subprocess.run(
            [command, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=250,
        ).stdout

    assert "ada" in run("avatar", "--store", str(server_store), "list")
    write_wav(tmp_path / "tone.wav", np.zeros(48000, np.float32))
    shown = run("render", "--store", str(server_store), "--audio", "tone.wav", "--out", "out.mp4", "--avatar", "ada")
    assert "25 frames" in shown
    assert (tmp_path / "out.mp4").stat().st_size > 10_000


@pytest.mark.timeout(300)
def test_the_librarys_example_runs_from_the_wheel(installed: Path, server_store: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples/face_to_file.py", tmp_path)
    write_wav(tmp_path / "tone.wav", np.zeros(48000, np.float32))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(installed / BINARIES / "python"), "face_to_file.py", "tone.wav", "film.mp4"]
    environment["LIPSTREAM_STORE"] = str(server_store)
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=250)
    assert (tmp_path / "film.mp4").stat().st_size > 10_000
