"""Geometry of 68 face landmarks: pose, opening of the mouth, and the face box. Pure arithmetic.

Landmarks are ``float32[68, 2]`` in pixels, x right, y down, in the order of iBUG's 300-W: jaw 0..16 from the picture's
left to its right, brows 17..26, nose 27..35, eyes 36..47, outer lips 48..59, inner lips 60..67.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

# Millimetres on the average face: x to the face's left, y to its back, z up. Right half and middle; the left mirrors
# it.
_RIGHT_HALF = {
    0: (-72.7, -15.6, 33.0),
    1: (-70.8, -9.4, 16.5),
    2: (-67.9, -4.1, -2.6),
    3: (-60.6, -31.0, -19.0),
    4: (-50.5, -32.4, -41.0),
    5: (-40.2, -37.3, -53.8),
    6: (-26.2, -61.2, -62.5),
    7: (-13.6, -87.3, -65.0),
    8: (0.0, -93.3, -64.9),
    17: (-55.4, -78.3, 58.7),
    18: (-49.6, -85.2, 64.2),
    19: (-33.7, -98.1, 66.5),
    20: (-25.0, -101.5, 67.8),
    21: (-15.7, -104.0, 62.7),
    27: (0.0, -101.4, 40.5),
    28: (0.0, -105.4, 26.7),
    29: (0.0, -113.3, 14.6),
    30: (0.0, -119.1, 4.5),
    31: (-12.7, -107.5, -1.1),
    32: (-6.1, -114.0, -1.6),
    33: (0.0, -113.2, -4.2),
    36: (-44.6, -87.3, 39.9),
    37: (-37.5, -93.9, 43.3),
    38: (-25.9, -95.2, 43.7),
    39: (-19.5, -90.8, 37.4),
    40: (-26.8, -93.1, 34.7),
    41: (-34.6, -93.3, 33.9),
    48: (-21.7, -97.9, -27.8),
    49: (-13.3, -108.3, -21.1),
    50: (-4.8, -112.3, -17.1),
    51: (0.0, -113.1, -17.9),
    57: (0.0, -107.4, -39.4),
    58: (-5.9, -106.5, -38.9),
    59: (-12.3, -105.6, -34.9),
    60: (-20.2, -96.6, -27.8),
    61: (-9.8, -105.3, -26.4),
    62: (0.0, -107.2, -26.8),
    66: (0.0, -106.5, -27.9),
    67: (-10.1, -103.4, -27.2),
}

_SWAPPED = (
    *((index, 16 - index) for index in range(8)),  # jaw
    *((17 + index, 26 - index) for index in range(5)),  # brows
    *((31, 35), (32, 34)),  # nose
    *((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)),  # eyes
    *((48, 54), (49, 53), (50, 52), (59, 55), (58, 56), (60, 64), (61, 63), (67, 65)),  # lips
)
MIRROR = np.arange(68)
for _one, _other in _SWAPPED:
    MIRROR[_one], MIRROR[_other] = _other, _one
"""Index of each point after the picture is mirrored."""


def _mean_face() -> Floats:
    points = np.empty((68, 3), np.float32)
    for index, place in _RIGHT_HALF.items():
        points[MIRROR[index]] = np.array(place) * (-1, 1, 1)
        points[index] = place
    return points


MEAN_FACE = _mean_face()
"""The average face with closed lips and open eyes, ``float32[68, 3]``, mm from the head's joint."""

RIGID = [0, 2, 14, 16, *range(27, 36), 36, 39, 42, 45]
"""Points that speech and smiles hardly move: the sides, the nose, the corners of the eyes."""

# The face box of the training pictures, fitted to their landmarks over all identities: half its side by the distance
# from chin to nose and the face's scale, both at rest; and its centre.
_HALF_OF_CHIN, _HALF_OF_SCALE_MM = 0.734, 35.4
_PHILTRUM = 0.63
_ABOVE_LIP = 0.06
_NOSE_SHARE = 0.55
_JAW_FALL = 0.05
"""Distance by which the chin falls in speech, as a share of the face box."""
_AXIS_MM = np.array([0.0, -20.0, 4.5], np.float32)


@dataclass(frozen=True, slots=True)
class Pose:
    """Orientation and size of a face.

    Attributes:
        yaw_degrees: Turn to the face's own left, degrees.
        pitch_degrees: Turn upward, degrees.
        roll_degrees: Clockwise rotation in the picture, degrees.
        scale: Size of the face, px per millimetre.
        axis: Point of the head's axis behind the nose, px.
    """

    yaw_degrees: float
    pitch_degrees: float
    roll_degrees: float
    scale: float
    axis: tuple[float, float]


def estimate_pose(points: Floats) -> Pose:
    """Fit the average face to the rigid landmarks by a scaled orthographic camera (POS, DeMenthon and Davis 1995)."""
    model, seen = MEAN_FACE[RIGID], points[RIGID].astype(np.float64) * (1, -1)
    centre, middle = model.mean(axis=0), seen.mean(axis=0)
    rows = np.linalg.lstsq(model - centre, seen - middle, rcond=None)[0].T
    scale = float(np.sqrt(np.linalg.norm(rows[0]) * np.linalg.norm(rows[1])))
    # The rotation nearest to the two rows: x right, y up; a face that turns left points at the camera's back.
    u, _, v = np.linalg.svd(np.stack([rows[0], np.cross(rows[1], rows[0]) / max(scale, 1e-9), rows[1]]))
    turn = u @ np.diag([1, 1, np.linalg.det(u @ v)]) @ v
    # Turned as yaw after pitch, then rolled in the picture: the line through both ears shows the roll alone.
    roll = np.arctan2(-turn[2, 0], turn[0, 0])
    back = np.array([[np.cos(roll), 0, -np.sin(roll)], [0, 1, 0], [np.sin(roll), 0, np.cos(roll)]]) @ turn[:, 1]
    yaw, pitch, roll = np.degrees([np.arctan2(-back[0], back[1]), np.arcsin(np.clip(-back[2], -1, 1)), roll])
    axis = middle + scale * (turn @ (_AXIS_MM - centre))[[0, 2]]
    return Pose(float(yaw), float(pitch), float(roll), scale, (float(axis[0]), float(-axis[1])))


def lip_gap_mm(points: Floats, pose: Pose) -> float:
    """Return the gap between the inner lips, mm on the average face."""
    return float(np.linalg.norm(points[61:64].mean(axis=0) - points[65:68].mean(axis=0))) / pose.scale


def chin_mm(points: Floats, pose: Pose) -> float:
    """Return the distance from nose to chin, mm on the average face, corrected for a nod."""
    foreshortened = max(np.cos(np.radians(pose.pitch_degrees)), 0.6)
    return float(np.linalg.norm(points[8] - points[33])) / pose.scale / float(foreshortened)


def face_box(points: Floats, pose: Pose, chin_at_rest_mm: float) -> tuple[float, float, float]:
    """Return the box for the network: centre x, y and half its side, px.

    It reaches from about the brows to just under the chin of an open jaw; speech moves only its lower half.
    """
    half = pose.scale * max(_HALF_OF_CHIN * chin_at_rest_mm + _HALF_OF_SCALE_MM, 1.04 * 70)
    philtrum = points[33] + _PHILTRUM * (points[51] - points[33])
    x = _NOSE_SHARE * float(points[30, 0]) + (1 - _NOSE_SHARE) * pose.axis[0]
    return x, float(philtrum[1]) - _ABOVE_LIP * half, half


def jaw_outline(shares: Floats) -> tuple[tuple[float, float], ...]:
    """Return the convex polygon around lips and jaw, with room for the jaw to fall.

    Args:
        shares: ``float32[N, 68, 2]``: landmarks of N frames, in shares of their face boxes.
    """
    jaw = shares[:, 3:14]
    fallen = shares[:, 5:12] + np.array([0, _JAW_FALL], np.float32)
    around = np.concatenate([jaw, fallen, shares[:, [31, 35]], shares[:, 48:60]], axis=1).reshape(-1, 2)
    hull = cv2.convexHull(around.astype(np.float32))[:, 0]
    return tuple((round(float(x), 3), round(float(y), 3)) for x, y in hull)
