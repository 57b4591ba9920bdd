"""A second photograph with shut eyes: laid over the first, and shown while the lids are down."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from lipstream.avatar_cache.clip_builder import BuildOptions
from lipstream.avatar_cache.detectors import create_detector
from lipstream.avatar_cache.eye_fitting import fit_eye
from lipstream.avatar_cache.eyelids import Eyelid
from lipstream.avatar_cache.eyes_shut import lay_over
from lipstream.avatar_cache.face_detector import DetectedFace
from lipstream.avatar_cache.photo import Bgr
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.errors import AvatarError, SettingsError
from tests.avatar_cache.clips import write_clip

PORTRAIT = Path(__file__).parent / "astronaut.jpg"


@pytest.fixture(scope="module")
def photograph() -> tuple[Bgr, DetectedFace]:
    picture = np.asarray(cv2.imread(str(PORTRAIT)), np.uint8)
    return picture, create_detector("built-in").find(picture)[0]


def shut_of(picture: Bgr, face: DetectedFace) -> Bgr:
    """Return the photograph with its eyes shut and a coloured spot on each lid."""
    shut = picture.copy()
    for first in (36, 42):
        shape = fit_eye(picture, face.points[first : first + 6])
        Eyelid(picture, shape).shut(shut, 1.0)
        cv2.circle(shut, (round(shape.x), round(shape.y)), 3, (40, 160, 40), -1)
    return shut


def test_another_place_size_and_exposure_do_not_matter(photograph: tuple[Bgr, DetectedFace]) -> None:
    picture, face = photograph
    shut = shut_of(picture, face)
    moved = cv2.getRotationMatrix2D((256.0, 128.0), 4.0, 1.15) + np.array([(0, 0, 9), (0, 0, -6)])
    other = np.clip(cv2.warpAffine(shut, moved, (640, 560), borderMode=cv2.BORDER_REPLICATE) * 0.8, 0, 255)
    other = other.astype(np.uint8)
    found = face.points @ moved[:, :2].T + moved[:, 2] + np.random.default_rng(4).normal(0, 1.0, (68, 2))
    laid = lay_over(picture, face.points, other, found.astype(np.float32))
    for first in (36, 42):
        shape = fit_eye(picture, face.points[first : first + 6])
        near = slice(round(shape.y) - 12, round(shape.y) + 13), slice(round(shape.x) - 14, round(shape.x) + 15)
        spot = (laid[near][..., 1].astype(int) - laid[near][..., 2]).clip(0)
        rows, columns = np.mgrid[: spot.shape[0], : spot.shape[1]]
        assert (rows * spot).sum() / spot.sum() == pytest.approx(12, abs=1.2)
        assert (columns * spot).sum() / spot.sum() == pytest.approx(14, abs=1.2)
        assert abs(float(laid[near].mean()) - float(shut[near].mean())) < 12


def test_another_face_is_refused(photograph: tuple[Bgr, DetectedFace]) -> None:
    picture, face = photograph
    noise = np.random.default_rng(3).integers(0, 255, (40, 40, 3), np.uint8)
    with pytest.raises(AvatarError, match="another face"):
        lay_over(picture, face.points, cv2.resize(noise, (512, 512)), face.points)


def test_an_avatar_blinks_with_the_photographed_lids(photograph: tuple[Bgr, DetectedFace], tmp_path: Path) -> None:
    picture, face = photograph
    cv2.imwrite(str(tmp_path / "shut.png"), shut_of(picture, face))
    store = AvatarStore(tmp_path / "store")
    avatar = store.build(PORTRAIT, "eileen", options=BuildOptions(eyes_shut=tmp_path / "shut.png"))
    capture = cv2.VideoCapture(str(avatar.clip))
    green = []
    while (frame := capture.read()[1]) is not None:
        near = frame[90:150, 180:270].astype(int)
        green.append(int(((near[..., 1] - near[..., 2]) > 40).sum()))
    assert max(green) > 10
    assert np.count_nonzero(np.array(green) > 10) < 20, "but for two blinks the eyes are open"


def test_a_clip_takes_no_shut_eyes(photograph: tuple[Bgr, DetectedFace], tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", [photograph[0]] * 3)
    with pytest.raises(SettingsError, match="a clip blinks by itself"):
        AvatarStore(tmp_path / "store").build(clip, "me", options=BuildOptions(eyes_shut=PORTRAIT))
