"""Measures weights on heads and a voice that training never saw, and on recorded human speech."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from realtime.audio.mel import mel_spectrogram
from realtime.lipsync.alignment import mel_columns
from realtime.lipsync.network import Wav2Lip
from realtime.lipsync.weights import load_weights
from training.dataset import CROP, HELD_OUT, face_window
from training.geometry import lip_gap
from training.heads import HeadSet
from training.looks import Pose, random_look, random_stage
from training.pairs import Sound, face_input
from training.renderer import Renderer
from training.speech import read_audio
from training.visemes import spread_actions

Floats = NDArray[np.float32]
Images = NDArray[np.uint8]

MOUTH_BOX = (slice(50, 90), slice(20, 76))
"""Rows and columns of the crop that the figures are taken over: lips, chin, what lies beside them."""
_SHUT_M = 0.0015
_CLIP_FRAMES = 110


@dataclass
class HeldClip:
    """A held-out head saying a held-out sentence, everything but the mouth at rest.

    Attributes:
        truth: ``uint8[T, 96, 96, 3]``, blue first.
        rest: The same picture with the mouth at rest, ``uint8[96, 96, 3]``.
        opening_m: Between the lips, ``float32[T]``.
        frames: Which frames of the speech file these are.
    """

    truth: Images
    rest: Images
    opening_m: Floats
    frames: range


def draw_held_clips(heads: HeadSet, sound: Sound, count: int, seed: int) -> list[HeldClip]:
    """Draw the evaluation's clips."""
    renderer = Renderer(heads, CROP, samples=0, shells=3)
    rng = np.random.default_rng(seed)
    clips = []
    voiced = np.where(sound.voiced)[0]
    for number in range(count):
        index = len(heads.names) - HELD_OUT + number % HELD_OUT
        sitter = renderer.sit(index, random_look(rng, male=bool(number % 2)))
        stage, pose = random_stage(rng), Pose(head=(float(rng.normal(0, 8)), float(rng.normal(0, 4)), 0.0))
        window = face_window(heads, sitter.vertices, index, pose, stage)
        first = int(sound.first_frame[voiced[number]])
        frames = range(first, min(first + _CLIP_FRAMES, int(sound.first_frame[voiced[number] + 1])))
        pictures, opening = [], []
        for mouth in [np.zeros_like(sound.mouth[0]), *sound.mouth[frames.start : frames.stop]]:
            actions = spread_actions(mouth, heads.action_names)
            pictures.append(renderer.draw(sitter, actions, pose, stage, window)[..., ::-1])
            opening.append(lip_gap(heads, sitter.vertices + np.tensordot(actions, heads.actions, 1)))
        images = np.stack(pictures)
        clips.append(
            HeldClip(images[1:], images[0], np.array(opening[1:], np.float32) - np.float32(opening[0]), frames)
        )
    return clips


@torch.no_grad()
def render(network: Wav2Lip, mels: Floats, targets: Images, references: Images) -> Images:
    """Run the network.

    Args:
        network: In eval mode.
        mels: ``float32[T, 80, 16]``.
        targets: Pictures whose upper halves are kept, ``uint8[T, S, S, 3]``, blue first.
        references: Pictures to take the mouth's surroundings from, likewise.

    Returns:
        ``uint8[T, S, S, 3]``.
    """

    def tensor(images: Images) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255

    done = []
    for start in range(0, len(mels), 64):
        part = slice(start, start + 64)
        face = face_input(tensor(targets[part]), tensor(references[part]))
        output = network(torch.from_numpy(mels[part])[:, None], face)
        done.append((output * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy())
    return np.concatenate(done)


def mouth_error(a: Images, b: Images) -> float:
    """Return the mean absolute difference over the mouth, out of 255."""
    rows, columns = MOUTH_BOX
    return float(np.abs(a[:, rows, columns].astype(np.float32) - b[:, rows, columns]).mean())


def read_opening(pictures: Images, clip: HeldClip) -> Floats:
    """Return the lip opening that pictures show: that of the three true frames most like each.

    Args:
        pictures: ``uint8[T, 96, 96, 3]``.
        clip: Its true frames and their openings are the yardstick.
    """
    rows, columns = MOUTH_BOX
    known = np.concatenate([clip.truth, clip.rest[None]])[:, rows, columns].reshape(len(clip.truth) + 1, -1)
    openings = np.append(clip.opening_m, 0.0)
    result = []
    for picture in pictures[:, rows, columns].reshape(len(pictures), -1).astype(np.float32):
        away = np.abs(known - picture).mean(axis=1)
        near = np.argsort(away)[:3]
        weight = 1 / (away[near] + 0.05)
        result.append(float((openings[near] * weight).sum() / weight.sum()))
    return np.asarray(result, np.float32)


def correlation(a: Floats, b: Floats, lag: int) -> float:
    """Return Pearson's r of ``a[n + lag]`` with ``b[n]``."""
    if lag > 0:
        a, b = a[lag:], b[:-lag]
    elif lag < 0:
        a, b = a[:lag], b[-lag:]
    return float(np.corrcoef(a, b)[0, 1])


def held_out_figures(network: Wav2Lip, clips: list[HeldClip], sound: Sound) -> dict[str, float]:
    """Return the table's figures over all held-out clips, each the mean over clips unless said otherwise."""
    rows: list[dict[str, float]] = []
    lags: dict[int, list[float]] = {lag: [] for lag in range(-3, 4)}
    hits = closures = named = right = 0
    for clip in clips:
        count = len(clip.truth)
        rest = np.repeat(clip.rest[None], count, axis=0)
        mels = np.stack([sound.window(frame, 0) for frame in clip.frames])
        output = render(network, mels, rest, rest)
        quiet = render(network, np.full_like(mels[:8], -4.0), rest[:8], rest[:8])
        widest = np.repeat(clip.truth[clip.opening_m.argmax()][None], 1, axis=0)
        shut_again = render(network, np.full_like(mels[:1], -4.0), widest, widest)
        found = read_opening(output, clip)
        for lag, values in lags.items():
            values.append(correlation(found, clip.opening_m, lag))
        closed = sound.closed[clip.frames.start : clip.frames.stop]
        hits += int((found[closed] < _SHUT_M).sum())
        closures += int(closed.sum())
        named += int((found < _SHUT_M).sum())
        right += int((clip.opening_m[found < _SHUT_M] < 2 * _SHUT_M).sum())
        mean = np.repeat(clip.truth.mean(axis=0).round().astype(np.uint8)[None], count, axis=0)
        rows.append(
            {
                "mouth L1": mouth_error(output, clip.truth),
                "mouth L1, rest mouth": mouth_error(rest, clip.truth),
                "mouth L1, mean mouth": mouth_error(mean, clip.truth),
                "mouth L1, truth one frame late": mouth_error(clip.truth[:-1], clip.truth[1:]),
                "silence: L1 to the rest mouth": mouth_error(quiet, rest[:8]),
                "silence from the widest mouth: L1 to rest": mouth_error(shut_again, rest[:1]),
                "the widest mouth itself: L1 to rest": mouth_error(widest, rest[:1]),
                "sharpness / truth": sharpness(output) / sharpness(clip.truth),
            }
        )
    figures = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    means = {lag: float(np.mean(values)) for lag, values in lags.items()}
    best = max(means, key=lambda lag: means[lag])
    figures |= {"lip opening r": means[0], "best lag (frames)": best, "r at best lag": means[best]}
    figures |= {"closure recall": hits / max(closures, 1), "closure precision": right / max(named, 1)}
    return figures


def sharpness(images: Images) -> float:
    """Return the mean variance of the Laplacian over the mouth."""
    rows, columns = MOUTH_BOX
    grey = images[:, rows, columns].astype(np.float32).mean(axis=3)
    bend = grey[:, 1:-1, 2:] + grey[:, 1:-1, :-2] + grey[:, 2:, 1:-1] + grey[:, :-2, 1:-1] - 4 * grey[:, 1:-1, 1:-1]
    return float(bend.var(axis=(1, 2)).mean())


def windows_of(samples: Floats, offset: int) -> Floats:
    """Return the mel window of every frame of a recording, ``float32[frames, 80, 16]``."""
    mel = mel_spectrogram(samples)
    frames = len(samples) // 640
    windows = np.full((frames, 80, 16), -4.0, np.float32)
    for frame in range(frames):
        span = mel_columns(frame, window_offset_samples=offset)
        first, last = max(span.start, 0), min(span.stop, mel.shape[1])
        if last > first:
            windows[frame, :, first - span.start : last - span.start] = mel[:, first:last]
    return windows


def recorded_figures(network: Wav2Lip, clip: HeldClip, paths: list[Path], offset: int) -> dict[str, float]:
    """Return how the mouth follows recordings of a person, for which no true pictures exist.

    The mouth's opening is read off as in `read_opening`; a frame is silent when it and its neighbours
    within 120 ms lie 40 dB under the loudest.
    """
    rest = clip.rest[None]
    together: list[tuple[float, int, float, float]] = []
    for path in paths:
        samples = read_audio(path)
        samples = samples * np.float32(0.08 / max(float(samples.std()), 1e-6))
        samples = np.concatenate([np.zeros(8000, np.float32), samples, np.zeros(8000, np.float32)])
        windows = windows_of(samples, offset)
        count = len(windows)
        output = render(network, windows, np.repeat(rest, count, 0), np.repeat(rest, count, 0))
        loud = np.sqrt((samples[: count * 640].reshape(count, 640) ** 2).mean(axis=1)).astype(np.float32)
        opening = read_opening(output, clip)
        smooth = np.convolve(loud**0.5, [0.25, 0.5, 0.25], "same").astype(np.float32)
        scores = {lag: correlation(opening, smooth, lag) for lag in range(-3, 4)}
        best = max(scores, key=lambda lag: scores[lag])
        quiet = np.convolve(loud > 0.01 * loud.max(), np.ones(7), "same") == 0
        rows, columns = MOUTH_BOX
        moved = np.abs(np.diff(output[:, rows, columns].astype(np.float32), axis=0)).mean(axis=(1, 2, 3))
        still = float(moved[quiet[1:]].mean()) if quiet[1:].any() else 0.0
        together.append((scores[best], best, still / float(moved[~quiet[1:]].mean()), float(opening[quiet].max())))
    names = ("r with loudness at best lag", "best lag (frames)", "motion in silence / in speech")
    figures = {f"recorded: {name}": float(np.mean([row[i] for row in together])) for i, name in enumerate(names)}
    figures["recorded: widest opening in silence (mm)"] = 1000 * max(row[3] for row in together)
    return figures


def evaluate(weights: Path, folder: Path, recordings: list[Path], *, clips: int = 12, seed: int = 5) -> dict[str, Any]:
    """Return all figures of one weights file.

    Args:
        weights: Safetensors.
        folder: Dataset, with ``heads.npz`` and ``speech-held.npz``.
        recordings: Sound files of people speaking.
        clips: How many held-out sentences.
        seed: Decides lights and poses.
    """
    network, metadata = load_weights(weights)
    heads, sound = HeadSet.load(folder / "heads.npz"), Sound(folder / "speech-held.npz")
    held = draw_held_clips(heads, sound, clips, seed)
    figures = held_out_figures(network, held, sound)
    if recordings:
        figures |= recorded_figures(network, held[0], recordings, metadata.window_offset_samples)
    return figures
