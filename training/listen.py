"""Teaches the audio encoder what a mouth does: before there is a face, and beside the faces later on.

Fitted with the pictures alone, the encoder has to find out what matters in the sound through a decoder
that does not use it yet, and hears only the moments that were drawn. To read the mouth's curve off the
sound is a small problem, and all speech can serve for it.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from realtime.lipsync.network import Wav2Lip
from training.pairs import Floats, Sound
from training.speech import VARIANTS
from training.visemes import MOUTH_ACTIONS


class Reader(nn.Module):
    """Reads a mouth off the audio encoder's output through one linear layer.

    Args:
        network: Whose encoder it reads.
        sound: Says how far each action strays.
    """

    spread: Tensor

    def __init__(self, network: Wav2Lip, sound: Sound) -> None:
        super().__init__()
        last = [module for module in network.audio_encoder.modules() if isinstance(module, nn.Conv2d)][-1]
        self.linear = nn.Linear(last.out_channels, len(MOUTH_ACTIONS))
        self.register_buffer("spread", torch.from_numpy(sound.mouth.std(axis=0) + 0.02))

    def forward(self, encoded: Tensor, mouths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean square error and the jaw as read, ``[B]``.

        Args:
            encoded: ``[B, C, 1, 1]``.
            mouths: The truth, ``[B, 13]``.
        """
        found: Tensor = self.linear(encoded.flatten(1).float())
        return (((found - mouths) / self.spread) ** 2).mean(), found[:, 0]


def draw_windows(sound: Sound, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return windows ``[count, 1, 80, 16]`` of any moments, in any variant, and their mouths ``[count, 13]``."""
    frames = rng.integers(len(sound.mouth), size=count)
    windows: Floats = np.stack([sound.window(int(frame), int(rng.integers(VARIANTS))) for frame in frames])
    return torch.from_numpy(windows)[:, None], torch.from_numpy(sound.mouth[frames])


def listen(
    network: Wav2Lip, reader: Reader, sound: Sound, *, minutes: float, seed: int = 0, progress: Any = print
) -> float:
    """Fit the audio encoder and its reader, in place, to the mouth's curve; the rest stays as it is.

    Args:
        network: Has the encoder.
        reader: Reads it.
        sound: Windows and mouths.
        minutes: How long.
        seed: Decides the order.
        progress: Told a line now and then.

    Returns:
        Pearson's r of the jaw over the last batches, each before it was learned from.
    """
    device = next(network.parameters()).device
    network.audio_encoder.train()
    learned = [*network.audio_encoder.parameters(), *reader.parameters()]
    optimizer = torch.optim.AdamW(learned, 2e-3, weight_decay=1e-3)
    rng = np.random.default_rng(seed)
    started, step, r = time.monotonic(), 0, 0.0
    jaws: list[np.ndarray[Any, Any]] = []
    while (done := (time.monotonic() - started) / (minutes * 60)) < 1:
        optimizer.param_groups[0]["lr"] = 2e-3 * min(1.0, (step + 1) / 50) * (1.02 - done)
        windows, mouths = (part.to(device) for part in draw_windows(sound, 128, rng))
        loss, jaw = reader(network.audio_encoder(windows), mouths)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        step += 1
        jaws.append(torch.stack([jaw, mouths[:, 0]]).detach().cpu().numpy())
        if step % 50 == 0:
            r = float(np.corrcoef(np.concatenate(jaws[-50:], axis=1))[0, 1])
            progress(f"listening, step {step}, {done:4.0%}: loss {loss.item():.3f}, jaw r {r:.3f}")
    return r
