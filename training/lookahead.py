"""How well are lips predicted from sound that is known up to some time past their frame? The basis of the window."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from lipstream.realtime.lipsync.alignment import look_ahead_samples
from training.audio_encoder import FRAMES, misheard
from training.augmentation import WINDOW_OFFSET_SAMPLES, Sound
from training.codes import code_to_mouth, encoder_of, lip_motion
from training.figures import correlation
from training.fit import new_network
from training.geometry import lip_gap, lip_width
from training.heads import Floats, HeadSet
from training.plots import plot_look_ahead
from training.run import Run, join_peers
from training.visemes import spread_actions

_COLUMN_SAMPLES, _RATE_HZ = 200, 16000
_COLUMNS_LATER = (-4, -2, 0, 2, 4, 8)
_OFFSETS = tuple(WINDOW_OFFSET_SAMPLES + _COLUMN_SAMPLES * columns for columns in _COLUMNS_LATER)


class Ears(nn.Module):
    """One audio encoder with a last layer for each place of the window, so that all places train on the same sounds."""

    def __init__(self) -> None:
        super().__init__()
        *shared, last = encoder_of(new_network(), "sliding")
        self.shared = nn.Sequential(*shared)
        self.last = nn.ModuleList([last, *(encoder_of(new_network(), "sliding")[-1] for _ in _OFFSETS[1:])])

    def forward(self, sound: Tensor) -> list[Tensor]:
        """Return the codes of each layer at every column, ``[B, T - 15, C]``, for sounds ``[B, 1, 80, T]``."""
        heard = self.shared(sound)
        return [layer(heard)[:, :, 0].float().transpose(1, 2) for layer in self.last]


def lip_slopes(heads: HeadSet) -> Floats:
    """Return the change of the lips' opening and width per unit of each number of a mouth, ``float32[13, 2]``."""
    face = heads.vertices[0]
    moved = np.tensordot(spread_actions(np.eye(13, dtype=np.float32) * 0.2, heads.action_names), heads.actions, 1)
    now = np.array([(lip_gap(heads, face + each), lip_width(heads, face + each)) for each in moved])
    slopes: Floats = ((now - (lip_gap(heads, face), lip_width(heads, face))) / 0.2).astype(np.float32)
    return slopes


def look_ahead_curve(
    folder: Path,
    *,
    minutes: float,
    seed: int = 0,
    batch_size: int = 32,
    plot: Path | None = None,
    progress: Any = print,
) -> dict[float, tuple[float, float]]:
    """Fit an encoder with several windows at once; return how well each predicts a voice outside the training set.

    The fit is short and each window has only a small part of its own: the comparison counts, not the values.

    Args:
        folder: Dataset: ``speech-*.npz``, ``held-speech-*.npz`` and ``heads.npz``.
        minutes: Training time; the checkpoint is ``look-ahead.pt`` in the folder.
        seed: Seed of all random choices.
        batch_size: Stretches per step.
        plot: Output path for the curve; ``None`` for no plot.
        progress: Called with a line of text now and then.

    Returns:
        Pearson's r of opening and width for each look-ahead, milliseconds.
    """
    rank = join_peers()
    torch.manual_seed(seed)
    heads = HeadSet.load(folder / "heads.npz")
    sound, motion = Sound(folder, "speech", _OFFSETS[0]), torch.from_numpy(lip_motion(heads))
    ears = Ears()
    groups: list[dict[str, Any]] = [{"params": list(ears.parameters()), "pace": 1.0}]
    run = Run(ears, groups, folder / "look-ahead.pt", minutes=minutes, rate=2e-3)
    rng = np.random.default_rng([seed, run.step, rank])
    going = run.done < 1
    while going:
        heard = sound.draw(batch_size, FRAMES, rng, beyond=_COLUMNS_LATER[-1] - _COLUMNS_LATER[0])
        with torch.autocast("cpu", torch.bfloat16):
            slid = ears(heard.sound)
        loss = torch.zeros(())
        for columns, codes in zip(_COLUMNS_LATER, slid, strict=True):
            at = (heard.at + columns - _COLUMNS_LATER[0])[..., None].expand(-1, -1, codes.shape[2])
            loss = loss + misheard(codes.gather(1, at), heard.mouths, motion).mean()
        going = run.learn(loss / len(slid))
        if rank == 0 and run.step % 100 == 0:
            progress(f"look-ahead, step {run.step} {run.done:4.0%} loss {float(loss.detach()) / len(slid):.3f}")
    if rank:
        return {}
    curve = _heard_by(cast("Ears", run.average).eval(), folder, lip_slopes(heads))
    if plot:
        plot_look_ahead(plot, curve)
    return curve


@torch.no_grad()
def _heard_by(ears: Ears, folder: Path, slopes: Floats) -> dict[float, tuple[float, float]]:
    curve = {}
    for number, offset in enumerate(_OFFSETS):
        sound = Sound(folder, "held-speech", offset)
        spoken = np.repeat(sound.voiced, np.diff(sound.first_frame)).astype(bool)
        frames = np.flatnonzero(spoken)
        codes = [
            ears.last[number](ears.shared(torch.from_numpy(np.ascontiguousarray(sound.windows(part)))[:, None]))
            for part in np.array_split(frames, len(frames) // 512 + 1)
        ]
        lips, truth = code_to_mouth(torch.cat(codes)[:, :, 0, 0]).numpy() @ slopes, sound.mouth[frames] @ slopes
        both = (correlation(lips[:, 0], truth[:, 0]), correlation(lips[:, 1], truth[:, 1]))
        curve[1000 * look_ahead_samples(offset) / _RATE_HZ] = both
    return curve
