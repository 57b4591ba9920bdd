"""Puts the two fits together as the weights file that ships."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from realtime.lipsync.weights import save_weights
from training.fit import new_network
from training.hearing import WINDOW_OFFSET_SAMPLES
from training.pairs import DECODED_REGION
from training.visemes import MOUTH_ACTIONS

_FIRMER = {"mouthFunnel": 1.4, "mouthPucker": 1.4, "mouthStretch": 1.4, "mouthSmile": 1.4}
"""How much more than the ear says lips are rounded and spread.

Where it doubts, it says less than there is, and the decoder draws less than it is told. Chosen on sentences that the
model card's table does not use: mouths come no further from the truth, and widths follow it better.
"""


def export(ear: Path, face: Path, out: Path, *, name: str = "lipstream") -> None:
    """Write a network as safetensors.

    Args:
        ear: Checkpoint of the audio encoder, see `training.listen`.
        face: Checkpoint of the rest, see `training.fit`.
        out: The file to write.
        name: For people.
    """
    network = new_network()
    drawn = torch.load(face, map_location="cpu", weights_only=True)["average"]
    drawn = {name: tensor for name, tensor in drawn.items() if not name.startswith("audio_encoder.")}
    network.load_state_dict(drawn, strict=False)
    network.audio_encoder.load_state_dict(torch.load(ear, map_location="cpu", weights_only=True)["average"])
    _say_firmly(network.audio_encoder)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_weights(
        network,
        out,
        window_offset_samples=WINDOW_OFFSET_SAMPLES,
        decoded_region=DECODED_REGION,
        licence="Apache-2.0",
        name=name,
    )


@torch.no_grad()
def _say_firmly(encoder: nn.Module) -> None:
    """Scale the numbers of the code that `_FIRMER` names: the last norm's, as only a ReLU comes after it."""
    norm = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)][-1]
    for name, factor in _FIRMER.items():
        norm.weight[MOUTH_ACTIONS.index(name)] *= factor
        norm.bias[MOUTH_ACTIONS.index(name)] *= factor
