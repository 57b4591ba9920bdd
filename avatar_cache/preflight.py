"""The preflight report for an avatar's maker: one line per question, with a verdict and advice."""

import json
from dataclasses import asdict, dataclass, field
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.covered_mouth import LOWER_FACE, seems_covered
from lipstream.avatar_cache.face_detector import DetectedFace
from lipstream.avatar_cache.face_geometry import estimate_pose, lip_gap_mm
from lipstream.avatar_cache.photo import Bgr
from lipstream.avatar_cache.source_mouth import OPEN_MM, TEETH_SHARE, teeth_share
from lipstream.realtime.picture.mouth_painter import Box

Verdict = Literal["good", "fair", "poor"]
_ADVICE_SIDE = 160
"""Side to which faces are scaled before their sharpness is measured, px."""
_MOUTH_SHARE = 0.75
"""Height of the mouth in a detector's box without pads, as a share of the box's height."""
_UNCOVER = "something seems to cover mouth or chin, such as a hand, a mask or a microphone: show them free"


@dataclass(frozen=True, slots=True)
class Line:
    """The answer to one question.

    Attributes:
        verdict: ``good``, ``fair`` or ``poor``.
        advice: How to improve the value; empty if it is good.
    """

    name: str
    value: float
    unit: str
    verdict: Verdict
    advice: str = ""


@dataclass(slots=True)
class PreflightReport:
    """The complete report."""

    lines: list[Line] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        """Return the report as JSON."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "PreflightReport":
        """Return the report from the JSON of :meth:`to_json`."""
        fields = json.loads(text)
        return cls([Line(**line) for line in fields["lines"]], fields["notes"])

    def to_text(self) -> str:
        """Return the report as lines for a terminal."""
        rows = [
            f"{line.verdict:5} {line.name:14} {line.value:9.4g} {line.unit}" + f"  -> {line.advice}" * bool(line.advice)
            for line in self.lines
        ]
        return "\n".join(rows + [f"note  {note}" for note in self.notes])


@dataclass(frozen=True, slots=True)
class PictureStatistics:
    """Statistics of one picture's face.

    Attributes:
        sharpness: Variance of the Laplacian of the face's luma (0..255) at a fixed size.
        dark: Fifth percentile of the luma, 0..255.
        bright: Ninety-fifth percentile of the luma, 0..255.
        teeth: Share of the lips' area that shows teeth; ``None`` without landmarks, default.
        covered: Whether something seems to cover mouth or chin; ``None`` without landmarks, default.
    """

    sharpness: float
    dark: float
    bright: float
    teeth: float | None = None
    covered: bool | None = None


def look_at(picture: Bgr, x: float, y: float, half: float, face: DetectedFace | None = None) -> PictureStatistics:
    """Measure the face in the square around ``x``, ``y`` with half side ``half``, px.

    Args:
        face: Landmarks, by which teeth and what covers them are found; ``None`` if they are not known.
    """
    height, width = picture.shape[:2]
    rows = slice(max(int(y - half), 0), min(int(y + half) + 1, height))
    columns = slice(max(int(x - half), 0), min(int(x + half) + 1, width))
    grey = cv2.cvtColor(picture[rows, columns], cv2.COLOR_BGR2GRAY)
    scaled = cv2.resize(grey, (_ADVICE_SIDE, _ADVICE_SIDE), interpolation=cv2.INTER_AREA)
    dark, bright = np.percentile(scaled, (5, 95))
    teeth = teeth_share(picture, face.points) if face else None
    covered = seems_covered(picture, face) if face else None
    sharpness = float(cv2.Laplacian(scaled, cv2.CV_64F).var())
    return PictureStatistics(sharpness, float(dark), float(bright), teeth, covered)


def grade(value: float, good: float, fair: float) -> Verdict:
    """Return the verdict on a value; large values are good if ``good > fair``, else small ones."""
    if good > fair:
        return "good" if value >= good else "fair" if value >= fair else "poor"
    return "good" if value <= good else "fair" if value <= fair else "poor"


def _line(name: str, value: float, unit: str, good: float, fair: float, advice: str) -> Line:
    verdict = grade(value, good, fair)
    return Line(name, round(value, 3), unit, verdict, "" if verdict == "good" else advice)


def examine(
    boxes: tuple[Box, ...],
    faces: list[DetectedFace | None],
    looks: list[PictureStatistics],
    *,
    jump: float,
    size: tuple[int, int],
    around: npt.NDArray[np.float64] | None = None,
) -> PreflightReport:
    """Return the report on the frames of an avatar.

    Args:
        boxes: Face box of each frame, px.
        faces: Landmarks of each frame; ``None`` if they are not known.
        jump: Change over the loop's seam, in median steps.
        size: Width and height of the picture, px.
        around: Rectangle of the face detector in each frame, ``float64[N, 4]``: left, top, right, bottom, px, which may
            extend beyond the picture; ``None`` or empty if it is not known.
    """
    side = float(np.median([box.width for box in boxes]))
    lines = [_line("face", side, "px", 160, 80, "film closer, or in a higher resolution: the face is small")]
    lines += _face_lines([face for face in faces if face])
    if around is not None and len(around):
        lines += _box_lines(around, faces, size)
    if looks:
        sharp, dark, bright = (
            float(np.median([getattr(look, key) for look in looks])) for key in ("sharpness", "dark", "bright")
        )
        lines += [
            _line("sharpness", sharp, "", 60, 20, "focus on the face, hold still, use more light"),
            _line("bright parts", bright, "of 255", 235, 250, "parts of the face are burnt out: use less exposure")
            if bright > 235
            else _line("bright parts", bright, "of 255", 110, 70, "the face is dark: use more light"),
            _line("contrast", bright - dark, "of 255", 40, 20, "the light is very flat, or there is haze"),
        ]
    if teeth := [look.teeth for look in looks if look.teeth is not None]:
        shown = 100 * float(np.mean([share >= TEETH_SHARE for share in teeth]))
        lines.append(_line("teeth shown", shown, "% of frames", 10, 100, "lips closed over the teeth speak better"))
    if covers := [look.covered for look in looks if look.covered is not None]:
        share = 100 * float(np.mean(covers))
        lines.append(_line("mouth covered", share, "% of frames", 10, 50, _UNCOVER))
    lines.append(_line("loop jump", jump, "steps", 1.2, 2.0, "end the clip in the pose in which it begins"))
    lines.append(_line("length", len(boxes) / 25, "s", 3, 0.04, "a few seconds more would repeat less visibly"))
    memory = len(boxes) * size[0] * size[1] * 1.5 / 2**20
    lines.append(_line("pictures", memory, "MiB", 600, 3000, "a shorter clip or a smaller --side needs less"))
    return PreflightReport(lines)


def _box_lines(around: npt.NDArray[np.float64], faces: list[DetectedFace | None], size: tuple[int, int]) -> list[Line]:
    """Return the lines for weights with a detector's crop: how much of the face is cut off, where the mouth lies."""
    sides = around[:, 2:] - around[:, :2]
    inside = np.clip(np.minimum(around[:, 2:], size) - np.maximum(around[:, :2], 0), 0, None)
    outside = 1 - inside.prod(axis=1) / np.maximum(sides.prod(axis=1), 1)
    advice = "leave room around the head: a part of the face is beyond the picture's edge"
    lines = [_line("at the edge", 100 * float(np.percentile(outside, 90)), "% of face", 1, 10, advice)]
    mouths = [
        float((face.points[48:60, 1].mean() - box[1]) / (box[3] - box[1]))
        for face, box in zip(faces, around, strict=True)
        if face
    ]
    if mouths:
        away = 100 * abs(float(np.median(mouths)) - _MOUTH_SHARE)
        advice = "face the camera, or give the face with --box: its box does not fit"
        lines.append(_line("mouth's place", away, "% of box off", 10, 18, advice))
    return lines


def _face_lines(faces: list[DetectedFace]) -> list[Line]:
    if not faces:
        return []
    poses = [estimate_pose(face.points) for face in faces]
    yaw, pitch = (
        float(np.percentile([abs(angle) for angle in angles], 90))
        for angles in ([p.yaw_degrees for p in poses], [p.pitch_degrees for p in poses])
    )
    gaps = np.array([lip_gap_mm(face.points, pose) for face, pose in zip(faces, poses, strict=True)])
    hidden = float(np.median([face.doubt[list(LOWER_FACE)].mean() for face in faces]))
    return [
        _line("turned aside", yaw, "degrees", 18, 30, "face the camera"),
        _line("up or down", pitch, "degrees", 18, 28, "hold the camera at the height of the eyes"),
        _line(
            "mouth open",
            100 * float((gaps > OPEN_MM).mean()),
            "% of frames",
            10,
            50,
            "keep the lips closed and do not speak",
        ),
        _line("doubt", 100 * hidden, "% of face", 3, 6, "keep hands, hair and microphones away from mouth and chin"),
    ]
