"""A face with something before its mouth is told from one without, by one line of the report."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from lipstream.avatar_cache.built_in_detector import BuiltInDetector
from lipstream.avatar_cache.covered_mouth import lip_redness, seems_covered
from lipstream.avatar_cache.face_detector import DetectedFace
from lipstream.avatar_cache.media_reader import Limits, open_source
from lipstream.avatar_cache.preflight import examine, look_at
from lipstream.avatar_cache.store import BUILT_IN
from lipstream.realtime.picture.mouth_painter import Box
from tests.avatar_cache.test_faces import read_portrait

Picture = np.ndarray
BLUE, BLACK = (225, 215, 190), (40, 40, 42)


@pytest.fixture(scope="module")
def detector() -> BuiltInDetector:
    return BuiltInDetector()


@pytest.fixture(scope="module", params=["ada", "amara"])
def bare(request: pytest.FixtureRequest, detector: BuiltInDetector) -> tuple[Picture, DetectedFace]:
    """Return a built-in avatar of light or dark skin, and its face."""
    clip = open_source(BUILT_IN / request.param / "clip.mp4", Limits(), side=512)
    picture = next(iter(clip.pictures()))
    return picture, detector.find(picture)[0]


def nothing(picture: Picture, face: DetectedFace) -> None:
    pass


def mask(picture: Picture, face: DetectedFace) -> None:
    outline = np.concatenate([face.points[2:15], face.points[[28]]]).astype(np.int32)
    cv2.fillConvexPoly(picture, cv2.convexHull(outline), BLUE)


def microphone(picture: Picture, face: DetectedFace) -> None:
    x, y = face.points[48:60].mean(axis=0) + face.side * np.array([0.03, 0.06])
    cv2.circle(picture, (int(x), int(y)), int(0.17 * face.side), BLACK, -1)
    cv2.line(picture, (int(x), int(y)), (int(x + face.side / 4), picture.shape[0]), BLACK, int(0.09 * face.side))


def hand(picture: Picture, face: DetectedFace) -> None:
    nose, mouth = face.points[30].astype(int), face.points[48:60].mean(axis=0)
    skin = 0.85 * np.median(picture[nose[1] - 3 : nose[1] + 3, nose[0] - 3 : nose[0] + 3].reshape(-1, 3), axis=0)
    for finger in range(4):
        left = int(face.points[8, 0] - 0.45 * face.side), int(mouth[1] + face.side * (0.02 + 0.11 * finger))
        right = int(mouth[0] + 0.35 * face.side), int(mouth[1] + face.side * (0.1 * finger - 0.12))
        colour = tuple(float(part) for part in skin * (0.95 + 0.03 * finger))
        cv2.line(picture, left, right, colour, int(0.12 * face.side))


def sunglasses(picture: Picture, face: DetectedFace) -> None:
    for eye in (face.points[36:42], face.points[42:48]):
        x, y = eye.mean(axis=0)
        axes = int(0.19 * face.side), int(0.13 * face.side)
        cv2.ellipse(picture, (int(x), int(y)), axes, 0, 0, 360, BLACK, -1)


@pytest.mark.parametrize(
    ("cover", "covered"),
    [(nothing, False), (sunglasses, False), (mask, True), (microphone, True), (hand, True)],
)
def test_covers_of_a_face_that_is_found(
    cover: Callable[[Picture, DetectedFace], None],
    covered: bool,
    bare: tuple[Picture, DetectedFace],
    detector: BuiltInDetector,
) -> None:
    picture = bare[0].copy()
    cover(picture, bare[1])
    found = detector.follow(picture, bare[1])  # as in a clip; a search may find no face below a mask
    assert found is not None
    assert seems_covered(picture, found) == covered
    x, y = found.centre
    look = look_at(picture, float(x), float(y), found.side / 2, found)
    box = Box(0, 0, 200, 200)
    lines = examine((box,), [found], [look], jump=0, size=(512, 512)).lines
    (line,) = [one for one in lines if one.name == "mouth covered"]
    assert (line.value, line.verdict) == ((100, "poor") if covered else (0, "good"))
    assert ("a hand, a mask or a microphone" in line.advice) == covered


@pytest.mark.parametrize("in_colour", [True, False])
def test_a_photograph_is_not_covered(in_colour: bool, detector: BuiltInDetector) -> None:
    portrait = read_portrait()
    if not in_colour:
        portrait = cv2.cvtColor(cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    assert not seems_covered(portrait, detector.find(portrait)[0])


def test_a_face_at_the_edge_or_beyond_it_is_measured_as_far_as_it_is_there() -> None:
    points = np.random.default_rng(1).uniform(0, 90, (68, 2)).astype(np.float32)
    face = DetectedFace(points, np.full(68, 0.01, np.float32), 1.0)
    grey = np.full((64, 64, 3), 90, np.uint8)
    for shift in (-200, -60, 0, 40, 200):
        moved = DetectedFace(points + np.float32(shift), face.doubt, face.score)
        assert lip_redness(grey, moved) == pytest.approx(0, abs=1e-3)
        assert not seems_covered(grey, moved)
