"""Evaluates weights on heads and a voice outside the training set, and on recorded human speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lipstream.realtime.lipsync.articulation import DEFAULT_ARTICULATION
from lipstream.realtime.lipsync.mouth_code import MouthShaper, SpokenFrame
from lipstream.realtime.lipsync.network import Wav2Lip
from lipstream.realtime.lipsync.weights import load_weights
from training.augmentation import Sound
from training.clips import HeldClips, SpokenClip
from training.codes import code_channels, mouth_to_code
from training.figures import (
    best_lag,
    change,
    correlation,
    crop_mouth,
    mouth_error,
    peak_ratio_db,
    sharpness,
    similarity,
)
from training.heads import Floats
from training.pairs import DECODED_REGION, face_input
from training.plots import plot_opening
from training.recordings import PROMPTS, read_recording
from training.sounds import unspoken
from training.speech import closed_frames
from training.strips import write_strip
from training.sync import HEARD_OFFSET, SyncScorer
from training.visemes import mouth_curve
from training.windows import windows_of

Images = NDArray[np.uint8]

_SHUT_M = 0.0015
_STILL_M = 0.002
_CLIP_FRAMES = 90
_SOUNDS = 24
_PLOTS = 3
_AT_ONCE = 64


def loudness_opening(windows: Floats, most_m: float) -> Floats:
    """Return an opening proportional to the loudness at each frame, ``float32[T]``, as the baseline.

    Args:
        windows: Mel windows, ``float32[T, 80, 16]``; the frame's own columns are used.
        most_m: Widest opening, metres.
    """
    loud = np.maximum(windows[:, :, 12:15].mean(axis=(1, 2)) + 4, 0)
    opening: Floats = (most_m * loud / max(float(loud.max()), 1e-3)).astype(np.float32)
    return opening


def as_served(codes: Floats, articulation: float) -> Floats:
    """Return the codes of successive frames, ``float32[T, C]``, as a server draws them: steadied and articulated."""
    frames = [SpokenFrame(0, frame, continues=True, articulation=articulation) for frame in range(len(codes))]
    shaped, _ = MouthShaper().shape(codes, frames)
    return shaped


def render(
    network: Wav2Lip,
    mels: Floats,
    targets: Images,
    references: Images,
    *,
    articulation: float | None = DEFAULT_ARTICULATION,
) -> Images:
    """Run the network and put its decoded region into the pictures, as a server does.

    Args:
        network: Network in eval mode.
        mels: ``float32[T, 80, 16]``.
        targets: Pictures that give the rest of the face, ``uint8[T, S, S, 3]``, BGR; or a single one for all.
        references: Pictures that give the reference, ``uint8[T, S, S, 3]``, BGR; or a single one for all.
        articulation: How far the mouth goes, 0.5 to 1.5 of what was heard; ``None`` draws the codes as they were heard.

    Returns:
        ``uint8[T, S, S, 3]``.
    """
    codes = _heard(network, mels)
    return draw(network, codes if articulation is None else as_served(codes, articulation), targets, references)


@torch.no_grad()
def _heard(network: Wav2Lip, mels: Floats) -> Floats:
    parts = (torch.from_numpy(np.ascontiguousarray(mels[part]))[:, None] for part in _parts(len(mels)))
    codes: Floats = np.concatenate([network.audio_encoder(windows).flatten(1).numpy() for windows in parts])
    return codes


def _parts(count: int) -> list[slice]:
    return [slice(start, start + _AT_ONCE) for start in range(0, count, _AT_ONCE)]


@torch.no_grad()
def draw(network: Wav2Lip, codes: Floats, targets: Images, references: Images) -> Images:
    """Draw the mouths of codes ``float32[T, C]``; see `render`, which hears them."""

    def tensor(images: Images, part: slice) -> torch.Tensor:
        chosen = np.broadcast_to(images, (len(codes), *images.shape[1:]))[part]
        return torch.from_numpy(chosen.copy()).permute(0, 3, 1, 2).float() / 255

    done = []
    for part in _parts(len(codes)):
        face = face_input(tensor(targets, part), tensor(references, part))
        code = torch.from_numpy(codes[part])[:, :, None, None]
        output = network.draw(code, network.encode_face(face), face[:, 3:])
        whole = tensor(targets, part)
        region = (
            ...,
            slice(DECODED_REGION.top, DECODED_REGION.bottom),
            slice(DECODED_REGION.left, DECODED_REGION.right),
        )
        whole[region] = output[region]
        done.append((whole * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy())
    return np.concatenate(done)


def read_lips(pictures: Images, clip: SpokenClip) -> Floats:
    """Return opening and width of the lips in pictures, as the mean of the three most similar true frames.

    Args:
        pictures: ``uint8[T, 96, 96, 3]``.
        clip: Clip with the true frames and those at rest.

    Returns:
        ``float32[T, 2]``, metres beyond those at rest.
    """
    known = crop_mouth(np.concatenate([clip.truth, clip.rest])).reshape(len(clip.truth) + len(clip.rest), -1)
    lips_m = np.concatenate([clip.lips_m, np.zeros((len(clip.rest), 2), np.float32)])
    found = np.empty((len(pictures), 2), np.float32)
    for number, picture in enumerate(crop_mouth(pictures).reshape(len(pictures), -1)):
        away = np.abs(known - picture).mean(axis=1)
        near = np.argsort(away)[:3]
        weight = 1 / (away[near] + 0.05)
        found[number] = (lips_m[near] * weight[:, None]).sum(axis=0) / weight.sum()
    return found


def clip_figures(
    network: Wav2Lip, clip: SpokenClip, windows: Floats, articulation: float | None = DEFAULT_ARTICULATION
) -> dict[str, float]:
    """Return the quality of pictures and lips for one clip, with baselines.

    Args:
        network: Network in eval mode.
        clip: True pictures and mouths.
        windows: Mel windows, ``float32[T, 80, 16]``.
        articulation: See `render`.
    """
    output = render(network, windows, clip.rest, clip.rest, articulation=articulation)
    true_codes = mouth_to_code(torch.from_numpy(clip.mouths), code_channels(network)).numpy()
    rest = np.broadcast_to(clip.rest, output.shape)
    mean = np.repeat(clip.truth.mean(axis=0).round().astype(np.uint8)[None], len(output), axis=0)
    opening = loudness_opening(windows, float(clip.lips_m[:, 0].max()))
    loud = clip.truth[np.abs(clip.lips_m[:, :1] - opening).argmin(axis=0)]
    found, truth = read_lips(output, clip), clip.lips_m
    figures = {
        "mouth L1": mouth_error(output, clip.truth),
        "mouth L1, true mouths": mouth_error(draw(network, true_codes, clip.rest, clip.rest), clip.truth),
        "mouth L1, rest mouth": mouth_error(rest, clip.truth),
        "mouth L1, mean mouth": mouth_error(mean, clip.truth),
        "mouth L1, loudness mouth": mouth_error(loud, clip.truth),
        "mouth L1, truth one frame late": mouth_error(clip.truth[:-1], clip.truth[1:]),
        "PSNR (dB)": peak_ratio_db(output, clip.truth),
        "SSIM": similarity(output, clip.truth),
        "SSIM, rest mouth": similarity(rest, clip.truth),
        "sharpness / truth": sharpness(output) / sharpness(clip.truth),
        "aperture r, loudness mouth": correlation(opening, truth[:, 0]),
    }
    for column, name in enumerate(("aperture", "width")):
        figures[f"{name} r"] = correlation(found[:, column], truth[:, column])
        figures[f"{name} lag (frames)"] = best_lag(found[:, column], truth[:, column])
        figures[f"{name} size / truth"] = float(found[:, column].std() / truth[:, column].std())
    return figures


def closure_counts(found_m: Floats, truth_m: Floats, closed: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the numbers of closures, of closures found, of shut frames, and of rightly shut ones: ``int[4]``.

    Args:
        found_m: Opening read from the pictures, ``[T]``, metres.
        truth_m: True opening, ``[T]``, metres.
        closed: Frames at the middles of p, b and m, ``bool[T]``.
    """
    shut = found_m < _SHUT_M
    return np.array([closed.sum(), shut[closed].sum(), shut.sum(), (truth_m[shut] < 2 * _SHUT_M).sum()])


def closure_figures(counts: NDArray[np.int64]) -> dict[str, float]:
    """Return recall and precision from `closure_counts`."""
    closures, found, shut, rightly = (float(count) for count in counts)
    return {"closure recall": found / max(closures, 1), "closure precision": rightly / max(shut, 1)}


def silence_figures(
    network: Wav2Lip, clip: SpokenClip, offset: int, seed: int, articulation: float | None = DEFAULT_ARTICULATION
) -> dict[str, float]:
    """Return how well the mouth rests in sounds without a voice, and with an open mouth in the reference."""
    rng = np.random.default_rng(seed)
    windows = np.concatenate([windows_of(unspoken(rng), offset) for _ in range(_SOUNDS)])
    opening = read_lips(render(network, windows, clip.rest, clip.rest, articulation=articulation), clip)[:, 0]
    silent = np.full((1, 80, 16), -4.0, np.float32)
    widest = clip.truth[clip.lips_m[:, 0].argmax()][None]
    undone = mouth_error(render(network, silent, widest, widest), clip.rest)
    return {
        "shut in silence, noise and music": float((opening < _STILL_M).mean()),
        "open reference, silence: left of its opening": undone / mouth_error(widest, clip.rest),
    }


def recorded_figures(
    network: Wav2Lip, drawn: HeldClips, folder: Path, offset: int, articulation: float | None = DEFAULT_ARTICULATION
) -> dict[str, float]:
    """Return how well the mouth follows recordings of a person, compared with the animation of their aligned phones."""
    rows, counts = [], np.zeros(4, np.int64)
    for name, words in PROMPTS.items():
        samples, phones = read_recording(folder / f"{name}.wav", words)
        windows = windows_of(samples, offset)[:_CLIP_FRAMES]
        mouths = mouth_curve(phones, len(samples) / 16000)[: len(windows)]
        clip = drawn.clip(name, 0, mouths)
        output = render(network, windows, clip.rest, clip.rest, articulation=articulation)
        found, truth = read_lips(output, clip)[:, 0], clip.lips_m[:, 0]
        quiet, moved = mouths.max(axis=1)[1:] < 0.004, change(output)
        rows.append(
            {
                "recorded: aperture r": correlation(found, truth),
                "recorded: aperture r, loudness mouth": correlation(loudness_opening(windows, 1.0), truth),
                "recorded: aperture size / truth": float(found.std() / truth.std()),
                "recorded: aperture lag (frames)": best_lag(found, truth),
                "recorded: motion in silence / in speech": float(moved[quiet].mean() / moved[~quiet].mean()),
            }
        )
        counts += closure_counts(found, truth, closed_frames(phones, len(mouths)))
    figures = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    return figures | {f"recorded: {name}": value for name, value in closure_figures(counts).items()}


def evaluate(
    weights: Path,
    folder: Path,
    recordings: Path | None,
    *,
    plots: Path | None = None,
    clips: int = 8,
    seed: int = 5,
    articulation: float | None = DEFAULT_ARTICULATION,
) -> dict[str, float]:
    """Return all figures of one weights file; they are means over clips where nothing else is stated.

    Args:
        weights: Weights file, safetensors.
        folder: Dataset with ``heads.npz`` and ``held-speech-*.npz``; with ``sync.pt`` (see `training.sync`) the result
            includes the sync scorer's figures.
        recordings: Folder of the recorded prompts, see `training.recordings.PROMPTS`.
        plots: Folder for plots and strips of the first clips.
        clips: Number of held-out sentences.
        seed: Seed of light and pose.
        articulation: See `render`.
    """
    network, metadata = load_weights(weights)
    offset = metadata.window_offset_samples
    sound, drawn = Sound(folder, "held-speech", offset), HeldClips(folder, seed)
    rows, counts, loud = [], np.zeros(4, np.int64), np.zeros(4, np.int64)
    if plots:
        plots.mkdir(parents=True, exist_ok=True)
    scorer = SyncScorer.load(folder / "sync.pt") if (folder / "sync.pt").exists() else None
    heard = Sound(folder, "held-speech", HEARD_OFFSET) if scorer else None
    figures: dict[str, float] = {}
    for number, chosen in enumerate(np.where(sound.voiced)[0][:clips]):
        first = int(sound.first_frame[chosen])
        frames = np.arange(first, min(first + _CLIP_FRAMES, int(sound.first_frame[chosen + 1])))
        windows, closed = sound.windows(frames), sound.closed[frames]
        clip = drawn.clip("held", number, sound.mouth[frames])
        rows.append(clip_figures(network, clip, windows, articulation))
        output = render(network, windows, clip.rest, clip.rest, articulation=articulation)
        if scorer and heard:
            rows[-1] |= scorer.stats(output, clip.truth, heard.windows(frames))
        found, truth = read_lips(output, clip)[:, 0], clip.lips_m[:, 0]
        opening = loudness_opening(windows, float(truth.max()))
        counts += closure_counts(found, truth, closed)
        loud += closure_counts(opening, truth, closed)
        if plots and number < _PLOTS:
            curves = {"truth": truth, "output": found, "loudness": opening}
            plot_opening(plots / f"held-{number}.png", "a head and a voice never seen in training", curves, closed)
            write_strip(plots / f"strip-{number}.jpg", [clip.truth, output])
        if number == 0:
            figures = silence_figures(network, clip, offset, seed, articulation)
    figures = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]} | figures
    figures |= closure_figures(counts)
    figures |= {f"{name}, loudness mouth": value for name, value in closure_figures(loud).items()}
    if recordings:
        figures |= recorded_figures(network, drawn, recordings, offset, articulation)
    return figures
