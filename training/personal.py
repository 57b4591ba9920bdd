"""Adapts weights to one person, from a clip of them speaking with its sound.

The fit on rendered heads has scenes: one picture with several mouths. In a clip the counterpart is the frame of nearly
the same pose with the mouth most at rest, aligned with the frame by the parts of the face that speech does not move.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lipstream.avatar_cache.detectors import create_detector
from lipstream.avatar_cache.face_geometry import RIGID, estimate_pose, lip_gap_mm
from lipstream.avatar_cache.face_track import FaceTracker, face_windows, longest_run, smooth, to_boxes
from lipstream.avatar_cache.media_reader import Limits, open_source
from lipstream.realtime.errors import AvatarError
from lipstream.realtime.lipsync.network import Wav2Lip
from lipstream.realtime.lipsync.weights import load_weights, save_weights
from lipstream.realtime.timeline import SAMPLES_PER_FRAME
from training.evaluate import windows_of
from training.figures import mouth_error, sharpness, similarity
from training.fit import draw_mouths, loss_of, mouth_weights
from training.heads import Floats
from training.pairs import CROP, decoded, face_input
from training.run import Run
from training.voices import read_audio

Images = NDArray[np.uint8]

_SIDE = 1280
_LONGEST_S = 600.0
_FEWEST_FRAMES = 100
_HELD_SHARE = 0.2
_NEAR_POSES = 12
_OFFSETS = range(-5, 6)
_RATE, _EAR_PACE = 3e-4, 0.2


@dataclass(frozen=True)
class Filmed:
    """A clip of a speaking person.

    Attributes:
        crops: Crops at the face box, ``uint8[T, 96, 96, 3]``, BGR.
        points: Landmarks in each crop, ``float32[T, 68, 2]``.
        poses: Yaw, pitch and roll, degrees, ``float32[T, 3]``.
        gaps_mm: Gap between the lips, ``float32[T]``.
        samples: Sound from the first frame on, ``float32[n]`` at 16 kHz.
    """

    crops: Images
    points: Floats
    poses: Floats
    gaps_mm: Floats
    samples: Floats


def read_clip(path: Path) -> Filmed:
    """Find the face in every frame of a clip, as for an avatar.

    Raises:
        AvatarError: If the clip has no sound or shows no face for long enough.
    """
    source = open_source(path, Limits(seconds=_LONGEST_S), side=_SIDE)
    tracker, size = FaceTracker(create_detector("built-in")), (0, 0)
    for picture in source.pictures():
        size = picture.shape[1], picture.shape[0]
        tracker.push(picture)
    faces = tracker.track.faces
    first, last = longest_run(faces)
    if last - first < _FEWEST_FRAMES:
        raise AvatarError(
            f"{path.name} shows a face for {(last - first) / 25:.1f} s; {_FEWEST_FRAMES // 25} are needed"
        )
    try:
        samples = read_audio(path)
    except (IndexError, ValueError) as error:
        raise AvatarError(f"{path.name} has no sound") from error
    boxes = to_boxes(smooth(face_windows(faces[first:last])), *size)
    crops, points, poses, gaps = [], [], [], []
    known = next(face for face in faces[first:last] if face)
    for number, picture in enumerate(source.pictures()):
        if not first <= number < last:
            continue
        box, known = boxes[number - first], faces[number] or known
        crop = picture[box.y : box.y + box.height, box.x : box.x + box.width]
        crops.append(cv2.resize(crop, (CROP, CROP), interpolation=cv2.INTER_AREA))
        points.append((known.points - (box.x, box.y)) * (CROP / box.width))
        pose = estimate_pose(known.points)
        poses.append((pose.yaw_degrees, pose.pitch_degrees, pose.roll_degrees))
        gaps.append(lip_gap_mm(known.points, pose))
    return Filmed(
        np.stack(crops).astype(np.uint8),
        np.array(points, np.float32),
        np.array(poses, np.float32),
        np.array(gaps, np.float32),
        _cut(samples, SAMPLES_PER_FRAME * first, SAMPLES_PER_FRAME * last),
    )


def _cut(samples: Floats, first: int, last: int) -> Floats:
    """Return the samples ``first..last``, padded with silence."""
    return np.pad(samples, (max(0, -first), max(0, last - len(samples))))[max(0, first) : last + max(0, -first)]


def rested(filmed: Filmed, frame: int, among: int) -> Images:
    """Return a frame's reference: the crop of nearly its pose with the mouth most at rest, aligned with the frame.

    Args:
        frame: Index of the frame, from 0.
        among: Only frames before this index are candidates.
    """
    away = np.abs(filmed.poses[:among] - filmed.poses[frame]).sum(axis=1)
    near = np.argsort(away)[:_NEAR_POSES]
    chosen = int(near[filmed.gaps_mm[near].argmin()])
    to_frame, _ = cv2.estimateAffinePartial2D(filmed.points[chosen][RIGID], filmed.points[frame][RIGID])
    if to_frame is None:
        to_frame = np.eye(2, 3)
    laid = cv2.warpAffine(filmed.crops[chosen], to_frame, (CROP, CROP), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(laid, np.uint8)


@dataclass(frozen=True)
class Lesson:
    """Training data: targets and references, ``float32[T, 3, 96, 96]`` in 0..1, and their mel windows."""

    targets: Tensor
    references: Tensor
    windows: Tensor

    def batch(self, frames: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return windows ``[B, 1, 80, 16]`` and faces ``[B, 6, 96, 96]`` of some frames."""
        return self.windows[frames], face_input(self.targets[frames], self.references[frames])


def _pictures(images: Images) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def prepare(filmed: Filmed, training_frames: int, windows: Floats) -> Lesson:
    """Return all frames of a clip with their references, which come from the first ``training_frames`` alone."""
    references = np.stack([rested(filmed, frame, training_frames) for frame in range(len(filmed.crops))])
    return Lesson(_pictures(filmed.crops), _pictures(references), torch.from_numpy(windows)[:, None])


@torch.no_grad()
def speak(network: Wav2Lip, lesson: Lesson, frames: NDArray[np.int64]) -> Images:
    """Return frames with predicted mouths, ``uint8[B, 96, 96, 3]``."""
    pictures = lesson.targets[frames].clone()
    for start in range(0, len(frames), 64):
        windows, face = lesson.batch(frames[start : start + 64])
        decoded(pictures[start : start + 64]).copy_(draw_mouths(network, network.audio_encoder(windows), face))
    return (pictures * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


def figures_of(network: Wav2Lip, lesson: Lesson, frames: NDArray[np.int64]) -> dict[str, float]:
    """Return the similarity of predicted mouths to the clip's."""
    truth = (lesson.targets[frames] * 255).byte().permute(0, 2, 3, 1).numpy()
    drawn = speak(network, lesson, frames)
    return {
        "mouth L1": mouth_error(drawn, truth),
        "SSIM": similarity(drawn, truth),
        "sharpness / truth": sharpness(drawn) / sharpness(truth),
    }


def find_offset(network: Wav2Lip, filmed: Filmed, lesson: Lesson, offset: int) -> tuple[int, Floats]:
    """Return by how many frames the clip's sound is late, and the corrected windows.

    The predicted mouths decide: cameras and editors shift sound against picture by up to three frames.
    """
    frames = np.arange(0, len(filmed.crops), 3)
    best: tuple[float, int, Floats] | None = None
    for late in _OFFSETS:
        first = SAMPLES_PER_FRAME * late
        windows = windows_of(_cut(filmed.samples, first, first + len(filmed.samples)), offset)
        shifted = Lesson(lesson.targets, lesson.references, torch.from_numpy(windows)[:, None])
        error = figures_of(network, shifted, frames)["mouth L1"]
        if best is None or error < best[0]:
            best = error, late, windows
    assert best is not None
    return best[1], best[2]


def personal_fit(
    clip: Path,
    weights: Path,
    out: Path,
    *,
    minutes: float,
    batch_size: int = 16,
    seed: int = 0,
    progress: Any = print,
) -> dict[str, tuple[float, float]]:
    """Adapt weights to the person in a clip, and write them.

    The last fifth of the clip is held out for evaluation. Batch norm keeps its statistics, because one person would be
    too small a sample.

    Args:
        clip: Video with sound of one person speaking, a minute or more; four seconds at least.
        weights: Weights file to start from.
        out: Output path, ``.safetensors``.
        minutes: Training time.
        batch_size: Frames per step.
        seed: Seed of all random choices.
        progress: Called with a line of text now and then.

    Returns:
        Each figure on the held-out part, before and after.
    """
    network, metadata = load_weights(weights)
    filmed = read_clip(clip)
    count = len(filmed.crops)
    training_frames = round((1 - _HELD_SHARE) * count)
    lesson = prepare(filmed, training_frames, np.zeros((count, 80, 16), np.float32))
    late, windows = find_offset(network, filmed, lesson, metadata.window_offset_samples)
    progress(f"{count} frames; the sound is {late} frames late")
    lesson = Lesson(lesson.targets, lesson.references, torch.from_numpy(windows)[:, None])
    held = np.arange(training_frames, count)
    before = figures_of(network, lesson, held)
    checkpoint = out.with_suffix(".fit.pt")
    adapted = _adapt(
        network,
        lesson,
        training_frames,
        checkpoint,
        minutes=minutes,
        batch_size=batch_size,
        seed=seed,
        progress=progress,
    )
    after = figures_of(adapted, lesson, held)
    save_weights(
        adapted,
        out,
        window_offset_samples=metadata.window_offset_samples,
        decoded_region=metadata.decoded_region,
        licence="of the person in the clip",
        name=clip.stem,
    )
    checkpoint.unlink()
    return {name: (before[name], after[name]) for name in before}


def _adapt(
    network: Wav2Lip,
    lesson: Lesson,
    frames: int,
    checkpoint: Path,
    *,
    minutes: float,
    batch_size: int,
    seed: int,
    progress: Any,
) -> Wav2Lip:
    """Return the network fitted to the first ``frames``; resume from the checkpoint if it exists."""
    network.requires_grad_(requires_grad=True)
    ear = list(network.audio_encoder.parameters())
    apart = {id(parameter) for parameter in ear}
    face = [parameter for parameter in network.parameters() if id(parameter) not in apart]
    groups = [{"params": face, "pace": 1.0}, {"params": ear, "pace": _EAR_PACE}]
    run = Run(network, groups, checkpoint, minutes=minutes, rate=_RATE)
    network.eval()
    rng, weights = np.random.default_rng([seed, run.step]), mouth_weights()
    shown: list[float] = []
    going = run.done < 1
    while going:
        chosen = rng.integers(frames, size=batch_size)
        windows, faces = lesson.batch(chosen)
        with torch.autocast("cpu", torch.bfloat16):
            output = draw_mouths(network, network.audio_encoder(windows), faces)
        loss = loss_of(output, decoded(lesson.targets[chosen]), decoded(lesson.references[chosen]), weights)
        going = run.learn(loss)
        shown.append(float(loss.detach()))
        if run.step % 100 == 0:
            progress(f"step {run.step} {run.done:4.0%} loss {255 * np.mean(shown[-100:]):.2f}/255")
    adapted: Wav2Lip = run.average.eval().requires_grad_(requires_grad=False)  # type: ignore[assignment]
    return adapted
