"""Fits the fine layers: mask and colour at twice the crop's size, for teeth, tongue and the edge of the lips.

Nothing else of the network changes, so mouths of pixels stay as they are. What is compared with the rendered truth is
what a server paints: the reference at 192 px, moved by the flow as `lipstream.realtime.picture.field_motion` settles
it, under mask and colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lipstream.realtime.errors import WeightsError
from lipstream.realtime.lipsync.fields import MAX_FLOW
from lipstream.realtime.lipsync.fine_paint import FinePaint
from lipstream.realtime.lipsync.folding import fold
from lipstream.realtime.lipsync.metadata import Region, WeightsMetadata
from lipstream.realtime.lipsync.network import Wav2Lip, copy_and_paint
from lipstream.realtime.lipsync.weights import load_weights, save_weights
from lipstream.realtime.picture.field_motion import FLOW_SOFTNESS, HOLD_PX
from training.codes import code_channels, mouth_to_code
from training.critic import RATE, Critic, misjudged, unmasked
from training.fit import loss_of, mouth_weights
from training.pairs import CROP, DECODED_REGION, FINE_CROP, TARGETS, Pictures, decoded, draw_batch, face_input
from training.run import Run

_REACH = 3
"""Taps of the flow's blur on each side of its middle, px."""
_DRAWN = 8
"""References that are drawn at once."""
_ROWS, _COLUMNS = 14, 20
"""Size of a lesson, px at half the crop's size."""
_MOST_A_SCENE = 24
_FAR_PX = 10
"""Side of the squares, px at twice the crop's size, whose mean colours the fine layers should leave as they are."""
_STRAY_WEIGHT, _CRITIC_WEIGHT = 3.0, 0.2
_RATE, _LAST_RATE = 3e-3, 1e-3
"""Largest step size, without and with a critic."""
_AROUND_MOUTH = 0.75
"""Share of the lessons that show the mouth; the others are anywhere in the region."""


def with_fine_paint(network: Wav2Lip) -> Wav2Lip:
    """Return a copy of a network with fine layers: fresh ones unless it has them."""
    fine = Wav2Lip(
        network.width,
        network.size,
        network.head,
        audio_width=network.audio_width,
        ear=network.ear,
        layout_name=network.layout_name,
        paint_scale=2,
    )
    fine.load_state_dict(network.state_dict(), strict=False)
    return fine.eval()


def settled(flow: Tensor) -> Tensor:
    """Return flows ``[B, 2, h, w]``, -1..1, as the painter blurs and holds them."""
    taps = torch.exp(-0.5 * (torch.arange(-_REACH, _REACH + 1) / FLOW_SOFTNESS) ** 2).to(flow)
    taps = taps / taps.sum()
    kernel = torch.outer(taps, taps).expand(2, 1, -1, -1)
    blurred = functional.conv2d(functional.pad(flow, [_REACH] * 4, mode="replicate"), kernel, groups=2)
    square = blurred.square().sum(dim=1, keepdim=True)
    return blurred * square / (square + (HOLD_PX / CROP * 2 / MAX_FLOW) ** 2)


@dataclass(frozen=True)
class Lessons:
    """What the fine layers learn from: parts of pictures, each with what the rest of the network makes of it.

    The rest does not change, so it is asked once.

    Attributes:
        below: Decoder's last map but one, ``float16[N, C, h / 2, w / 2]``.
        last: Its last map, ``float16[N, C, h, w]``.
        output: The head's output, ``float16[N, 6, h, w]``.
        moved: The reference as the flow moves it, ``uint8[N, 3, 2 h, 2 w]``.
        reference: The reference, of the same shape.
        target: The picture to draw, of the same shape.
        counts: Weight of each pixel, ``float32[N, 1, 2 h, 2 w]``.
    """

    below: Tensor
    last: Tensor
    output: Tensor
    moved: Tensor
    reference: Tensor
    target: Tensor
    counts: Tensor

    def batch(self, chosen: NDArray[np.int64]) -> Lessons:
        """Return some of them as ``float32``, pictures in 0..1."""
        tensors = (tensor[chosen] for tensor in vars(self).values())
        return Lessons(*(part.float() / 255 if part.dtype == torch.uint8 else part.float() for part in tensors))


def drawn(layers: FinePaint, lessons: Lessons) -> Tensor:
    """Return what a server would paint, ``[B, 3, 2 h, 2 w]``."""
    parts = (lessons.below, lessons.last, lessons.output)
    return _laid(layers(*(part.contiguous(memory_format=torch.channels_last) for part in parts)).float(), lessons)


def strayed(pictures: Tensor, lessons: Lessons) -> Tensor:
    """Return how far pictures are from what the head alone paints, seen from so far away that edges do not count.

    The head has learned colours and brightness of teeth from many more heads than the fine layers.

    Args:
        pictures: Drawn for the lessons, ``[B, 3, 2 h, 2 w]``.
    """
    enlarged = functional.interpolate(lessons.output[:, 2:], scale_factor=2.0, mode="bilinear", align_corners=False)
    away = functional.avg_pool2d(pictures.float() - _laid(enlarged, lessons), _FAR_PX, _FAR_PX // 2)
    return (functional.avg_pool2d(lessons.counts, _FAR_PX, _FAR_PX // 2) * away.abs()).mean()


def _laid(cover: Tensor, lessons: Lessons) -> Tensor:
    """Return the moved references under mask and colour, given before their sigmoid."""
    shown = torch.sigmoid(cover)
    return lessons.moved + (shown[:, 1:] - lessons.moved) * shown[:, :1]


@torch.no_grad()
def learn_from(
    network: Wav2Lip, pictures: Pictures, count: int, rng: np.random.Generator, progress: Any = print
) -> Lessons:
    """Draw lessons at random.

    Args:
        network: Folded network whose face encoder and decoder are used.
        pictures: Scenes at twice the crop's size.
        count: Number of lessons, rounded up to whole batches.
    """
    region, weights = DECODED_REGION, mouth_weights(pictures.region, FINE_CROP)
    made: list[tuple[Tensor, ...]] = []
    for number in range(-(-count // (_DRAWN * TARGETS))):
        batch = draw_batch(pictures, _DRAWN, rng)
        with torch.autocast("cpu", torch.bfloat16):
            small = functional.avg_pool2d(batch.chosen, FINE_CROP // CROP)
            face = face_input(small, small).contiguous(memory_format=torch.channels_last)
            features = [feature.repeat_interleave(TARGETS, dim=0) for feature in network.encode_face(face, region)]
            code = mouth_to_code(batch.mouth, code_channels(network))[:, :, None, None]
            parts = network.fine_inputs(code, features, region)
        flow = settled(torch.tanh(parts[2][:, :2].float()))
        flow = functional.interpolate(flow, scale_factor=2.0, mode="bilinear", align_corners=False)
        unpainted = torch.cat((flow, torch.zeros(len(flow), 4, *flow.shape[2:])), dim=1)
        moved = copy_and_paint(unpainted, batch.reference, 2 * region.top, 2 * region.left)
        whole = (moved, decoded(batch.reference, pictures.region), batch.target)
        pixels = [(part * 255).round().clamp(0, 255).byte() for part in whole]
        for at in range(len(flow)):
            half = _part(rng)
            scaled = [Region(*(edge * scale for edge in half)) for scale in (1, 2, 2, 4)]
            cut = [decoded(part[at].half(), place) for part, place in zip(parts, scaled, strict=False)]
            cut += [decoded(part[at], scaled[-1]) for part in pixels]
            made.append((*cut, decoded(weights[0], scaled[-1])))
        if number % 20 == 0:
            progress(f"{len(made)} of {count} lessons")
    return Lessons(*(torch.stack(tensors) for tensors in zip(*made, strict=True)))


def _part(rng: np.random.Generator) -> Region:
    """Return a random part of the region, mostly around the mouth, in px at half the crop's size."""
    rows, columns = (DECODED_REGION.height // 2 - _ROWS, DECODED_REGION.width // 2 - _COLUMNS)
    if rng.random() < _AROUND_MOUTH:
        top, left = int(rng.integers(0, 5)), columns // 2 + int(rng.integers(-4, 5))
    else:
        top, left = int(rng.integers(0, rows + 1)), int(rng.integers(0, columns + 1))
    return Region(top, top + _ROWS, left, left + _COLUMNS)


def fine_fit(
    folder: Path,
    weights: Path,
    out: Path,
    *,
    minutes: float,
    critical: bool = False,
    count: int = 6000,
    batch_size: int = 24,
    seed: int = 0,
    progress: Any = print,
) -> None:
    """Fit fine layers to pictures of 192 px until the total time is up, and write the weights with them.

    A fit that was interrupted goes on from the checkpoint beside ``out``.

    Args:
        folder: Dataset: the shards of ``python -m training faces --fine``.
        weights: Weights file with a copying head and Lipstream's crop of 96 px; its fine layers, if any, are the start.
        out: Output path, ``.safetensors``.
        minutes: Total training time, earlier calls included.
        critical: Whether a critic is trained too and adds its loss: for the last part of a fit.
        count: Number of lessons that are drawn before the first step; at most 24 for each scene.
        batch_size: Lessons per step.
        seed: Seed of all random choices.
        progress: Called with a line of text now and then.

    Raises:
        WeightsError: If the weights are invalid, or of another head, crop or size.
    """
    torch.manual_seed(seed)
    known, metadata = load_weights(weights)
    found, wanted = (metadata.head, metadata.crop, metadata.size), ("copy", "lipstream", CROP)
    if found != wanted:
        raise WeightsError(
            f"{weights.name} has head {found[0]!r}, crop {found[1]!r} and {found[2]} px; fine layers are taught with "
            f"head {wanted[0]!r}, crop {wanted[1]!r} and {wanted[2]} px"
        )
    network = with_fine_paint(known)
    frozen = fold(network).requires_grad_(requires_grad=False)
    layers = network.fine_paint
    for part in (frozen, layers):
        part.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stub lacks it
    groups, rate = [{"params": list(layers.parameters()), "pace": 1.0}], _LAST_RATE if critical else _RATE
    run = Run(layers, groups, out.with_suffix(".fine.pt"), minutes=minutes, rate=rate)
    judge = Critic() if critical else None
    judging = judge and Run(
        judge,
        [{"params": list(judge.parameters()), "pace": 1.0}],
        out.with_suffix(".critic.pt"),
        minutes=minutes,
        rate=RATE,
    )
    if judging:
        judging.keep_time_with(run)
    rng = np.random.default_rng([seed, run.step])
    going = run.done < 1
    lessons: Lessons | None = None
    if going:
        pictures = Pictures(folder, "faces", size=FINE_CROP)
        lessons = learn_from(frozen, pictures, min(count, _MOST_A_SCENE * len(pictures.images)), rng, progress)
    shown: list[float] = []
    progress(f"from step {run.step}")
    while going and lessons:
        batch = lessons.batch(rng.integers(len(lessons.target), size=batch_size))
        with torch.autocast("cpu", torch.bfloat16):
            output = drawn(layers, batch)
        loss = loss_of(output, batch.target, batch.reference, batch.counts)
        loss = loss + _STRAY_WEIGHT * strayed(output, batch)
        if judge and judging:
            with torch.autocast("cpu", torch.bfloat16):
                judging.learn(misjudged(judge, output, batch.target, batch.reference))
                loss = loss + _CRITIC_WEIGHT * unmasked(judge, output, batch.reference)
        going = run.learn(loss)
        shown.append(float(loss.detach()))
        if run.step % 100 == 0:
            progress(f"step {run.step} {run.done:4.0%} loss {255 * np.mean(shown[-100:]):.2f}/255")
    if judging:
        judging.save()
    layers.load_state_dict(run.average.state_dict())
    _save(network.eval(), metadata, out)


def _save(network: Wav2Lip, metadata: WeightsMetadata, out: Path) -> None:
    save_weights(
        network,
        out,
        window_offset_samples=metadata.window_offset_samples,
        decoded_region=metadata.decoded_region,
        licence=metadata.licence,
        name=metadata.name,
        crop=metadata.crop,
        code=metadata.code,
    )
