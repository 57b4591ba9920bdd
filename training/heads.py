"""Parametric heads as plain arrays: one mesh, many identities, linear facial actions.

`training.identities` makes them; all other modules read only these arrays.
Axes: x to the head's left, y to its back, z up; metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

SKIN, EYE, LASH, UPPER_TEETH, LOWER_TEETH, TONGUE = range(6)
"""Kinds of surface, which decide how a face of the mesh is painted."""


@dataclass(frozen=True)
class HeadSet:
    """Identities that share one mesh.

    Attributes:
        names: Identity names, ``[N]``.
        vertices: Neutral faces, ``float32[N, V, 3]`` metres.
        actions: Displacement of each facial action at full strength, ``float32[A, V, 3]``; the
            same for every identity, and exactly additive.
        action_names: The 52 ARKit names, ``[A]``.
        faces: Triangles, ``int32[F, 3]``.
        parts: Kind of surface of each vertex (`SKIN` ...), ``int32[V]``.
        weld: Index of the surface point of each vertex, ``int32[V]``; vertices at a texture seam share a point.
        canonical: Average face, to which the paint is fixed, ``float32[V, 3]``.
        texture: ``uint8[S, S, 4]``: lips, inside of the mouth, eyelids, ears.
        uv: Texture coordinates, ``float32[V, 2]``.
        follow: How far a vertex follows the head and the neck joint, ``float32[V, 2]``.
        pivots: Head and neck joint of each identity, ``float32[N, 2, 3]``.
    """

    names: tuple[str, ...]
    vertices: Floats
    actions: Floats
    action_names: tuple[str, ...]
    faces: Ints
    parts: Ints
    weld: Ints
    canonical: Floats
    texture: NDArray[np.uint8]
    uv: Floats
    follow: Floats
    pivots: Floats

    def save(self, path: Path) -> None:
        """Write the set as one compressed ``.npz``."""
        fields: dict[str, Any] = {key: np.asarray(value) for key, value in vars(self).items()}
        np.savez_compressed(path, **fields)

    @staticmethod
    def load(path: Path) -> HeadSet:
        """Read a set written by `save`."""
        with np.load(path) as data:
            fields: dict[str, Any] = {key: data[key] for key in data.files}
        fields["names"] = tuple(str(name) for name in fields["names"])
        fields["action_names"] = tuple(str(name) for name in fields["action_names"])
        return HeadSet(**fields)


@dataclass(frozen=True)
class Identity:
    """The parameters of one head: anny's phenotype (0..1) and local changes (-1..1) by label."""

    name: str
    phenotype: dict[str, float]
    local: dict[str, float]
