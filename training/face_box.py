"""The square around a face that Lipstream's weights see, from points of a mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Points of the average face (x, y, z) that define the box.
_UNDER_NOSE, _CHIN, _NOSE = (0, -0.1098, -0.0131), (0, -0.0811, -0.068), (0, -0.119, 0.0045)
_NAPE_Y = -0.02
_WIDE_OPEN = 0.45
_SHORTEST_M = 0.070
_ABOVE_LIP = 0.06
"""Share of the box's half: room between its centre and the raised upper lip."""


@dataclass(frozen=True)
class Landmarks:
    """Vertices of one mesh from which the face box is measured."""

    under_nose: int
    chin: int
    nose: int

    @staticmethod
    def of(canonical: NDArray[Any], skin: NDArray[np.bool_]) -> Landmarks:
        """Find the vertices.

        Args:
            canonical: Average face, ``[V, 3]``.
            skin: Which vertices are of the skin, ``bool[V]``.
        """
        of_skin = np.flatnonzero(skin)

        def nearest(point: tuple[float, float, float]) -> int:
            away = np.abs(canonical[of_skin] - np.array(point, np.float32)).sum(axis=1)
            return int(of_skin[away.argmin()])

        return Landmarks(nearest(_UNDER_NOSE), nearest(_CHIN), nearest(_NOSE))

    def points(self, vertices: NDArray[Any], jaw_open: NDArray[Any]) -> NDArray[Any]:
        """Return the points under the nose, at the chin of a wide open jaw, on the nose and in the head, ``[4, 3]``.

        Args:
            vertices: Neutral face of one identity, ``[V, 3]``.
            jaw_open: Displacement by ``jawOpen`` at full strength, ``[V, 3]``.
        """
        nose = vertices[self.nose]
        inside = nose * np.array([0, 0, 1], nose.dtype) + np.array([0, _NAPE_Y, 0], nose.dtype)
        chin = vertices[self.chin] + _WIDE_OPEN * jaw_open[self.chin]
        return np.stack([vertices[self.under_nose], chin, nose, inside])


def square_of(placed: NDArray[Any], flat: NDArray[Any], view_a_metre: float) -> tuple[float, float, float]:
    """Return the square: centre x, y (-1..1 of the view, up) and half its side.

    It reaches from about the brows to just under the chin of a wide open jaw; speech moves only its lower half.

    Args:
        placed: `Landmarks.points` in their place before the camera, metres, ``[4, 3]``.
        flat: Where the camera sees them, -1..1, up, ``[4, 2]``.
        view_a_metre: Length in the view of a metre at the face.
    """
    # Measured in space, so that the size does not depend on a nod.
    tall_m = max(float(np.linalg.norm(placed[0] - placed[1])), _SHORTEST_M)
    half = tall_m * 1.04 * view_a_metre
    # A turned head is centred between its nose and its axis, about where a detector places its box.
    return float(0.55 * flat[2, 0] + 0.45 * flat[3, 0]), float(flat[0, 1]) + _ABOVE_LIP * half, half
