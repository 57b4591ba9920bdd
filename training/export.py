"""Assembles the fitted parts into the weights file that ships."""

from __future__ import annotations

from pathlib import Path

import torch

from lipstream.realtime.lipsync.weights import save_weights
from training.augmentation import WINDOW_OFFSET_SAMPLES
from training.codes import encoder_of, say_firmly
from training.fit import new_network
from training.pairs import DECODED_REGION


def export(published: Path, sliding: Path, face: Path, out: Path, *, name: str = "lipstream") -> None:
    """Write a network as safetensors.

    Args:
        published: Checkpoint of the published audio encoder, see `training.audio_encoder`.
        sliding: Checkpoint of the sliding audio encoder.
        face: Checkpoint of the face encoder and decoder, see `training.fit`.
        out: Output path, ``.safetensors``.
    """
    network = new_network()
    drawn = torch.load(face, map_location="cpu", weights_only=True)["average"]
    drawn = {name: tensor for name, tensor in drawn.items() if not name.startswith("audio_encoder.")}
    network.load_state_dict(drawn, strict=False)
    for checkpoint, ear in ((published, "published"), (sliding, "sliding")):
        encoder = encoder_of(network, ear)
        encoder.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["average"])
        say_firmly(encoder)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_weights(
        network,
        out,
        window_offset_samples=WINDOW_OFFSET_SAMPLES,
        decoded_region=DECODED_REGION,
        licence="Apache-2.0",
        name=name,
        code="mouth",
    )
