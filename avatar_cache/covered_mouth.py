"""Says whether something covers mouth or chin of a face: a hand, a mask, a scarf, a microphone before the lips.

A detector finds such a face all the same, and places its mouth where one would be. Two signs tell it. Lips are redder
than the skin around them, whatever its colour (CIELAB, a*: 3 or more above it in every uncovered face of the built-in
avatars and of the tests' photograph), while fabric and metal are less red. And a hand, as red as the face, makes the
detector doubt the points below the nose more than the others. Both are for a picture alone: ``mouth_cover`` finds the
moments of a person's clips in which a hand passes.
"""

import cv2
import numpy as np

from lipstream.avatar_cache.face_detector import DetectedFace, Floats
from lipstream.avatar_cache.photo import Bgr

LEAST_REDNESS = -3.0
"""Redness of the lips above the skin's, a*: a black microphone has -6 to -11, a blue mask -12 to -17."""
MOST_DOUBT = 1.2
"""Doubt of the points below the nose over that of the others: 0.9 to 1.15 in uncovered faces, 1.2 to 1.3 with hands."""
LOWER_FACE = (*range(3, 14), *range(31, 36), *range(48, 68))
"""Chin, nostrils and mouth among the 68 points."""
_UPPER_FACE = tuple(point for point in range(68) if point not in LOWER_FACE)
_PATCH = 0.06
"""Radius of a patch of skin, as a share of the face's side."""


def seems_covered(picture: Bgr, face: DetectedFace) -> bool:
    """Return whether something seems to cover mouth or chin."""
    doubt = float(face.doubt[list(LOWER_FACE)].mean() / max(face.doubt[list(_UPPER_FACE)].mean(), 1e-6))
    return doubt > MOST_DOUBT or lip_redness(picture, face) < LEAST_REDNESS


def lip_redness(picture: Bgr, face: DetectedFace) -> float:
    """Return how much redder the lips are than cheeks and forehead, median a* of CIELAB; 0 without pixels of both."""
    height, width = picture.shape[:2]
    radius = max(1.0, _PATCH * face.side)
    low = np.maximum(face.points.min(axis=0) - 4 * radius, 0).astype(int)
    high = np.minimum(face.points.max(axis=0) + radius + 1, (width, height)).astype(int)
    if (high <= low).any():
        return 0.0
    part, points = picture[low[1] : high[1], low[0] : high[0]], face.points - low
    lips, skin = np.zeros(part.shape[:2], np.uint8), np.zeros(part.shape[:2], np.uint8)
    cv2.fillPoly(lips, [points[48:60].round().astype(np.int32)], 1)
    cv2.fillPoly(lips, [points[60:68].round().astype(np.int32)], 0)  # teeth and tongue
    for place in _skin(points):
        cv2.circle(skin, (round(float(place[0])), round(float(place[1]))), round(radius), 1, -1)
    if not (lips.any() and skin.any()):
        return 0.0
    red = cv2.cvtColor(part.astype(np.float32) / 255, cv2.COLOR_BGR2LAB)[..., 1]
    return float(np.median(red[lips > 0]) - np.median(red[skin > 0]))


def _skin(points: Floats) -> list[Floats]:
    """Return the middles of both cheeks and of the forehead."""
    brows = points[[21, 22]].mean(axis=0)
    cheeks = [0.5 * points[eye] + 0.35 * points[wing] + 0.15 * points[jaw] for eye, wing, jaw in _CHEEKS]
    return [*cheeks, brows - 0.35 * (points[30] - brows)]


_CHEEKS = ((36, 31, 2), (45, 35, 14))
"""Outer corner of the eye, wing of the nose and jaw of each side."""
