"""Fits the face encoder and the decoder: from a picture and a mouth's code to the picture with that mouth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lipstream.realtime.errors import WeightsError
from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.lipsync.network import Head, Wav2Lip
from lipstream.realtime.lipsync.weights import load_weights
from training.codes import code_channels, mouth_to_code
from training.critic import RATE, WEIGHT, Critic, misjudged, unmasked
from training.pairs import (
    AUDIO_WIDTH,
    CROP,
    DECODED_REGION,
    MOVED,
    TARGETS,
    WIDTH,
    Batch,
    Pictures,
    decoded,
    draw_batch,
)
from training.run import Run, join_peers

_CHANGE_WEIGHT = 16.0
_SLOPE_WEIGHT = 0.5
_STRUCTURE_WEIGHT = 0.1
_MOUTH_INSIDE_BGR = (0.13, 0.12, 0.24)


def last_layer(network: Wav2Lip) -> torch.nn.Conv2d:
    """Return the convolution that gives flow, mask and colour, or the colour alone."""
    return [module for module in network.output_block.modules() if isinstance(module, torch.nn.Conv2d)][-1]


def mouth_weights(region: Region = DECODED_REGION, size: int = CROP) -> Tensor:
    """Return the weight of each pixel of the decoded region of a crop, ``[1, 1, h, w]``, mean 1."""
    rows = (torch.arange(size)[:, None] - size // 2) / (size // 2 - 1)
    columns = torch.linspace(-1, 1, size)[None]
    hill = torch.exp(-((columns / 0.42) ** 2) - ((rows - 0.42) / 0.36) ** 2)
    weights = decoded(0.25 + 3.0 * hill, region)
    return (weights / weights.mean())[None, None]


def draw_mouths(network: Wav2Lip, code: Tensor, face: Tensor, region: Region = DECODED_REGION) -> Tensor:
    """Return the decoded region of faces with the mouths of codes, ``[B * T, 3, h, w]``.

    Args:
        network: Network whose face encoder and decoder are used.
        code: Codes in place of the audio encoder's, ``[B * T, C, 1, 1]``, T for each face.
        face: ``[B, 6, S, S]``.
        region: Part of the face to draw.
    """
    times = len(code) // len(face)
    features = [feature.repeat_interleave(times, dim=0) for feature in network.encode_face(face, region)]
    return network.draw(code, features, face[:, 3:].repeat_interleave(times, dim=0), region)


def structure(a: Tensor, b: Tensor) -> Tensor:
    """Return the structural similarity of two grey pictures ``[B, H, W]`` at each place, ``[B, H - 6, W - 6]``.

    Wang et al., "Image quality assessment", IEEE TIP 2004, with flat windows of 7 x 7 pixels.
    """
    means = functional.avg_pool2d(torch.stack([a, b, a * a, b * b, a * b]), 7, 1)
    mean_a, mean_b, square_a, square_b, product = means
    both, squares = mean_a * mean_b, mean_a**2 + mean_b**2
    covariance, variances = product - both, square_a + square_b - squares
    found: Tensor = (2 * both + 1e-4) * (2 * covariance + 9e-4) / ((squares + 1e-4) * (variances + 9e-4))
    return found


def loss_of(output: Tensor, target: Tensor, reference: Tensor, weights: Tensor) -> Tensor:
    """Return weighted L1, plus L1 of the gradients, which keeps edges crisp, plus the lost structural similarity.

    Pixels in which target and reference differ weigh more. Otherwise the many pixels of skin, which are right as soon
    as they are copied, would outweigh the few that show an open mouth.

    Args:
        output: Predicted region, ``[B, 3, h, w]``.
        target: True region, ``[B, 3, h, w]``.
        reference: Region of the reference, ``[B, 3, h, w]``.
        weights: Pixel weights ``[1, 1, h, w]`` from `mouth_weights`.
    """
    found = output.float()
    weights = weights + _CHANGE_WEIGHT * (target - reference).abs().mean(dim=1, keepdim=True)
    loss = (weights * (found - target).abs()).mean()
    for axis in (2, 3):
        slope = (found.diff(dim=axis) - target.diff(dim=axis)).abs()
        loss = loss + _SLOPE_WEIGHT * (weights.narrow(axis, 0, slope.shape[axis]) * slope).mean()
    lost = 1 - structure(found.mean(dim=1), target.mean(dim=1))
    return loss + _STRUCTURE_WEIGHT * (weights[:, 0, 3:-3, 3:-3] * lost).mean()


def fit(
    folder: Path,
    checkpoint: Path,
    *,
    minutes: float,
    weights: Path | None = None,
    head: Head = "copy",
    crop: str = "lipstream",
    width: float = WIDTH,
    moved: float = MOVED,
    critical: bool = False,
    batch_size: int = 36,
    rate: float = 1.5e-3,
    seed: int = 0,
    progress: Any = print,
) -> None:
    """Train until the total time is up; resume from the checkpoint if it exists.

    Args:
        folder: Dataset: the shards of `training.dataset.build_faces`.
        checkpoint: Checkpoint of the whole network; its audio encoder does not change.
        minutes: Total training time, earlier calls included.
        weights: Weights file to start from without a checkpoint; ``None`` for a new network. A painting head may start
            from a copying one of any crop: all but the last layer is taken.
        head: Output layer: ``copy``, or ``paint`` as in published networks.
        crop: What the pictures show of the face: ``lipstream``, or ``detector`` as in published networks.
        width: Factor on a new network's channels.
        moved: By how much a painting head's references are moved at most, see `draw_batch`.
        critical: Whether a critic is trained too and adds its loss: for the last part of a fit.
        batch_size: Targets per step, a multiple of `TARGETS`.
        rate: Largest step size.
        seed: Seed of all random choices.
        progress: Called with a line of text now and then.

    Raises:
        WeightsError: If the weights to start from are invalid, or of another head, crop or size.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rank = join_peers()
    torch.manual_seed(seed)
    pictures = Pictures(folder, "faces", crop)
    network = _start(pictures, weights, head, crop, width).to(device)
    run = Run(network, learned_parts(network), checkpoint, minutes=minutes, rate=rate)
    judge = Critic().to(device) if critical else None
    judging = judge and Run(
        judge, [{"params": list(judge.parameters()), "pace": 1.0}], _beside(checkpoint), minutes=minutes, rate=RATE
    )
    if judging:
        judging.keep_time_with(run)  # a critic whose schedule ended first would be deceived from then on
    rng = np.random.default_rng([seed, run.step, rank])
    counts = mouth_weights(pictures.region).to(device)
    shown: list[float] = []
    progress(f"{len(pictures.images)} scenes, from step {run.step}, on {device}")
    going = run.done < 1
    while going:
        batch = draw_batch(pictures, batch_size // TARGETS, rng, moved=moved if head == "paint" else 0.0)
        batch = Batch(*(part.to(device, non_blocking=True) for part in vars(batch).values()))
        code = mouth_to_code(batch.mouth, code_channels(network))[:, :, None, None]
        with torch.autocast(device.type, torch.bfloat16):
            face = batch.face.contiguous(memory_format=torch.channels_last)
            output = draw_mouths(network, code, face, pictures.region)
        reference = decoded(batch.reference, pictures.region)
        loss = loss_of(output, batch.target, reference, counts)
        if judge and judging:
            with torch.autocast(device.type, torch.bfloat16):
                judging.learn(misjudged(judge, output.float(), batch.target, reference))
                loss = loss + WEIGHT * unmasked(judge, output.float(), reference)
        going = run.learn(loss)
        shown.append(float(loss.detach()))
        if rank == 0 and run.step % 100 == 0:
            progress(f"step {run.step} {run.done:4.0%} loss {255 * np.mean(shown[-200:]):.2f}/255")
    if judging and rank == 0:
        judging.save()


def _beside(checkpoint: Path) -> Path:
    return checkpoint.with_name(f"{checkpoint.stem}-critic.pt")


def new_network(weights: Path | None = None, *, head: Head = "copy", width: float = WIDTH) -> Wav2Lip:
    """Return a network to start from: a new one, or that of a weights file.

    Raises:
        WeightsError: If the file is invalid.
    """
    if weights:
        return _by_channels(load_weights(weights)[0].requires_grad_(True))
    network = _by_channels(Wav2Lip(width, CROP, head, audio_width=AUDIO_WIDTH * width / WIDTH, ear="both"))
    if head == "copy":
        with torch.no_grad():
            # The paint starts as the inside of a mouth, so that the mask is useful from the first step.
            last_layer(network).bias.data[3:] = torch.tensor(_MOUTH_INSIDE_BGR).logit()  # type: ignore[union-attr]
    return network


def _start(pictures: Pictures, weights: Path | None, head: Head, crop: str, width: float) -> Wav2Lip:
    if not weights:
        network = new_network(head=head, width=width)
        return network if head == "copy" else _paint_mean(network, pictures)
    known, metadata = load_weights(weights)
    if (head, metadata.head, metadata.size, metadata.layout) == ("paint", "copy", CROP, "published"):
        network = new_network(head=head, width=known.width)
        for part in ("face_encoder_blocks", "face_decoder_blocks", "output_block.0"):
            network.get_submodule(part).load_state_dict(known.get_submodule(part).state_dict())
        return _paint_mean(network, pictures)
    found, wanted = (metadata.head, metadata.crop, metadata.size), (head, crop, CROP)
    if found != wanted:
        raise WeightsError(
            "{} has head {!r}, crop {!r} and {} px; the fit is of head {!r}, crop {!r} and {} px".format(
                weights.name, *found, *wanted
            )
        )
    return new_network(weights)


@torch.no_grad()
def _paint_mean(network: Wav2Lip, pictures: Pictures) -> Wav2Lip:
    """Let a network paint the mean colour of what it will draw."""
    top, bottom, left, right = pictures.region
    mean = pictures.images[:, 0, top:bottom, left:right].mean(axis=(0, 1, 2)) / 255
    last_layer(network).get_parameter("bias").copy_(torch.from_numpy(mean).logit())
    return network


def _by_channels(network: Wav2Lip) -> Wav2Lip:
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def learned_parts(network: Wav2Lip) -> list[dict[str, Any]]:
    """Return the parameters of face encoder and decoder for `Run`.

    The last layer must move far: a mask from 0.1 to 1, or paint from dark to light, is 4 units of its input.
    """
    last = list(last_layer(network).parameters())
    apart = {id(parameter) for parameter in [*last, *network.audio_encoder.parameters()]}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in apart]
    return [{"params": rest, "pace": 1.0}, {"params": last, "pace": 8.0}]
