"""Assembles the fitted parts into the weights file that ships."""

from __future__ import annotations

from pathlib import Path

import torch

from lipstream.realtime.lipsync.metadata import NO_PADS
from lipstream.realtime.lipsync.network import Head
from lipstream.realtime.lipsync.weights import load_weights, save_weights
from training.augmentation import WINDOW_OFFSET_SAMPLES
from training.codes import encoder_of, say_firmly
from training.fit import new_network
from training.pairs import REGIONS, WIDTH


def export(
    ears: tuple[Path, Path] | Path,
    face: Path,
    out: Path,
    *,
    name: str = "lipstream",
    head: Head = "copy",
    crop: str = "lipstream",
    width: float = WIDTH,
) -> None:
    """Write a network as safetensors.

    Args:
        ears: Checkpoints of the published and of the sliding audio encoder, see `training.audio_encoder`; or a weights
            file that has both.
        face: Checkpoint of the face encoder and decoder, see `training.fit`.
        out: Output path, ``.safetensors``.
        head: Output layer that the checkpoint was fitted with.
        width: Width that the checkpoint was fitted with.
        crop: Crop that the checkpoint was fitted to. A detector's boxes were not widened: the file says so.

    Raises:
        WeightsError: If the weights file is invalid or has not both audio encoders.
    """
    network, offset = new_network(head=head, width=width), WINDOW_OFFSET_SAMPLES
    drawn = torch.load(face, map_location="cpu", weights_only=True)["average"]
    drawn = {name: tensor for name, tensor in drawn.items() if not name.startswith("audio_encoder.")}
    network.load_state_dict(drawn, strict=False)
    if isinstance(ears, Path):
        known, metadata = load_weights(ears)
        offset = metadata.window_offset_samples
        for ear in ("published", "sliding"):
            encoder_of(network, ear).load_state_dict(encoder_of(known, ear).state_dict())
    else:
        for checkpoint, ear in zip(ears, ("published", "sliding"), strict=True):
            encoder = encoder_of(network, ear)
            encoder.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["average"])
            say_firmly(encoder)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_weights(
        network,
        out,
        window_offset_samples=offset,
        decoded_region=REGIONS[crop],
        licence="Apache-2.0",
        name=name,
        crop=crop,
        pads=NO_PADS if crop == "detector" else None,
        code="mouth",
    )
