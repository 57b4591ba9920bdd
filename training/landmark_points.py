"""The 68 points of the iBUG layout on rendered heads.

Every point is a vertex of the mesh, so it is known exactly in any pose and expression.
"""

from __future__ import annotations

import numpy as np

from lipstream.avatar_cache.face_geometry import MEAN_FACE
from training.appearance import HeadPose, Stage
from training.geometry import project, rotation
from training.heads import SKIN, Floats, HeadSet, Ints


def landmark_vertices(heads: HeadSet) -> Ints:
    """Return the vertex of each of the 68 points, ``int32[68]``."""
    skin = np.where(heads.parts == SKIN)[0]
    away = ((heads.canonical[skin][None] - MEAN_FACE[:, None] / 1000) ** 2).sum(axis=2)
    vertices: Ints = skin[away.argmin(axis=1)].astype(np.int32)
    return vertices


def points_in_window(
    heads: HeadSet,
    vertices: Floats,
    index: int,
    actions: Floats,
    pose: HeadPose,
    stage: Stage,
    window: tuple[float, float, float],
) -> Floats:
    """Return the 68 points in a window of the picture, ``float32[68, 2]``: 0..1, x right, y down.

    Args:
        vertices: Neutral face of one identity, ``float32[V, 3]``.
        index: Index of the identity, for its joints.
        actions: Strength of each facial action, ``float32[A]``.
    """
    chosen = landmark_vertices(heads)
    points = vertices[chosen] + np.tensordot(actions, heads.actions[:, chosen], 1)
    points = points + np.asarray(pose.shift, np.float32)
    neck, head = rotation(pose.neck), rotation(pose.head)
    head_pivot, neck_pivot = heads.pivots[index]
    pivot = neck_pivot + neck @ (head_pivot - neck_pivot)
    # As in the shader: some vertices turn with the head, some only with the neck.
    follow = heads.follow[chosen]
    by_head = pivot + (points - head_pivot) @ (neck @ head).T
    by_neck = neck_pivot + (points - neck_pivot) @ neck.T
    placed = points + (by_neck - points) * follow[:, 1:2]
    placed = placed + (by_head - placed) * follow[:, :1]
    flat = (project(stage, placed.astype(np.float32)) - np.array(window[:2])) / window[2]
    return np.stack([(flat[:, 0] + 1) / 2, (1 - flat[:, 1]) / 2], axis=1).astype(np.float32)
