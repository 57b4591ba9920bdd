"""What the mouth of a source does, and how the avatar will rest and speak because of it. Pure arithmetic."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.manifest import Rest
from lipstream.avatar_cache.photo import Bgr

SourceMouth = Literal["closed", "teeth", "open"]

OPEN_MM = 8.0
"""Lip gap from which a mouth counts as open, mm: on small faces the landmarks are no more precise."""
TEETH_SHARE = 0.025
"""Share of the lips' area from which teeth show; measured: closed lips below 0.002, teeth from 0.05."""
_PALE, _BRIGHT = 0.5, 0.6
"""Teeth have less colour than this share of the skin's, and more light than this share of the skin's."""
_OUTER_LIPS = slice(48, 60)
_CHEEKS = (2, 14, 31, 35)


def teeth_share(picture: Bgr, points: npt.NDArray[np.floating]) -> float:
    """Return the share of the area within the outer lips that is pale and bright, as teeth are.

    Colour and light are compared with those of the same face's skin, so that its tone and the light do not matter.
    Inner lips are not asked for, because landmarks place them on the teeth.

    Args:
        picture: ``uint8[h, w, 3]``, BGR.
        points: 68 landmarks, px.
    """
    height, width = picture.shape[:2]
    corner = np.maximum(points.min(axis=0).astype(int) - 2, 0)
    left, top = np.minimum(corner, (width - 1, height - 1))
    right, bottom = np.clip(points.max(axis=0).astype(int) + 3, (left + 1, top + 1), (width, height))
    planes = cv2.cvtColor(picture[top:bottom, left:right], cv2.COLOR_BGR2YCrCb).astype(np.float32)
    placed = np.round(points - (left, top)).astype(np.int32)
    lips, cheeks = (np.zeros(planes.shape[:2], np.uint8) for _ in range(2))
    cv2.fillPoly(lips, [placed[_OUTER_LIPS]], 1)
    cv2.fillConvexPoly(cheeks, cv2.convexHull(placed[list(_CHEEKS)])[:, 0], 1)
    skin, mouth = planes[cheeks > 0], planes[lips > 0]
    if not len(skin) or not len(mouth):
        return 0.0
    light, red, blue = np.median(skin, axis=0)
    colour = np.hypot(mouth[:, 1] - 128, mouth[:, 2] - 128)
    teeth = (colour < _PALE * np.hypot(red - 128, blue - 128)) & (mouth[:, 0] > _BRIGHT * light)
    return float(teeth.mean())


def source_mouth(gap_mm: float, teeth: float) -> SourceMouth:
    """Return what a mouth does, from the gap between its lips, mm, and :func:`teeth_share`."""
    if gap_mm > OPEN_MM:
        return "open"
    return "teeth" if teeth >= TEETH_SHARE else "closed"


def usual_mouth(mouths: Sequence[SourceMouth]) -> SourceMouth:
    """Return what the mouth does in most pictures."""
    return Counter(mouths).most_common(1)[0][0]


def default_rest(mouth: SourceMouth, *, is_photo: bool) -> Rest:
    """Return the rest for a source: a photograph that smiles keeps its smile, all others close their lips."""
    return "keep" if is_photo and mouth == "teeth" else "closed"


def mouth_note(mouth: SourceMouth, rest: Rest) -> str:
    """Return the report's sentence on the mouth of the source and what it will look like."""
    rests = (
        "it rests as it is (--rest keep)" if rest == "keep" else "it rests with its lips drawn together (--rest closed)"
    )
    return {
        "closed": f"the source's lips are closed: {rests}, and opens them to speak",
        "teeth": f"the source shows its teeth: {rests}; speech stretches these teeth, and opens wide below them",
        "open": f"the source's mouth is open: {rests}" + ", as far as they can be" * (rest == "closed"),
    }[mouth]
