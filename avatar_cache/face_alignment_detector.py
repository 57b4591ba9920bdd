"""The published method's detector: S3FD boxes and FAN landmarks, from the ``face-alignment`` package."""

from pathlib import Path, PurePosixPath
from pickle import UnpicklingError
from types import ModuleType
from typing import Any

import numpy as np

from lipstream.avatar_cache.face_detector import DetectedFace
from lipstream.avatar_cache.photo import Bgr
from lipstream.extras import install_line
from lipstream.realtime.errors import SettingsError

_SURE_OF_POINTS = 0.6


class FaceAlignmentDetector:
    """S3FD and FAN on the CPU, as the published script runs them: without a second, mirrored look.

    The package downloads their weights on first use.

    Raises:
        SettingsError: If the package is not installed or too old, or if its weights cannot be read.
    """

    def __init__(self) -> None:
        try:
            import face_alignment  # type: ignore[import-not-found] # noqa: PLC0415 (an extra)
        except ImportError as error:
            raise SettingsError(
                f"the detector 'face-alignment' is not installed: `{install_line('face_alignment')}`, or use 'built-in'"
            ) from error
        try:
            self._model: Any = face_alignment.FaceAlignment(
                face_alignment.LandmarksType.TWO_D,
                device="cpu",
                flip_input=False,
                compile=False,  # a minute and a C++ compiler, to save little on a clip
            )
        except TypeError as error:
            raise SettingsError(f"the package face-alignment is too old: `{install_line('face_alignment')}`") from error
        except (OSError, EOFError, RuntimeError, UnpicklingError) as error:
            raise SettingsError(_unreadable(face_alignment, error)) from error

    def find(self, picture: Bgr) -> list[DetectedFace]:
        """Return all faces of a picture, largest first."""
        rgb = np.ascontiguousarray(picture[..., ::-1])
        points, scores, boxes = self._model.get_landmarks_from_image(
            rgb, return_bboxes=True, return_landmark_score=True
        )
        faces = [
            DetectedFace(
                np.asarray(face, np.float32),
                np.clip(_SURE_OF_POINTS - np.asarray(sure, np.float32), 0, None) / 4,
                float(box[4]),
                np.asarray(box[:4], np.float64),
            )
            for face, sure, box in zip(points or [], scores or [], boxes if boxes is not None else [], strict=True)
        ]
        return sorted(faces, key=lambda face: -face.side)

    def follow(self, picture: Bgr, before: DetectedFace) -> DetectedFace | None:
        """Return the face of the previous picture in this one; ``None`` if it is gone."""
        near = [face for face in self.find(picture) if np.hypot(*(face.centre - before.centre)) < before.side]
        return min(near, key=lambda face: float(np.hypot(*(face.centre - before.centre))), default=None)


def _unreadable(package: ModuleType, error: Exception) -> str:
    """Return one sentence that names the files of the weights and their folder."""
    urls = package.detection.sfd.sfd_detector.models_urls["s3fd"], package.api.models_urls["2DFAN-4"]
    names = " and ".join(PurePosixPath(url).name for url in urls)
    why = str(getattr(error, "reason", error)).strip().partition("\n")[0] or type(error).__name__
    return (
        f"the weights of 'face-alignment' cannot be fetched or read ({why}): connect once, or copy {names} into "
        f"{Path(package.utils.get_dir()) / 'checkpoints'}, or use the detector 'built-in'"
    )
