"""The extra ``wav2lip`` beside the headless OpenCV: the published detector, and a checkpoint's way to a video."""

import json
import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from lipstream.avatar_cache.built_in_detector import BuiltInDetector
from lipstream.avatar_cache.detector_box import detector_box
from tests.avatar_cache.stand_in_weights import face_box, picture
from tests.server_process import ROOT
from tests.wheels import BINARIES, pip


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the extra's packages over the tests' own: its ``cv2`` is that of opencv-python."""
    folder = tmp_path_factory.mktemp("wav2lip")
    venv.create(folder)
    (site,) = {*folder.glob("lib/python*/site-packages"), *folder.glob("Lib/site-packages")}
    (site / "packages_of_the_tests.pth").write_text(f"{Path(pytest.__file__).parent.parent}\n")
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["wav2lip"]
    found = folder / BINARIES / "python"
    pip("--python", str(found), "install", "--quiet", *extra)
    return found


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    """The landmarks of a portrait, put into the stand-ins' box."""
    portrait = np.asarray(cv2.imread(str(ROOT / "tests/avatar_cache/astronaut.jpg")))
    (face, *_) = BuiltInDetector().find(portrait)
    left, top, right, bottom = detector_box(face.points)
    x1, y1, x2, y2 = face_box()
    shares = (face.points - (left, top)) / (right - left, bottom - top)
    return np.asarray(shares * (x2 - x1, y2 - y1) + (x1, y1), np.float32)


@pytest.fixture(scope="module")
def route(python: Path, points: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("route")
    np.save(folder / "points.npy", points)
    nowhere = "http://127.0.0.1:9"  # the discard port: whoever would fetch something is refused
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")} | {
        "PYTHONPATH": str(ROOT), "HOME": str(folder), "TORCH_HOME": str(folder / "torch"),
        "http_proxy": nowhere, "https_proxy": nowhere,
    }  # fmt: skip
    command = [str(python), "-m", "tests.wav2lip_route", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=1000)
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads((folder / "route.json").read_text())
    return facts | {"folder": folder}


pytestmark = pytest.mark.timeout(1300)
needs_libgl = pytest.mark.needs("libgl")
"""opencv-python is linked with it, unlike the headless one."""


@needs_libgl
def test_opencv_python_is_what_runs(route: dict[str, Any], python: Path) -> None:
    assert Path(route["cv2"]).is_relative_to(python.parent.parent), "and not the headless one of the tests"


@needs_libgl
def test_the_published_detector_finds_boxes_and_landmarks(route: dict[str, Any], points: np.ndarray) -> None:
    box = face_box()
    np.testing.assert_allclose(route["box"], np.array(box) + 0.5, atol=0.01)
    away = np.abs(np.array(route["points"]) - points)
    assert away.max() < 7, "a cell of the heat maps is 5.5 px of this face"
    assert np.abs((np.array(route["points"]) - points).mean(axis=0)).max() < 3
    assert route["doubt"] < 0.02
    np.testing.assert_allclose(route["moved"], [32, 0, 32, 0], atol=0.01)
    assert route["nobody"] == 0


@needs_libgl
@pytest.mark.parametrize(("case", "reason"), [("unreachable", "refused"), ("damaged", "")])
def test_weights_that_cannot_be_fetched_are_one_sentence(route: dict[str, Any], case: str, reason: str) -> None:
    status, _, said = route["commands"][case]
    assert status == 1
    (line,) = [line for line in said.splitlines() if not line.startswith("Downloading")]
    assert line.startswith("avatar: the weights of 'face-alignment' cannot be fetched or read (")
    assert reason in line
    folder = route["folder"] / "torch/hub/checkpoints"
    assert f"copy s3fd-619a316812.pth and 2DFAN4-11f355bf06.pth.tar into {folder}" in line
    assert line.endswith("or use the detector 'built-in'")


@needs_libgl
def test_a_checkpoint_goes_from_its_file_to_a_video(route: dict[str, Any]) -> None:
    commands, folder = route["commands"], route["folder"]
    for name in ("convert", "build", "check", "render"):
        assert commands[name][0] == 0, commands[name]
    manifest = json.loads((folder / "store/avatars/me/avatar.json").read_text())
    assert [tuple(box) for box in manifest["detector_boxes"]] == [face_box()], "the published script's box"
    assert "Look for: " in commands["check"][1]
    assert np.asarray(cv2.imread(str(folder / "check-me.png"))).shape[1] > 1500
    with av.open(str(folder / "speech.mp4")) as video:
        frames = [frame.to_ndarray(format="gray").astype(int) for frame in video.decode(video=0)]
    assert len(frames) == 15
    x1, y1, x2, y2 = face_box()
    changed = np.abs(frames[7] - cv2.cvtColor(picture(), cv2.COLOR_BGR2GRAY))
    lower = np.s_[(y1 + y2) // 2 + 20 : y2 - 20, x1 + 20 : x2 - 20]
    assert changed[lower].mean() > 5 * changed[y2 + 30 :].mean(), "a mouth is painted, and nothing below the box"


def test_an_opencv_that_cannot_be_loaded_is_one_sentence(tmp_path: Path) -> None:
    """As after the removal of either package, and of opencv-python on a machine without a desktop's libraries."""
    (tmp_path / "cv2").mkdir()
    (tmp_path / "cv2/__init__.py").write_text("raise ImportError('libGL.so.1: cannot open', name='cv2')\n")
    for command in (["-m", "lipstream", "avatar", "list"], ["-m", "lipstream"], ["run_server.py"]):
        run = subprocess.run(
            [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False, timeout=100,
            env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        )  # fmt: skip
        assert run.returncode == 2, run.stderr
        assert run.stderr == (
            "lipstream: OpenCV cannot be loaded (libGL.so.1: cannot open): "
            "`pip install --force-reinstall --no-deps opencv-python-headless` repairs it\n"
        )
