"""Heads, renderer and fit at toy size, end to end. Needs the extra and a software OpenGL."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("anny")
moderngl = pytest.importorskip("moderngl")

from training.appearance import Appearance, HeadPose, Stage  # noqa: E402
from training.characters import PEOPLE  # noqa: E402
from training.dataset import MOUTHS, SceneMaker, face_window  # noqa: E402
from training.geometry import lip_gap  # noqa: E402
from training.heads import HeadSet  # noqa: E402
from training.identities import build_heads  # noqa: E402
from training.pairs import CROP  # noqa: E402
from training.visemes import MOUTH_ACTIONS  # noqa: E402


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> HeadSet:
    path = Path(tmp_path_factory.mktemp("heads"), "heads.npz")
    build_heads([person.identity for person in PEOPLE], 7, 1).save(path)
    return HeadSet.load(path)


@pytest.fixture(scope="module")
def egl() -> None:
    try:
        moderngl.create_context(standalone=True, backend="egl").release()
    except Exception as error:  # noqa: BLE001 (the binding raises bare Exception)
        pytest.skip(f"no EGL: {error}")


def test_heads_survive_saving_and_differ(heads: HeadSet) -> None:
    assert heads.names[:2] == ("ada", "ben")
    assert heads.vertices.shape[0] == len(PEOPLE) + 7
    assert np.abs(heads.vertices[2] - heads.vertices[3]).max() > 0.002


def test_jaw_parts_the_lips_and_mouth_close_undoes_it(heads: HeadSet) -> None:
    jaw = heads.actions[heads.action_names.index("jawOpen")]
    close = heads.actions[heads.action_names.index("mouthClose")]
    rest = lip_gap(heads, heads.vertices[0])
    assert lip_gap(heads, heads.vertices[0] + 0.5 * jaw) - rest > 0.012
    assert abs(lip_gap(heads, heads.vertices[0] + 0.5 * (jaw + close)) - rest) < 0.001


def test_the_face_box_holds_the_mouth_in_its_lower_half(heads: HeadSet) -> None:
    stage, pose = Stage(), HeadPose()
    for index in range(len(heads.names)):
        x, y, half = face_window(heads, heads.vertices[index], index, pose, stage)
        assert abs(x) < 0.05
        assert 0.2 < half < 0.6
        assert -0.4 < y < 0.2


@pytest.mark.usefixtures("egl")
def test_scenes_differ_in_the_mouth_alone(heads: HeadSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.dataset._degrade", lambda pictures, rng: pictures)  # compression spreads a change
    mouths = np.zeros((40, len(MOUTH_ACTIONS)), np.float32)
    mouths[:, 0] = 0.4
    (scene,) = SceneMaker(heads, mouths, held_out=False).scenes(1, np.random.default_rng(4))
    assert scene["images"].shape == (MOUTHS, CROP, CROP, 3)
    change = np.abs(scene["images"][1].astype(int) - scene["images"][0]).mean(axis=2)
    assert change[CROP // 2 :].mean() > 10 * max(change[: CROP // 2 - 12].mean(), 0.01)


@pytest.mark.usefixtures("egl")
def test_the_same_picture_twice_is_the_same(heads: HeadSet) -> None:
    from training.renderer import Renderer  # noqa: PLC0415

    renderer = Renderer(heads, 64, samples=0, shells=2)
    sitter = renderer.sit(2, Appearance())
    actions = np.zeros(len(heads.action_names), np.float32)
    first, second = (renderer.draw(sitter, actions, HeadPose(), Stage()) for _ in range(2))
    assert np.array_equal(first, second)
    assert first.std() > 10
