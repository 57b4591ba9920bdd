"""Rectangles of a face detector, as published networks need them, from landmarks or from the project's own squares.

Detectors trained on WIDER FACE (S3FD, MTCNN) mark a face from forehead to chin and from cheek to cheek, and begin lower
where a fringe hides the forehead. The constants are fitted to boxes of MTCNN, most of them of rendered heads. They are
not checked against S3FD. docs/WAV2LIP.md states the error.
"""

from itertools import starmap

import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.face_detector import DetectedFace
from lipstream.avatar_cache.face_geometry import Floats
from lipstream.avatar_cache.face_track import bridge, smooth
from lipstream.avatar_cache.manifest import BoxSmoothing
from lipstream.realtime.errors import AvatarError
from lipstream.realtime.lipsync.metadata import Pads
from lipstream.realtime.picture.mouth_painter import Box

Rectangle = tuple[int, int, int, int]
"""Left, top, right, bottom, px, half-open; it may extend beyond the picture."""

SMALLEST = 16
"""Shortest side of a rectangle, px."""
_AVERAGED_FRAMES = 5

# Factors of distances between the middle of the eyes and mouth, chin and brows (means of their points), and of the
# distance between the eyes. For a side: of the distances from the middle of the eyes to its jaw and to its eye, to the
# nose towards it (a turned head), and to the brows.
_ABOVE_MOUTH, _ABOVE_CHIN, _ABOVE_BROWS = 0.573, -0.329, 2.964
_BELOW_MOUTH, _BELOW_CHIN, _BELOW_EYES = 0.257, 0.635, 0.360
_BESIDE_JAW, _BESIDE_EYE, _BESIDE_NOSE, _BESIDE_BROWS = 0.495, -0.227, -0.495, 1.842

_BARE, _FRINGE = 0.375, 0.35
"""Height of bare skin above the brows, as a share of the distance from eyes to chin, below which the box begins lower:
by so much of what is missing."""

# Factors of half the side of the project's own square, from its middle.
_SQUARE_BESIDE, _SQUARE_ABOVE, _SQUARE_BELOW = 0.82, 1.54, 0.717


def detector_box(points: Floats, forehead: float | None = None) -> npt.NDArray[np.float64]:
    """Return left, top, right and bottom of a face from its 68 landmarks, ``float64[4]``, px.

    Args:
        forehead: Height of its bare part, see :class:`DetectedFace`; ``None`` for one without a fringe.
    """
    places = points.astype(np.float64)
    right_eye, left_eye = places[36:42].mean(axis=0), places[42:48].mean(axis=0)
    x, y = (right_eye + left_eye) / 2
    mouth, chin = (part[:, 1].mean() - y for part in (places[48:60], places[6:11]))
    brows, apart = y - places[17:27, 1].mean(), np.hypot(*(left_eye - right_eye))
    above = _ABOVE_MOUTH * mouth + _ABOVE_CHIN * chin + _ABOVE_BROWS * brows
    if forehead is not None:
        above -= _FRINGE * max(_BARE - forehead, 0) * chin
    below = _BELOW_MOUTH * mouth + _BELOW_CHIN * chin + _BELOW_EYES * apart
    nose = places[27:36, 0].mean() - x
    beside = [
        _BESIDE_JAW * jaw + _BESIDE_EYE * eye + _BESIDE_NOSE * towards + _BESIDE_BROWS * brows
        for jaw, eye, towards in (
            (x - places[1:6, 0].mean(), x - right_eye[0], -nose),
            (places[11:16, 0].mean() - x, left_eye[0] - x, nose),
        )
    ]
    return np.array([x - beside[0], y - above, x + beside[1], y + below])


def box_of_square(square: Box) -> npt.NDArray[np.float64]:
    """Return left, top, right and bottom of a face from the project's own square, ``float64[4]``, px."""
    half = square.width / 2
    x, y = square.x + half, square.y + half
    beside, above, below = _SQUARE_BESIDE * half, _SQUARE_ABOVE * half, _SQUARE_BELOW * half
    return np.array([x - beside, y - above, x + beside, y + below])


def square_of_box(box: Rectangle) -> tuple[float, float, float]:
    """Return the project's own square for a detector's rectangle: centre x, y and half its side, px."""
    left, top, right, bottom = box
    half = (bottom - top) / (_SQUARE_ABOVE + _SQUARE_BELOW)
    return (left + right) / 2, top + _SQUARE_ABOVE * half, half


def box_by_hand(box: Rectangle, size: tuple[int, int]) -> Rectangle:
    """Return a rectangle set by hand, clipped to a picture of this width and height, px.

    Raises:
        AvatarError: If a side is below :data:`SMALLEST`.
    """
    left, top, right, bottom = box
    clipped = max(left, 0), max(top, 0), min(right, size[0]), min(bottom, size[1])
    if min(clipped[2] - clipped[0], clipped[3] - clipped[1]) < SMALLEST:
        raise AvatarError(
            f"less than {SMALLEST} px of the box are in the picture, which is {size[0]}x{size[1]} as stored: "
            "give TOP,BOTTOM,LEFT,RIGHT"
        )
    return clipped


def follow_box(faces: list[DetectedFace | None]) -> npt.NDArray[np.float64]:
    """Return the rectangle of a face in every picture, ``float64[N, 4]``; empty if no picture has the face.

    A face without a rectangle of the detector's gets one from its landmarks; its fringe is the same in all pictures.
    Pictures without the face get one by linear interpolation.
    """
    foreheads = [face.forehead for face in faces if face and face.forehead is not None]
    forehead = float(np.median(foreheads)) if foreheads else None
    known = [
        (at, detector_box(face.points, forehead) if face.box is None else face.box)
        for at, face in enumerate(faces)
        if face
    ]
    if not known:
        return np.empty((0, 4))
    return bridge(np.array([at for at, _ in known]), np.array([box for _, box in known]), len(faces))


def to_rectangles(boxes: npt.NDArray[np.float64]) -> tuple[Rectangle, ...]:
    """Return ``float64[N, 4]`` as the published detector does: clipped at 0 and truncated to whole numbers."""
    whole = np.clip(boxes, 0, None).astype(np.int64)
    return tuple((left, top, right, bottom) for left, top, right, bottom in whole.tolist())


def cropped_boxes(
    found: tuple[Rectangle, ...], pads: Pads, size: tuple[int, int], smoothing: BoxSmoothing = "published"
) -> tuple[Box, ...]:
    """Return the boxes to crop: smoothed, padded, and clipped to the picture.

    As published, padded and clipped boxes are averaged over five frames. The means are truncated and written in place.
    The last four frames share the window of the last five, part of which is averaged already; a clip of fewer frames
    has one window.

    Args:
        found: The detector's rectangle in each frame, px.
        pads: Margins, px.
        size: Width and height of the picture, px.

    Raises:
        AvatarError: If a box has a side below :data:`SMALLEST`.
    """
    width, height = size
    edges = _steady(found) if smoothing == "steady" else np.array(found, np.int64)
    edges += np.array([-pads.left, -pads.top, pads.right, pads.bottom])
    edges[:, :2] = np.maximum(edges[:, :2], 0)
    edges[:, 2:] = np.minimum(edges[:, 2:], (width, height))
    if smoothing == "published":
        _average(edges)
    if (edges[:, 2:] - edges[:, :2]).min() < SMALLEST:
        raise AvatarError(
            f"with pads {','.join(map(str, pads))} less than {SMALLEST} px of the face are in the picture"
        )
    return tuple(starmap(_to_box, edges.tolist()))


def _average(edges: npt.NDArray[np.int64]) -> None:
    count = len(edges)
    for frame in range(count):
        first = min(frame, max(count - _AVERAGED_FRAMES, 0))
        edges[frame] = edges[first : first + _AVERAGED_FRAMES].mean(axis=0)


def _steady(found: tuple[Rectangle, ...]) -> npt.NDArray[np.int64]:
    """Return the rectangles after the filter of the project's own squares, in whole numbers."""
    edges = np.array(found, np.float64)
    low, high = edges[:, :2], edges[:, 2:]
    smoothed = smooth(np.concatenate([(low + high) / 2, (high - low) / 2], axis=1))
    middle, half = smoothed[:, :2], smoothed[:, 2:]
    steady: npt.NDArray[np.int64] = np.rint(np.concatenate([middle - half, middle + half], axis=1)).astype(np.int64)
    return steady


def _to_box(left: int, top: int, right: int, bottom: int) -> Box:
    return Box(left, top, right - left, bottom - top)
