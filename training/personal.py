"""Adapts weights to one person, from a clip of them speaking with its sound.

The fit on rendered heads has scenes: one picture with several mouths. In a clip the counterpart is the frame of nearly
the same pose with the mouth most at rest, aligned with the frame by the parts of the face that speech does not move.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lipstream.realtime.audio.mel import SILENCE_LEVEL
from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.lipsync.network import Wav2Lip
from lipstream.realtime.lipsync.weights import load_weights, save_weights
from lipstream.realtime.timeline import MEL_BANDS, SAMPLES_PER_FRAME, WINDOW_COLUMNS
from training.figures import mouth_error, sharpness, similarity
from training.filmed import Filmed, cut_sound, read_clip, rested
from training.fit import draw_mouths, loss_of, mouth_weights
from training.heads import Floats
from training.pairs import CROP, decoded, face_input
from training.run import Run
from training.strips import write_strip
from training.windows import windows_of

Images = NDArray[np.uint8]

_HELD_SHARE = 0.2
_OFFSETS = range(-5, 6)
_RATE, _EAR_PACE = 3e-4, 0.2


@dataclass(frozen=True)
class Lesson:
    """Training data.

    Attributes:
        targets: Crops, ``float32[T, 3, S, S]`` in 0..1.
        references: Their references, of the same shape.
        windows: Their mel windows, ``float32[T, 1, 80, 16]``.
        region: Part of the crop that the network draws.
    """

    targets: Tensor
    references: Tensor
    windows: Tensor
    region: Region

    def heard(self, windows: Floats) -> Lesson:
        """Return the same pictures with other mel windows, ``float32[T, 80, 16]``."""
        return replace(self, windows=torch.from_numpy(windows)[:, None])

    def batch(self, frames: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return windows ``[B, 1, 80, 16]`` and faces ``[B, 6, S, S]`` of some frames."""
        return self.windows[frames], face_input(self.targets[frames], self.references[frames])


def _pictures(images: Images) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def prepare(filmed: Filmed, training_frames: int, region: Region) -> Lesson:
    """Return all frames of a clip, silent, with their references, from the first ``training_frames`` alone."""
    references = np.stack([rested(filmed, frame, training_frames) for frame in range(len(filmed.crops))])
    silent = torch.full((len(references), 1, MEL_BANDS, WINDOW_COLUMNS), SILENCE_LEVEL)
    return Lesson(_pictures(filmed.crops), _pictures(references), silent, region)


@torch.no_grad()
def speak(network: Wav2Lip, lesson: Lesson, frames: NDArray[np.int64]) -> Images:
    """Return frames with predicted mouths, ``uint8[B, S, S, 3]``."""
    pictures = lesson.targets[frames].clone()
    for start in range(0, len(frames), 64):
        windows, face = lesson.batch(frames[start : start + 64])
        drawn = draw_mouths(network, network.audio_encoder(windows), face, lesson.region)
        decoded(pictures[start : start + 64], lesson.region).copy_(drawn)
    return (pictures * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


def figures_of(network: Wav2Lip, lesson: Lesson, frames: NDArray[np.int64]) -> dict[str, float]:
    """Return the similarity of predicted mouths to the clip's, in crops of 96 px."""
    truth = _measured((lesson.targets[frames] * 255).byte().permute(0, 2, 3, 1).numpy())
    drawn = _measured(speak(network, lesson, frames))
    return {
        "mouth L1": mouth_error(drawn, truth),
        "SSIM": similarity(drawn, truth),
        "sharpness / truth": sharpness(drawn) / sharpness(truth),
    }


def _measured(crops: Images) -> Images:
    if crops.shape[1] == CROP:
        return crops
    return np.stack([cv2.resize(crop, (CROP, CROP), interpolation=cv2.INTER_AREA) for crop in crops])


def find_offset(network: Wav2Lip, filmed: Filmed, lesson: Lesson, offset: int) -> tuple[int, Floats]:
    """Return by how many frames the clip's sound is late, and the corrected windows.

    The predicted mouths decide: cameras and editors shift sound against picture by up to three frames.
    """
    frames = np.arange(0, len(filmed.crops), 3)
    best: tuple[float, int, Floats] | None = None
    for late in _OFFSETS:
        first = SAMPLES_PER_FRAME * late
        windows = windows_of(cut_sound(filmed.samples, first, first + len(filmed.samples)), offset)
        error = figures_of(network, lesson.heard(windows), frames)["mouth L1"]
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
    plot: Path | None = None,
    progress: Any = print,
) -> dict[str, tuple[float, float]]:
    """Adapt weights to the person in a clip, and write them.

    The clip is cropped as the weights want it, and what is written keeps all of their metadata but name and licence.
    The last fifth of the clip is held out for evaluation. Batch norm keeps its statistics, because one person would be
    too small a sample.

    Args:
        clip: Video with sound of one person speaking, a minute or more; four seconds at least.
        weights: Weights file to start from.
        out: Output path, ``.safetensors``.
        minutes: Training time.
        batch_size: Frames per step.
        seed: Seed of all random choices.
        plot: Picture to write of the held-out part: as filmed, drawn before and after.
        progress: Called with a line of text now and then.

    Returns:
        Each figure on the held-out part, before and after.

    Raises:
        WeightsError: If the file is invalid.
        AvatarError: If the clip has no sound, or shows no face for long enough.
    """
    network, metadata = load_weights(weights)
    filmed = read_clip(clip, metadata)
    count = len(filmed.crops)
    training_frames = round((1 - _HELD_SHARE) * count)
    lesson = prepare(filmed, training_frames, metadata.decoded_region)
    late, windows = find_offset(network, filmed, lesson, metadata.window_offset_samples)
    progress(f"{count} frames; the sound is {late} frames late")
    lesson = lesson.heard(windows)
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
        crop=metadata.crop,
        pads=metadata.pads if metadata.crop == "detector" else None,
        code=metadata.code,
    )
    checkpoint.unlink()
    if plot:
        truth = (lesson.targets[held] * 255).byte().permute(0, 2, 3, 1).numpy()
        unadapted, _ = load_weights(weights)
        write_strip(
            plot, [_measured(row) for row in (truth, speak(unadapted, lesson, held), speak(adapted, lesson, held))]
        )
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
    rng, region = np.random.default_rng([seed, run.step]), lesson.region
    weights = mouth_weights(region, lesson.targets.shape[-1])
    shown: list[float] = []
    going = run.done < 1
    while going:
        chosen = rng.integers(frames, size=batch_size)
        windows, faces = lesson.batch(chosen)
        with torch.autocast("cpu", torch.bfloat16):
            output = draw_mouths(network, network.audio_encoder(windows), faces, region)
        target, reference = (decoded(part[chosen], region) for part in (lesson.targets, lesson.references))
        loss = loss_of(output, target, reference, weights)
        going = run.learn(loss)
        shown.append(float(loss.detach()))
        if run.step % 100 == 0:
            progress(f"step {run.step} {run.done:4.0%} loss {255 * np.mean(shown[-100:]):.2f}/255")
    adapted: Wav2Lip = run.average.eval().requires_grad_(requires_grad=False)  # type: ignore[assignment]
    return adapted
