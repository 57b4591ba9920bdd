"""The face detectors by the names that the command line accepts."""

from lipstream.avatar_cache.face_detector import FaceDetector
from lipstream.realtime.errors import SettingsError

DETECTORS = ("built-in", "face-alignment")


def create_detector(name: str) -> FaceDetector:
    """Return a detector by name.

    Raises:
        SettingsError: If the name is unknown or a package is missing.
    """
    if name == "built-in":
        from lipstream.avatar_cache.built_in_detector import BuiltInDetector  # noqa: PLC0415 (loads OpenVINO)

        return BuiltInDetector()
    if name == "face-alignment":
        from lipstream.avatar_cache.face_alignment_detector import FaceAlignmentDetector  # noqa: PLC0415 (an extra)

        return FaceAlignmentDetector()
    raise SettingsError(f"face detector {name!r} is none of {', '.join(DETECTORS)}")
