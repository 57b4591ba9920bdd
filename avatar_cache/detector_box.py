"""The rectangle that a face detector gives, as published networks are fed it: from landmarks, or from our own square.

Detectors that learned from WIDER FACE's rectangles (S3FD, MTCNN) give forehead to chin and cheek to cheek. The numbers
here are fitted to MTCNN's boxes, most of rendered heads; docs/WAV2LIP.md states the error. Nobody compared them with S3FD's.
"""

from itertools import starmap

import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.face_detector import DetectedFace
from lipstream.avatar_cache.face_geometry import Floats
from lipstream.avatar_cache.face_track import bridge
from lipstream.realtime.errors import AvatarError
from lipstream.realtime.lipsync.metadata import Pads
from lipstream.realtime.picture.mouth_painter import Box

Rectangle = tuple[int, int, int, int]
"""Left, top, right, bottom, px, half-open; as a detector gives it, so it may leave the picture."""

SMALLEST = 16
"""Sides of rectangles below this, px, have no mouth to speak of."""
_AVERAGED_FRAMES = 5

# Of the distances from the middle of the eyes to the jaw, brows and chin; to the nose, which tells a nod; and of the
# distance from the brows to the chin.
_JAW, _BESIDE = 0.683, 0.142
_BROWS, _NOSE_ABOVE, _ABOVE = 0.616, 0.959, 0.099
_CHIN, _NOSE_BELOW, _BELOW = 0.453, 0.501, 0.248

# Of half the side of our own square, from its middle.
_SQUARE_BESIDE, _SQUARE_ABOVE, _SQUARE_BELOW = 0.82, 1.54, 0.717


def detector_box(points: Floats) -> npt.NDArray[np.float64]:
    """Return left, top, right, bottom of the face with these 68 landmarks, ``float64[4]``, px."""
    places = points.astype(np.float64)
    left, right = places[:, 0].min(), places[:, 0].max()
    x, y = places[36:48].mean(axis=0)
    brows, chin = places[17:27, 1].min(), places[6:11, 1].max()
    face, nose = chin - brows, places[33, 1] - y
    return np.array(
        [
            x - _JAW * (x - left) - _BESIDE * face,
            y - _BROWS * (y - brows) - _NOSE_ABOVE * nose - _ABOVE * face,
            x + _JAW * (right - x) + _BESIDE * face,
            y + _CHIN * (chin - y) + _NOSE_BELOW * nose + _BELOW * face,
        ]
    )


def box_of_square(square: Box) -> npt.NDArray[np.float64]:
    """Return left, top, right, bottom of the face in one of our own squares, ``float64[4]``, px."""
    half = square.width / 2
    x, y = square.x + half, square.y + half
    beside, above, below = _SQUARE_BESIDE * half, _SQUARE_ABOVE * half, _SQUARE_BELOW * half
    return np.array([x - beside, y - above, x + beside, y + below])


def follow_box(faces: list[DetectedFace | None]) -> npt.NDArray[np.float64]:
    """Return the rectangle of a face in every picture, ``float64[N, 4]``, empty where it is in none.

    Where the detector gave none it is worked out from the landmarks; gaps are bridged.
    """
    known = [(at, detector_box(face.points) if face.box is None else face.box) for at, face in enumerate(faces) if face]
    if not known:
        return np.empty((0, 4))
    return bridge(np.array([at for at, _ in known]), np.array([box for _, box in known]), len(faces))


def to_rectangles(boxes: npt.NDArray[np.float64]) -> tuple[Rectangle, ...]:
    """Return ``float64[N, 4]`` as the published detector answers: not below 0, cut to whole numbers."""
    whole = np.clip(boxes, 0, None).astype(np.int64)
    return tuple((left, top, right, bottom) for left, top, right, bottom in whole.tolist())


def cropped_boxes(found: tuple[Rectangle, ...], pads: Pads, size: tuple[int, int]) -> tuple[Box, ...]:
    """Return the boxes that are cut from pictures: padded, clipped to the picture, and averaged over five frames.

    As published: in whole numbers and in place, so means are cut off, and the last four frames share a window in which
    boxes before them are averaged already.

    Args:
        found: The detector's rectangle in each frame.
        pads: Outwards, px.
        size: Of the picture: width and height, px.

    Raises:
        AvatarError: If too little of a face is left in the picture.
    """
    width, height = size
    edges = np.array(found, np.int64) + np.array([-pads.left, -pads.top, pads.right, pads.bottom])
    edges[:, :2] = np.maximum(edges[:, :2], 0)
    edges[:, 2:] = np.minimum(edges[:, 2:], (width, height))
    count = len(edges)
    for frame in range(count):
        first = min(frame, max(count - _AVERAGED_FRAMES, 0))
        edges[frame] = edges[first : first + _AVERAGED_FRAMES].mean(axis=0)
    if (edges[:, 2:] - edges[:, :2]).min() < SMALLEST:
        raise AvatarError(
            f"with pads {','.join(map(str, pads))} less than {SMALLEST} px of the face are in the picture"
        )
    return tuple(starmap(_to_box, edges.tolist()))


def _to_box(left: int, top: int, right: int, bottom: int) -> Box:
    return Box(left, top, right - left, bottom - top)
