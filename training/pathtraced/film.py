"""A film of a path-traced person who speaks, as a list of frames for Blender."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILM = "film.npz"


@dataclass(frozen=True)
class FilmPlan:
    """The frames of a film, 25 a second.

    Attributes:
        person: Number of the person among those of ``traced-heads.npz``.
        mouths: ``float32[T, 13]``, see `training.pathtraced.scenes.Plan`.
        heads: Yaw, pitch and roll, degrees, ``float32[T, 3]``.
        shut: How far the lids are shut, 0..1, ``float32[T]``.
        samples: Sound, ``float32[n]`` at 16 kHz.
    """

    person: int
    mouths: NDArray[np.float32]
    heads: NDArray[np.float32]
    shut: NDArray[np.float32]
    samples: NDArray[np.float32]

    def save(self, path: Path) -> None:
        """Write the plan as one compressed ``.npz``."""
        fields: dict[str, Any] = {key: np.asarray(value) for key, value in vars(self).items()}
        np.savez_compressed(path, **fields)

    @staticmethod
    def load(path: Path) -> FilmPlan:
        """Read a plan written by `save`."""
        with np.load(path) as data:
            fields: dict[str, Any] = {key: data[key] for key in data.files}
        return FilmPlan(**fields | {"person": int(fields["person"])})

    def pictures(self, folder: Path) -> list[Path]:
        """Return the paths of the rendered frames in a folder, there or not."""
        return [folder / f"{frame:04d}.png" for frame in range(len(self.mouths))]
