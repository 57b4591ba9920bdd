"""What a photograph does: the curves of its gestures, and an avatar that has them."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipstream.avatar_cache.__main__ import main
from lipstream.avatar_cache.clip_builder import BuildOptions
from lipstream.avatar_cache.face_track import thumbnail
from lipstream.avatar_cache.gestures import (
    GESTURES,
    GREET,
    NOD,
    STRESS_LEVELS,
    THINK,
    gesture,
    gesture_levels,
    levels_of,
)
from lipstream.avatar_cache.idle_motion import LOOP_FRAMES, Moment, moments
from lipstream.avatar_cache.motion_graph import BLINKS, LISTENING, SPEAKING, STATES, USUAL_LIVELINESS
from lipstream.avatar_cache.prepare import decode_clip
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.errors import AvatarError
from lipstream.realtime.picture.i420 import i420_to_bgr

pytestmark = pytest.mark.timeout(600)  # pictures are drawn, on whatever cores there are
PORTRAIT = Path(__file__).parent / "astronaut.jpg"


def curves(shown: list[Moment]) -> np.ndarray:
    """Return turn, nod, tilt, breath and brows of each moment."""
    return np.array([(moment.turn, moment.nod, moment.tilt, moment.breath, moment.brows) for moment in shown])


def test_each_level_of_stress_lowers_the_head_and_raises_the_brows() -> None:
    shown = curves(gesture_levels(SPEAKING)).reshape(STRESS_LEVELS, -1, 5)
    np.testing.assert_allclose(shown[0], curves(gesture(SPEAKING)))
    apart = np.diff(shown, axis=0)
    np.testing.assert_allclose(apart, np.broadcast_to(apart[0, 0], apart.shape), atol=1e-9)
    assert (apart[0, 0] == 0).tolist() == [True, False, True, True, False]
    assert (apart[0, 0, [1, 4]] > 0).all()


@pytest.mark.parametrize("name", GESTURES)
def test_at_0_a_gesture_is_the_idle_motion(name: str) -> None:
    still = gesture(name, 0.0)
    idle = moments(len(still)) if name in STATES else moments()[: len(still)]
    np.testing.assert_allclose(curves(still), curves(idle))
    assert [moment.gaze for moment in still] == pytest.approx([moment.gaze for moment in idle])
    assert gesture_levels(name, 0.0) == still * levels_of(name)


@pytest.mark.parametrize("name", GESTURES)
def test_a_gesture_flows_into_the_idle_motion_or_into_itself(name: str) -> None:
    shown = curves(gesture(name, 1.0))
    steps = np.abs(np.diff(shown, axis=0)).max(axis=0)
    if name in STATES:
        assert (np.abs(shown[0] - shown[-1]) <= 1.01 * steps).all()
    else:
        idle = curves(moments())
        np.testing.assert_allclose(shown[[0, -1]], idle[[0, len(shown) - 1]], atol=1e-9)


def test_a_livelier_head_goes_further() -> None:
    for name in GESTURES:
        reach = [np.abs(curves(gesture(name, share)) - curves(gesture(name, 0.0))).max() for share in (0.2, 0.6, 1.0)]
        assert 0 < reach[0] < reach[1] < reach[2]


@pytest.fixture
def portrait(tmp_path: Path) -> Path:
    picture = cv2.imread(str(PORTRAIT))
    assert picture is not None
    cv2.imwrite(str(tmp_path / "anna.png"), cv2.resize(picture[:260, 90:350], (192, 192), interpolation=cv2.INTER_AREA))
    return tmp_path / "anna.png"


def test_a_photograph_speaks_and_nods_without_a_visible_seam(portrait: Path, tmp_path: Path) -> None:
    store = AvatarStore(tmp_path / "store")
    store.build(portrait, "anna")
    avatar = store.add_motions(
        "anna", {SPEAKING: portrait, NOD: portrait}, options=BuildOptions(liveliness=USUAL_LIVELINESS)
    )
    lines = {line["name"]: line["value"] for line in json.loads(store.report("anna") or "")["lines"]}
    assert lines["motion step"] <= 1.2
    assert avatar.manifest.motions == (NOD,)
    assert [clip.frames for clip in avatar.manifest.clips][:3] == [LOOP_FRAMES, 40, 4 * 70]
    assert [clip.levels for clip in avatar.manifest.clips][:3] == [1, 1, 4]
    blinks = avatar.manifest.steps[BLINKS]
    looks = [thumbnail(i420_to_bgr(frame)) for frame in decode_clip(avatar.clip, avatar.manifest)]
    first = avatar.manifest.ranges[2].first
    for step in blinks:
        open_eyes = [first + (step.leaves + number) % 70 for number in range(1, step.between + 1)]
        apart = [float(np.abs(looks[a] - looks[b]).max()) for a, b in zip(step.frames(), open_eyes, strict=True)]
        assert apart[1] > apart[0] > apart[-1] > 0, "the lids fall faster than they rise"
        assert step.enters == (step.leaves + len(apart) + 1) % 70
    assert avatar.manifest.covered == (), "shut eyes and an open mouth cover nothing"
    with pytest.raises(AvatarError, match="of which these clips are drawn: listening, speaking, greet, nod, think"):
        store.add_motions("anna", {"wave": portrait})
    with pytest.raises(AvatarError, match="not the photograph that the avatar was built from"):
        store.add_motions("anna", {NOD: PORTRAIT})


@pytest.mark.parametrize("share", ["-0.1", "1.5", "nan"])
def test_the_dial_ends_at_0_and_1(
    portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], share: str
) -> None:
    build = ["--store", str(tmp_path), "build", str(portrait), "--id", "anna", "--no-prepare"]
    assert main([*build, f"--lively={share}"]) == 1
    assert "between 0 and 1" in capsys.readouterr().err


def test_the_command_draws_all_of_them(
    portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[object] = []

    def note(_: AvatarStore, avatar_id: str, sources: dict[str, Path], *, options: BuildOptions, **__: object) -> None:
        asked.append((avatar_id, sources, options.liveliness))

    monkeypatch.setattr(AvatarStore, "add_motions", note)
    build = ["--store", str(tmp_path), "build", str(portrait), "--id", "anna", "--no-prepare", "--still"]
    assert main([*build, "--lively", "0.3", "--motion", "think=thinking.mp4"]) == 0
    drawn = dict.fromkeys((LISTENING, SPEAKING, GREET, NOD), portrait)
    assert asked == [("anna", drawn | {THINK: Path("thinking.mp4")}, 0.3)]
    assert "sharpness" in capsys.readouterr().out
