"""Geometry: normals, rotations, cameras."""

from __future__ import annotations

from functools import cache

import numpy as np

from training.appearance import Stage
from training.heads import Floats, HeadSet, Ints


class SurfaceNormals:
    """Computes smooth vertex normals of a deforming mesh.

    Args:
        faces: Triangles, ``int32[F, 3]``.
        weld: Index of the surface point of each vertex, ``int32[V]``; vertices at a texture seam share a point.
    """

    def __init__(self, faces: Ints, weld: Ints) -> None:
        self._faces, self._weld = faces, weld
        welded = weld[faces]
        self._points = int(weld.max()) + 1
        corner = np.argsort(welded.ravel(), kind="stable")
        owner = welded.ravel()[corner]
        starts = np.searchsorted(owner, np.arange(self._points))
        counts = np.diff(np.append(starts, len(owner)))
        most = int(counts.max())
        # Faces around each point, padded with the index of an extra face whose normal is zero.
        self._around = np.full((self._points, most), len(faces), np.int64)
        rank = np.arange(len(owner)) - np.repeat(starts, counts)
        self._around[owner, rank] = corner // 3

    def __call__(self, vertices: Floats) -> Floats:
        """Return unit normals, ``float32[V, 3]``, weighted by the areas of the faces."""
        a, b, c = (vertices[self._faces[:, i]] for i in range(3))
        flat = np.concatenate([np.cross(b - a, c - a), np.zeros((1, 3), np.float32)])
        total = flat[self._around].sum(axis=1)
        total /= np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
        normals: Floats = total[self._weld].astype(np.float32)
        return normals

    def smooth(self, values: Floats) -> Floats:
        """Average a value per vertex over the surrounding faces, once."""
        flat = np.append(values[self._faces].mean(axis=1), 0.0)
        real = (self._around < len(self._faces)).sum(axis=1)
        mean: Floats = (flat[self._around].sum(axis=1) / np.maximum(real, 1)).astype(np.float32)
        return mean[self._weld]


# Where the lips meet on the average face (y, z): on the upper lip and on the lower lip.
_UPPER_LIP, _LOWER_LIP = (0.0, -0.1072, -0.0268), (0.0, -0.1065, -0.0279)
_CORNERS = (-0.0222, -0.0930, -0.0285), (0.0222, -0.0930, -0.0285)


@cache
def _nearest(key: bytes, points: tuple[tuple[float, float, float], ...]) -> list[int]:
    canonical = np.frombuffer(key, np.float32).reshape(-1, 3)
    return [int(np.abs(canonical - np.array(point, np.float32)).sum(axis=1).argmin()) for point in points]


def lip_gap(heads: HeadSet, vertices: Floats) -> float:
    """Return the gap between the lips at their middle, metres; near 0 for touching lips."""
    upper, lower = _nearest(heads.canonical.tobytes(), (_UPPER_LIP, _LOWER_LIP))
    return float(vertices[upper, 2] - vertices[lower, 2])


def lip_width(heads: HeadSet, vertices: Floats) -> float:
    """Return the distance between the corners of the mouth, metres."""
    right, left = _nearest(heads.canonical.tobytes(), _CORNERS)
    return float(np.linalg.norm(vertices[right] - vertices[left]))


def rotation(degrees: tuple[float, float, float]) -> Floats:
    """Return the rotation matrix for yaw (to the head's left), pitch (up) and roll, degrees."""
    yaw, pitch, roll = np.radians(degrees)
    c, s = np.cos(yaw), np.sin(yaw)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    c, s = np.cos(-pitch), np.sin(-pitch)
    nod = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    c, s = np.cos(roll), np.sin(roll)
    tilt = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    matrix: Floats = (turn @ nod @ tilt).astype(np.float32)
    return matrix


def camera_matrix(stage: Stage, window: tuple[float, float, float]) -> tuple[Floats, tuple[float, float, float]]:
    """Return the projection ``float32[4, 4]`` (column vectors) and the camera's position.

    Args:
        stage: Stage with the distance, the height of the view and the aim.
        window: Part of the picture that fills the target: centre x, y and half its side.
    """
    distance, half = stage.distance_m, stage.view_height_m / 2
    near, far = max(distance - 0.5, 0.05), distance + 1.0
    x, z = stage.aim
    scale = distance / half / window[2]
    # Rows act on (x, y, z, 1); the camera is at -distance on y and looks along +y.
    place = np.array([[1, 0, 0, -x], [0, 1, 0, distance], [0, 0, 1, -z], [0, 0, 0, 1]], np.float32)
    depth = (far + near) / (far - near)
    project = np.array(
        [
            [scale, -window[0] / window[2], 0, 0],
            [0, -window[1] / window[2], scale, 0],
            [0, depth, 0, -2 * far * near / (far - near)],
            [0, 1, 0, 0],
        ],
        np.float32,
    )
    return project @ place, (x, -distance, z)


def project(stage: Stage, points: Floats) -> Floats:
    """Return the positions of points ``[..., 3]`` in the whole picture, ``[..., 2]`` in -1..1, y up."""
    camera, _ = camera_matrix(stage, (0.0, 0.0, 1.0))
    full = points @ camera[:, :3].T + camera[:, 3]
    flat: Floats = full[..., :2] / full[..., 3:]
    return flat


def sphere_directions(count: int) -> Floats:
    """Return `count` unit vectors spread evenly over the sphere, ``float32[count, 3]``."""
    i = np.arange(count) + 0.5
    z = 1 - 2 * i / count
    turn = np.pi * (1 + 5**0.5) * i
    flat = np.sqrt(1 - z * z)
    return np.stack([flat * np.cos(turn), flat * np.sin(turn), z], axis=1).astype(np.float32)
