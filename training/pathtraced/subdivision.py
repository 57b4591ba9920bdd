"""Catmull-Clark subdivision as a sparse matrix: built once for a mesh, applied to any of its shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix, vstack

Ints = NDArray[np.int32]
_Indices = NDArray[np.integer[Any]]


def catmull_clark(quads: Ints, count: int, uv: NDArray[np.float64]) -> tuple[Ints, csr_matrix, NDArray[np.float64]]:
    """Return one step of subdivision (E. Catmull, J. Clark, 1978, with the usual rule for open borders).

    Args:
        quads: ``int32[F, 4]``.
        count: Number of vertices.
        uv: Texture coordinates of the quads' corners, ``float64[F, 4, 2]``; they are halved, not smoothed.

    Returns:
        The fine quads, ``int32[4 F, 4]``; the matrix from coarse to fine vertices (old vertices, edges, faces);
        and the texture coordinates of the fine corners, ``float64[4 F, 4, 2]``.
    """
    faces = len(quads)
    corner = quads.ravel()
    pairs = np.sort(np.stack([corner, np.roll(quads, -1, axis=1).ravel()], axis=1), axis=1)
    edges, edge_of, uses = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    edge_of, total = edge_of.reshape(faces, 4), len(edges)
    number, each = np.arange(faces), np.repeat(np.arange(faces), 4)
    rim = uses != 2

    face_points = _matrix(0.25, each, corner, (faces, count))
    middles = _matrix(0.5, np.repeat(np.arange(total), 2), edges.ravel(), (total, count))
    faces_of_edge = _matrix(1.0, edge_of.ravel(), each, (total, faces))
    edge_points = _rows(middles, np.where(rim, 1.0, 0.5)) + _rows(faces_of_edge @ face_points, np.where(rim, 0.0, 0.25))

    faces_of_vertex = _matrix(1.0, corner, each, (count, faces))
    edges_of_vertex = _matrix(1.0, edges.ravel(), np.repeat(np.arange(total), 2), (count, total))
    rim_edges = np.flatnonzero(rim)
    rims_of_vertex = edges_of_vertex[:, rim_edges]
    valence = np.maximum(_sums(faces_of_vertex), 1)
    on_rim = np.zeros(count)
    on_rim[edges[rim].ravel()] = 1
    inner = (1 - on_rim) / valence
    old_points = (
        _rows(faces_of_vertex @ face_points, inner / valence)
        + _rows(edges_of_vertex @ middles, 2 * inner / np.maximum(_sums(edges_of_vertex), 1))
        + _rows(_matrix(1.0, np.arange(count), np.arange(count), (count, count)), inner * (valence - 3) + on_rim / 2)
        + _rows(rims_of_vertex @ middles[rim_edges], on_rim / 2 / np.maximum(_sums(rims_of_vertex), 1))
    )

    ahead = edge_of + count
    centre = np.repeat((number + count + total)[:, None], 4, axis=1)
    fine = np.stack([quads, ahead, centre, np.roll(ahead, 1, axis=1)], axis=-1).reshape(-1, 4)
    uv_ahead = (uv + np.roll(uv, -1, axis=1)) / 2
    uv_centre = np.repeat(uv.mean(axis=1, keepdims=True), 4, axis=1)
    fine_uv = np.stack([uv, uv_ahead, uv_centre, np.roll(uv_ahead, 1, axis=1)], axis=2).reshape(-1, 4, 2)
    return fine.astype(np.int32), vstack([old_points, edge_points, face_points]).tocsr(), fine_uv


def _matrix(value: float, rows: _Indices, columns: _Indices, shape: tuple[int, int]) -> csr_matrix:
    return coo_matrix((np.full(len(rows), value), (rows, columns)), shape).tocsr()


def _rows(matrix: csr_matrix, weights: NDArray[np.float64]) -> csr_matrix:
    """Return the matrix with each row times its weight."""
    return csr_matrix(matrix.multiply(weights[:, None]))


def _sums(matrix: csr_matrix) -> NDArray[np.float64]:
    return np.asarray(matrix.sum(axis=1)).ravel()
