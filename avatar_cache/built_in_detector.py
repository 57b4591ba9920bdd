"""The built-in face detector: the landmark network, run on squares of every size.

Where the network reports a face, a second and a third pass over the square around the points found refine them.
"""

from dataclasses import replace

import cv2
import numpy as np

from lipstream.avatar_cache.face_detector import DetectedFace, Floats
from lipstream.avatar_cache.forehead import bare_forehead
from lipstream.avatar_cache.landmark_network import LandmarkNetwork
from lipstream.avatar_cache.photo import Bgr

Square = tuple[float, float, float, float]
"""Centre x and y, px; rotation of its content, degrees clockwise; side, px."""

_LOOK = 1.4
"""Best side of a square for the network, as a multiple of the longer side of the points' rectangle."""
_STEP, _GROWTH = 0.3, 1.3
"""Step between the search's squares as a share of their side; ratio of one size to the next smaller one."""
_SMALLEST = 0.18
"""Side of the smallest square as a share of the picture's shorter side; smaller faces are useless as avatars."""
_MAYBE, _SURE = 0.5, 0.8
_CLEAR, _LOST = 0.032, 0.06
"""Mean doubt above which a find is rejected, and above which a followed face counts as gone."""
_AGREE = 0.05
"""Largest difference between two passes, as a share of the face's side; with more the find is rejected."""
_CANDIDATES = 64


class BuiltInDetector:
    """This project's landmark network; needs no download."""

    def __init__(self) -> None:
        self._network = LandmarkNetwork()

    def find(self, picture: Bgr) -> list[DetectedFace]:
        """Return all faces of a picture, largest first."""
        pyramid = _Pyramid(picture, self._network.size)
        squares = _search_squares(picture.shape[1], picture.shape[0])
        looks = self._look(pyramid, squares)
        best = sorted(looks, key=lambda face: face.mean_doubt)[:_CANDIDATES]
        found: list[DetectedFace] = []
        for face in sorted(self._settle(pyramid, best), key=lambda face: face.mean_doubt):
            if not any(_overlap(face, other) for other in found):
                found.append(_with_forehead(face, picture))
        return sorted(found, key=lambda face: -face.side)

    def follow(self, picture: Bgr, before: DetectedFace) -> DetectedFace | None:
        """Return the face of the previous picture in this one; ``None`` if it is gone."""
        pyramid = _Pyramid(picture, self._network.size)
        face = before
        for _ in range(2):
            face = self._look(pyramid, [_square_of(face)])[0]
            if face.score < _MAYBE or face.mean_doubt > _LOST or not 0.5 < face.side / before.side < 2:
                return None
        return _with_forehead(face, picture)

    def _settle(self, pyramid: "_Pyramid", faces: list[DetectedFace]) -> list[DetectedFace]:
        """Refine each face in several passes; return the faces for which the passes agree."""
        for _ in range(3):
            faces = [face for face in faces if face.score > _MAYBE]
            before, faces = faces, self._look(pyramid, [_square_of(face) for face in faces])
        wider = self._look(pyramid, [_square_of(face, look=1.15 * _LOOK) for face in faces])
        return [
            face
            for face, *others in zip(faces, before, wider, strict=True)
            if min(face.score, others[1].score) > _SURE
            and face.mean_doubt < _CLEAR
            and max(float(np.abs(face.points - other.points).mean()) for other in others) < _AGREE * face.side
        ]

    def _look(self, pyramid: "_Pyramid", squares: list[Square]) -> list[DetectedFace]:
        """Return the network's result for each square, faces or not."""
        if not squares:
            return []
        crops, maps = zip(*(pyramid.crop(square) for square in squares), strict=True)
        points, doubts, scores = self._network(np.stack(crops))
        sides = np.ptp(points, axis=1).max(axis=1)
        return [
            DetectedFace((p @ back[:, :2].T + back[:, 2]).astype(np.float32), doubt / side, float(score))
            for p, back, doubt, side, score in zip(points, maps, doubts, sides, scores, strict=True)
        ]


class _Pyramid:
    """Crops squares of a picture at the network's size, from halved pictures for large squares.

    Args:
        picture: ``uint8[h, w, 3]``.
        size: Side of a crop, px.
    """

    def __init__(self, picture: Bgr, size: int) -> None:
        self._levels, self._size = [picture], size

    def crop(self, square: Square) -> tuple[Bgr, Floats]:
        """Return ``uint8[size, size, 3]`` and the affine map ``float32[2, 3]`` from its pixels to the picture's."""
        x, y, turn, side = square
        size, level = self._size, int(max(np.log2(max(side, 1.0) / self._size), 0))
        while len(self._levels) <= level:
            last = self._levels[-1]
            half = max(last.shape[1] // 2, 1), max(last.shape[0] // 2, 1)
            self._levels.append(np.asarray(cv2.resize(last, half, interpolation=cv2.INTER_AREA), np.uint8))
        shrink = 2.0**level
        centre = (x + 0.5) / shrink - 0.5, (y + 0.5) / shrink - 0.5
        matrix = cv2.getRotationMatrix2D(centre, turn, size / side * shrink)
        matrix[:, 2] += (size - 1) / 2 - np.array(centre)
        picture = self._levels[level]
        crop = cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        back = cv2.invertAffineTransform(matrix) * shrink
        back[:, 2] += (shrink - 1) / 2
        return np.asarray(crop, np.uint8), back.astype(np.float32)


def _with_forehead(face: DetectedFace, picture: Bgr) -> DetectedFace:
    return replace(face, forehead=bare_forehead(picture, face.points))


def _square_of(face: DetectedFace, look: float = _LOOK) -> Square:
    eyes = face.points[42:48].mean(axis=0) - face.points[36:42].mean(axis=0)
    x, y = (float(value) for value in face.centre)
    return x, y, float(np.degrees(np.arctan2(eyes[1], eyes[0]))), max(look * face.side, 8.0)


def _overlap(one: DetectedFace, other: DetectedFace) -> bool:
    return bool(np.hypot(*(one.centre - other.centre)) < 0.5 * max(one.side, other.side))


def _search_squares(width: int, height: int) -> list[Square]:
    """Return squares of every size that cover a picture: centre x, y, rotation 0, side."""
    squares = []
    side = max(_SMALLEST * min(width, height), 24.0)
    while side <= 1.6 * min(width, height):
        across, down = (max(2, round(edge / (_STEP * side))) for edge in (width, height))
        squares += [
            ((i + 0.5) * width / across, (j + 0.5) * height / down, 0.0, side)
            for j in range(down)
            for i in range(across)
        ]
        side *= _GROWTH
    return squares
