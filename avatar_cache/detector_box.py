"""Rectangles of a face detector, as published networks need them, from landmarks or from the project's own squares.

Detectors trained on WIDER FACE (S3FD, MTCNN) mark a face from forehead to chin and from cheek to cheek. The constants
are fitted to boxes of MTCNN, most of them of rendered heads. They are not checked against S3FD. docs/WAV2LIP.md states
the error.
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
"""Left, top, right, bottom, px, half-open; it may extend beyond the picture."""

SMALLEST = 16
"""Shortest side of a rectangle, px."""
_AVERAGED_FRAMES = 5

# Factors of distances from the middle of the eyes (to the jaw, the brows, the chin, and the nose, which shows a nod)
# and of the distance between brows and chin.
_JAW, _BESIDE = 0.683, 0.142
_BROWS, _NOSE_ABOVE, _ABOVE = 0.616, 0.959, 0.099
_CHIN, _NOSE_BELOW, _BELOW = 0.453, 0.501, 0.248

# Factors of half the side of the project's own square, from its middle.
_SQUARE_BESIDE, _SQUARE_ABOVE, _SQUARE_BELOW = 0.82, 1.54, 0.717


def detector_box(points: Floats) -> npt.NDArray[np.float64]:
    """Return left, top, right and bottom of a face from its 68 landmarks, ``float64[4]``, px."""
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
    """Return left, top, right and bottom of a face from the project's own square, ``float64[4]``, px."""
    half = square.width / 2
    x, y = square.x + half, square.y + half
    beside, above, below = _SQUARE_BESIDE * half, _SQUARE_ABOVE * half, _SQUARE_BELOW * half
    return np.array([x - beside, y - above, x + beside, y + below])


def follow_box(faces: list[DetectedFace | None]) -> npt.NDArray[np.float64]:
    """Return the rectangle of a face in every picture, ``float64[N, 4]``; empty if no picture has the face.

    A face without a rectangle of the detector's gets one from its landmarks. Pictures without the face get one by
    linear interpolation.
    """
    known = [(at, detector_box(face.points) if face.box is None else face.box) for at, face in enumerate(faces) if face]
    if not known:
        return np.empty((0, 4))
    return bridge(np.array([at for at, _ in known]), np.array([box for _, box in known]), len(faces))


def to_rectangles(boxes: npt.NDArray[np.float64]) -> tuple[Rectangle, ...]:
    """Return ``float64[N, 4]`` as the published detector does: clipped at 0 and truncated to whole numbers."""
    whole = np.clip(boxes, 0, None).astype(np.int64)
    return tuple((left, top, right, bottom) for left, top, right, bottom in whole.tolist())


def cropped_boxes(found: tuple[Rectangle, ...], pads: Pads, size: tuple[int, int]) -> tuple[Box, ...]:
    """Return the boxes to crop: padded, clipped to the picture, and averaged over five frames.

    As published, means are truncated and written in place. The last four frames share the window of the last five, part
    of which is averaged already.

    Args:
        found: The detector's rectangle in each frame, px.
        pads: Margins, px.
        size: Width and height of the picture, px.

    Raises:
        AvatarError: If a box has a side below :data:`SMALLEST`.
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
