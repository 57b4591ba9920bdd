"""Heads as quads with texture coordinates, and the surfaces subdivided from them.

Axes as in `training.heads`: x to the head's left, y to its back, z up; metres; the origin is the head joint.
A point's place on the average face is its *canonical* place: paint and hair are fixed to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix

from training.pathtraced.subdivision import catmull_clark

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

SKIN, EYE, LASH = 0, 1, 2
"""Kinds of surface; the other kinds of `training.heads` are inside a closed mouth."""
LIPS, INSIDE_MOUTH, EYELIDS, EARS = range(4)
"""Planes of `QuadHeads.masks`."""
_MASK_BLUR_PX = 2.0


@dataclass(frozen=True)
class QuadHeads:
    """People that share one mesh of quads.

    Attributes:
        names: Names of the people, ``[N]``.
        vertices: Neutral faces, ``float32[N, V, 3]``.
        actions: Displacement of each facial action at full strength, ``float32[A, V, 3]``.
        action_names: The 52 ARKit names, ``[A]``.
        quads: Faces of the mesh, ``int32[F, 4]``.
        corner_uv: Texture coordinates of their corners, ``float32[F, 4, 2]``.
        parts: Kind of surface of each vertex, ``int32[V]``.
        canonical: Average face, ``float32[V, 3]``.
        follow: How far a vertex follows the head joint, 0..1, ``float32[V]``.
        masks: MakeHuman's paint masks: lips, inside of the mouth, eyelids, ears; ``uint8[S, S, 4]``.
    """

    names: tuple[str, ...]
    vertices: NDArray[np.float32]
    actions: NDArray[np.float32]
    action_names: tuple[str, ...]
    quads: Ints
    corner_uv: NDArray[np.float32]
    parts: Ints
    canonical: NDArray[np.float32]
    follow: NDArray[np.float32]
    masks: NDArray[np.uint8]

    def save(self, path: Path) -> None:
        """Write the heads as one compressed ``.npz``."""
        fields: dict[str, Any] = {key: np.asarray(value) for key, value in vars(self).items()}
        np.savez_compressed(path, **fields)

    @staticmethod
    def load(path: Path) -> QuadHeads:
        """Read heads written by `save`."""
        with np.load(path) as data:
            fields: dict[str, Any] = {key: data[key] for key in data.files}
        for key in ("names", "action_names"):
            fields[key] = tuple(str(name) for name in fields[key])
        return QuadHeads(**fields)

    def posed(self, name: str, strengths: dict[str, float]) -> Floats:
        """Return a person's vertices with facial actions, ``float64[V, 3]``.

        Args:
            name: Name of the person.
            strengths: Strength of each action; a name without ``Left`` or ``Right`` stands for both.
        """
        total: Floats = self.vertices[self.names.index(name)].astype(np.float64)
        for stem, strength in strengths.items():
            for action in (stem,) if stem in self.action_names else (stem + "Left", stem + "Right"):
                total += strength * self.actions[self.action_names.index(action)]
        return total

    def surface(self, part: int, levels: int) -> Surface:
        """Return one kind of surface, subdivided `levels` times."""
        keep = (self.parts[self.quads] == part).all(axis=1)
        return Surface(self.quads[keep], self.corner_uv[keep], len(self.canonical), levels)

    def masks_at(self, uv: Floats) -> Floats:
        """Return the paint masks at texture coordinates, ``float64[N, 4]``, 0..1, their borders softened.

        Args:
            uv: ``float64[N, 2]``.
        """
        size = self.masks.shape[0]
        soft = cv2.GaussianBlur(self.masks, (0, 0), _MASK_BLUR_PX)
        columns = 1024  # OpenCV takes no picture with a side of 32767 or more
        x, y = (np.pad(v, (0, -len(v) % columns)) for v in (uv[:, 0] * size - 0.5, (1 - uv[:, 1]) * size - 0.5))
        places = [v.astype(np.float32).reshape(-1, columns) for v in (x, y)]
        read = cv2.remap(soft, places[0], places[1], cv2.INTER_LINEAR).reshape(-1, 4)[: len(uv)]
        return np.asarray(read / 255.0)


class Surface:
    """A part of the mesh, subdivided; a matrix maps the vertices of the whole mesh to its own.

    Attributes:
        quads: ``int32[F, 4]``.
        uv: Texture coordinates, ``float64[V, 2]``.
    """

    def __init__(self, quads: Ints, corner_uv: NDArray[np.float32], total: int, levels: int) -> None:
        used, flat = np.unique(quads, return_inverse=True)
        fine, uv = flat.reshape(-1, 4).astype(np.int32), corner_uv.astype(np.float64)
        matrix = coo_matrix((np.ones(len(used)), (np.arange(len(used)), used)), (len(used), total)).tocsr()
        for _ in range(levels):
            fine, step, uv = catmull_clark(fine, matrix.shape[0], uv)
            matrix = step @ matrix
        self.quads = fine
        self._matrix: csr_matrix = matrix
        self.uv = np.zeros((matrix.shape[0], 2))
        self.uv[fine.ravel()] = uv.reshape(-1, 2)
        corners = fine.ravel()
        where = (corners, np.repeat(np.arange(len(fine)), 4))
        self._gather = coo_matrix((np.ones(len(corners)), where), (matrix.shape[0], len(fine))).tocsr()

    def place(self, vertices: Floats) -> Floats:
        """Return the surface's vertices, ``float64[V, 3]``, from those of the whole mesh."""
        return np.asarray(self._matrix @ vertices)

    def normals(self, placed: Floats) -> Floats:
        """Return unit normals of placed vertices, ``float64[V, 3]``."""
        corner = placed[self.quads]
        flat = np.cross(corner[:, 2] - corner[:, 0], corner[:, 3] - corner[:, 1])
        return unit(self._gather @ flat)


def unit(vectors: Floats) -> Floats:
    """Return vectors over their lengths, along the last axis; zero stays zero."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12))


def smoothstep(low: float | Floats, high: float | Floats, value: Floats) -> Floats:
    """Return 0 up to `low`, 1 from `high` on, with a smooth step between; `low` may be the greater."""
    t = np.clip((value - low) / (np.asarray(high) - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def blob(points: Floats, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> Floats:
    """Return a Gaussian bump, 1 at its centre, at points ``float64[N, 3]``."""
    away = (points - np.asarray(centre)) / np.asarray(radii)
    return np.asarray(np.exp(-(away * away).sum(-1)))


def rotation(degrees: tuple[float, float, float]) -> Floats:
    """Return the rotation, ``float64[3, 3]``, of a turn by yaw (to the head's right), pitch (down) and roll."""
    yaw, pitch, roll = np.radians(degrees)
    c, s = np.cos((yaw, -pitch, roll)), np.sin((yaw, -pitch, roll))
    about_z = np.array(((c[0], -s[0], 0), (s[0], c[0], 0), (0, 0, 1)))
    about_x = np.array(((1, 0, 0), (0, c[1], -s[1]), (0, s[1], c[1])))
    about_y = np.array(((c[2], 0, s[2]), (0, 1, 0), (-s[2], 0, c[2])))
    return np.asarray(about_z @ about_x @ about_y)


def grid_quads(rows: int, columns: int, *, wrap: bool) -> Ints:
    """Return the quads of a grid of vertices in row order, ``int32[F, 4]``; `wrap` joins last and first column."""
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns if wrap else columns - 1), indexing="ij")
    k = (j + 1) % columns
    corners = (i * columns + j, i * columns + k, (i + 1) * columns + k, (i + 1) * columns + j)
    return np.stack(corners, axis=-1).reshape(-1, 4).astype(np.int32)
