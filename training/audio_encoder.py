"""Trains an audio encoder on sound alone: from stretches of speech to the codes of their mouths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lipstream.realtime.lipsync.mouth_code import SPREAD
from lipstream.realtime.timeline import WINDOW_COLUMNS
from training.augmentation import Sound, Stretches
from training.codes import code_to_mouth, encoder_of, lip_motion, mouth_to_code, say_firmly
from training.fit import new_network
from training.heads import HeadSet
from training.run import Run, join_peers

FRAMES = 24
"""Frames of a stretch: about a second."""
_DROPPED, _FIRST_DROPPED = 0.15, 6
"""Share of a stretch's features that are dropped, and the first layer in which they are."""
_DECAY = 0.05
_CODE_WEIGHT = 0.3
_SOFTENING_MM = 0.3
_STEADY_WEIGHT = 8.0
_STEADY_SOFTENING_MM, _HELD_MM = 0.1, 0.2


def misheard(code: Tensor, mouths: Tensor, motion: Tensor) -> Tensor:
    """Return the error of predicted codes, ``[B, N]``.

    The error is the distance of the lips rather than its square: if the sound does not decide whether the lips touch,
    the minimum is then at the likelier of the two states and not between them. The distance of the codes is added, for
    actions that lips hardly show and for the numbers that stay at zero.

    Args:
        code: Output of the encoder, ``[B, N, C]``.
        mouths: True mouths, ``[B, N, 13]``.
        motion: Matrix ``float32[13, 13]`` from `training.codes.lip_motion`.
    """
    away_mm = (code_to_mouth(code) - mouths) @ motion
    lips = torch.sqrt(away_mm.square().sum(dim=-1) + _SOFTENING_MM**2)
    return lips + _CODE_WEIGHT * (code - mouth_to_code(mouths, code.shape[-1])).abs().mean(dim=-1) * len(SPREAD)


def unsteady(code: Tensor, mouths: Tensor, motion: Tensor) -> Tensor:
    """Return by how much the lips' motion to the next frame differs from the true one, mm, ``[B, N - 1]``.

    Held lips matter most: there a small change is visible, while a fast motion is judged by its time.

    Args:
        code: Output of the encoder for N consecutive frames, ``[B, N, C]``.
        mouths: True mouths, ``[B, N, 13]``.
        motion: Matrix ``float32[13, 13]`` from `training.codes.lip_motion`.
    """
    moved = mouths.diff(dim=1) @ motion
    away = code_to_mouth(code).diff(dim=1) @ motion - moved
    shimmer = torch.sqrt(away.square().sum(dim=-1) + _STEADY_SOFTENING_MM**2) - _STEADY_SOFTENING_MM
    return shimmer / (1 + moved.square().sum(dim=-1) / _HELD_MM**2)


def _forget(layer: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    """Drop some features for a whole stretch, against learning by heart (Srivastava et al., 2014)."""
    (features,) = inputs
    if not layer.training:
        return inputs
    kept = functional.dropout(torch.ones_like(features[..., :1]), _DROPPED)
    return (features * kept,)


def codes_of(encoder: nn.Module, ear: str, heard: Stretches) -> Tensor:
    """Return the codes of the frames of stretches, ``[B, N, C]``.

    Args:
        encoder: A part of `realtime.lipsync.network.CombinedEncoder`.
        ear: Kind of the encoder, ``sliding`` or ``published``; the sliding one computes each column once.
        heard: Stretches from `Sound.draw`.
    """
    with torch.autocast("cpu", torch.bfloat16):
        if ear == "sliding":
            slid = encoder(heard.sound.contiguous(memory_format=torch.channels_last))[:, :, 0].float()
            found: Tensor = slid.gather(2, heard.at[:, None].expand(-1, slid.shape[1], -1)).transpose(1, 2)
            return found
        columns = heard.at[..., None] + torch.arange(WINDOW_COLUMNS)
        numbers = torch.arange(len(columns))[:, None, None]
        windows = heard.sound[numbers, 0, :, columns].transpose(2, 3).flatten(0, 1)[:, None]
        said: Tensor = encoder(windows)[:, :, 0, 0].float()
        return said.view(*heard.at.shape, -1)


def listen(
    folder: Path,
    checkpoint: Path,
    *,
    minutes: float,
    offset: int,
    ear: str = "sliding",
    weights: Path | None = None,
    batch_size: int = 32,
    rate: float = 2e-3,
    seed: int = 0,
    progress: Any = print,
) -> None:
    """Fit an audio encoder until the time is up; resume from the checkpoint if it exists.

    Args:
        folder: Dataset: ``speech-*.npz`` and ``heads.npz``.
        minutes: Total training time.
        offset: Samples (16 kHz) from a frame's start to its window's.
        ear: Kind of the encoder, ``sliding`` or ``published``.
        weights: Output of `training.export` to start from without a checkpoint; ``None`` for a new encoder.
        batch_size: Stretches per step, of `FRAMES` frames each.
        rate: Largest step size.
        seed: Seed of all random choices.
        progress: Called with a line of text now and then.

    Raises:
        WeightsError: If the weights have only one of the two audio encoders.
    """
    rank = join_peers()
    sound = Sound(folder, "speech", offset)
    motion = torch.from_numpy(lip_motion(HeadSet.load(folder / "heads.npz")))
    torch.manual_seed(seed)
    encoder = encoder_of(new_network(weights), ear)
    if weights:
        say_firmly(encoder, undo=True)
    for layer in list(encoder)[_FIRST_DROPPED:]:
        layer.register_forward_pre_hook(_forget)
    groups: list[dict[str, Any]] = [{"params": list(encoder.parameters()), "pace": 1.0, "weight_decay": _DECAY}]
    run = Run(encoder, groups, checkpoint, minutes=minutes, rate=rate)
    rng = np.random.default_rng([seed, run.step, rank])
    shown: list[float] = []
    going = run.done < 1
    while going:
        heard = sound.draw(batch_size, FRAMES, rng)
        code = codes_of(encoder, ear, heard)
        wrong = (heard.weights * misheard(code, heard.mouths, motion)).sum() / heard.weights.sum()
        # Touching lips are still for a frame or two: a reward for steadiness there would keep them from touching.
        shimmer = (unsteady(code, heard.mouths, motion) / heard.weights[:, 1:]).mean()
        loss = wrong + _STEADY_WEIGHT * shimmer
        going = run.learn(loss)
        shown.append(float(loss.detach()))
        if rank == 0 and run.step % 100 == 0:
            progress(f"listening, step {run.step} {run.done:4.0%} loss {np.mean(shown[-100:]):.3f}")
