"""What the mouth of a source does, and the rest that follows from it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from lipstream.avatar_cache.clip_builder import BuildOptions
from lipstream.avatar_cache.detectors import create_detector
from lipstream.avatar_cache.manifest import Rest
from lipstream.avatar_cache.prepare import decode_clip, prepare
from lipstream.avatar_cache.source_mouth import (
    OPEN_MM,
    TEETH_SHARE,
    SourceMouth,
    default_rest,
    mouth_note,
    source_mouth,
    teeth_share,
    usual_mouth,
)
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.lipsync.predictor import FaceFeatures
from lipstream.realtime.picture.mouth_painter import Box
from tests.realtime.fakes import FakePredictor, worker_settings

ASTRONAUT = Path(__file__).parent / "astronaut.jpg"
BUILT_IN = Path(__file__).parents[2] / "avatar_cache" / "builtin"
SKIN, LIPS, TEETH = (120, 150, 200), (110, 100, 180), (225, 235, 240)


def _drawn(light: float, *, teeth: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return a drawn face in some light, and its landmarks."""
    points = np.zeros((68, 2), np.float32)
    for place, point in {2: (20, 60), 14: (140, 60), 31: (60, 70), 35: (100, 70), 8: (80, 150)}.items():
        points[place] = point
    angles = np.linspace(-np.pi, np.pi, 12, endpoint=False)
    points[48:60] = np.column_stack((80 + 30 * np.cos(angles), 105 + 12 * np.sin(angles)))
    points[points.sum(axis=1) == 0] = (80, 40)
    picture = np.full((160, 160, 3), SKIN, np.uint8)
    cv2.fillPoly(picture, [points[48:60].astype(np.int32)], LIPS)
    if teeth:
        cv2.rectangle(picture, (65, 102), (95, 108), TEETH, -1)
    return (picture * light).astype(np.uint8), points


@pytest.mark.parametrize("light", [1.0, 0.6, 0.3])
def test_teeth_are_seen_in_any_light_and_lips_are_none(light: float) -> None:
    assert teeth_share(*_drawn(light, teeth=True)) > 5 * TEETH_SHARE
    assert teeth_share(*_drawn(light, teeth=False)) == 0


def test_landmarks_outside_the_picture_show_no_teeth() -> None:
    picture, points = _drawn(1.0, teeth=True)
    for away in (500, -500):
        assert teeth_share(picture, points + away) == 0


def test_a_photograph_that_smiles_is_told_from_closed_lips() -> None:
    detector = create_detector("built-in")
    photograph = np.asarray(cv2.imread(str(ASTRONAUT)), np.uint8)
    (smiling, *_) = detector.find(photograph)
    assert teeth_share(photograph, smiling.points) > 2 * TEETH_SHARE
    for name in ("ada", "ben", "mira"):
        reader = cv2.VideoCapture(str(BUILT_IN / name / "clip.mp4"))
        _, read = reader.read()
        picture = np.asarray(read, np.uint8)
        (face, *_) = detector.find(picture)
        assert teeth_share(picture, face.points) < TEETH_SHARE / 5, name


def test_a_mouth_is_open_or_shows_teeth_or_is_closed() -> None:
    assert source_mouth(OPEN_MM + 1, 0.0) == source_mouth(OPEN_MM + 1, 0.1) == "open"
    assert source_mouth(1.0, 0.1) == "teeth"
    assert source_mouth(1.0, 0.0) == "closed"
    assert usual_mouth(["teeth", "closed", "teeth"]) == "teeth"


@pytest.mark.parametrize("mouth", ["closed", "teeth", "open"])
def test_only_a_photograph_that_smiles_keeps_its_mouth_and_the_note_says_what_is_done(mouth: SourceMouth) -> None:
    assert default_rest(mouth, is_photo=False) == "closed"
    rest = default_rest(mouth, is_photo=True)
    assert rest == ("keep" if mouth == "teeth" else "closed")
    assert f"--rest {rest}" in mouth_note(mouth, rest)


@pytest.mark.parametrize("rest", ["keep", "closed"])
def test_a_kept_mouth_is_the_clips_own_and_a_closed_one_the_networks(tmp_path: Path, rest: Rest) -> None:
    class Darkening(FakePredictor):
        def predict(self, mel: np.ndarray, features: FaceFeatures, frames: np.ndarray) -> np.ndarray:
            mouths: np.ndarray = super().predict(mel, features, frames) // 2
            return mouths

    cv2.imwrite(str(tmp_path / "drawing.png"), np.full((128, 128, 3), 150, np.uint8))
    store = AvatarStore(tmp_path / "store")
    options = BuildOptions(box=Box(16, 16, 96, 96), still=True, rest=rest)
    avatar = store.build(tmp_path / "drawing.png", "drawing", options=options)
    predictor = Darkening(worker_settings(store, "FakePredictor"))
    prepared = prepare(avatar, predictor)
    (clip,) = decode_clip(avatar.clip, avatar.manifest)
    assert np.array_equal(prepared.frames[0], clip) == (rest == "keep")
    assert prepared.rest_mouths.mean() == pytest.approx(150 if rest == "keep" else 75, abs=3)
    assert avatar.is_prepared(predictor.metadata.fingerprint)
    other = BuildOptions(box=Box(16, 16, 96, 96), still=True, rest="closed" if rest == "keep" else "keep")
    again = store.build(tmp_path / "drawing.png", "drawing", options=other)
    assert not again.is_prepared(predictor.metadata.fingerprint), "the same clip, but another rest"


def test_a_smiling_photograph_is_built_with_its_smile_and_the_report_says_so(tmp_path: Path) -> None:
    store = AvatarStore(tmp_path)
    avatar = store.build(ASTRONAUT, "eileen", options=BuildOptions(still=True))
    assert avatar.manifest.rest == "keep"
    report = store.report("eileen") or ""
    assert '"teeth shown"' in report
    assert "shows its teeth" in report
    closed = store.build(ASTRONAUT, "eileen", options=BuildOptions(still=True, rest="closed"))
    assert closed.manifest.rest == "closed"
    assert "--rest closed" in (store.report("eileen") or "")
