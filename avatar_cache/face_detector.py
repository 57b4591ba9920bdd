"""What a face detector finds in a picture, and the protocol of detectors."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.photo import Bgr

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class DetectedFace:
    """One face in one picture.

    Attributes:
        points: ``float32[68, 2]``, px, in the order of `avatar_cache.face_geometry`.
        doubt: ``float32[68]``: likely error of each point, as a share of the face's side; large for hidden points.
        score: Probability of a face, 0..1.
        box: ``float64[4]``: left, top, right, bottom, px; ``None`` if the detector gives landmarks alone.
        forehead: Height of bare skin above the brows, see `avatar_cache.forehead`; ``None`` if it was not looked at.
    """

    points: Floats
    doubt: Floats
    score: float
    box: npt.NDArray[np.float64] | None = None
    forehead: float | None = None

    @property
    def mean_doubt(self) -> float:
        """Mean of ``doubt``."""
        return float(self.doubt.mean())

    @property
    def side(self) -> float:
        """Longer side of the points' rectangle, px."""
        return float(np.ptp(self.points, axis=0).max())

    @property
    def centre(self) -> Floats:
        """Middle of the points' rectangle, px."""
        middle: Floats = (self.points.min(axis=0) + self.points.max(axis=0)) / 2
        return middle


class FaceDetector(Protocol):
    """Finds faces with their landmarks."""

    def find(self, picture: Bgr) -> list[DetectedFace]:
        """Return all faces of a picture, largest first."""

    def follow(self, picture: Bgr, before: DetectedFace) -> DetectedFace | None:
        """Return the face of the previous picture in this one; ``None`` if it is gone."""
