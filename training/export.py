"""Turns a checkpoint into the weights file that ships."""

from __future__ import annotations

from pathlib import Path

import torch

from realtime.lipsync.metadata import Region
from realtime.lipsync.network import Wav2Lip
from realtime.lipsync.weights import save_weights
from training.dataset import CROP
from training.fit import WIDTH, last_layer
from training.pairs import WINDOW_OFFSET_SAMPLES

DECODED_REGION = Region(CROP // 2, CROP, CROP // 8, CROP - CROP // 8)
"""Lips, chin and cheeks: 99 % of what speech changes in the rendered heads."""
MOTION_GAIN = 1.3
"""L1 settles on the median of what might be said: motion comes out too small, and is given some of it back."""


def export(checkpoint: Path, out: Path, *, name: str = "lipstream", motion_gain: float = MOTION_GAIN) -> None:
    """Write the network of a checkpoint as safetensors.

    Args:
        checkpoint: What `training.fit.fit` wrote.
        out: The file to write.
        name: For people.
        motion_gain: Factor on the flow of the copying head.
    """
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    network = Wav2Lip(WIDTH, CROP, "copy")
    network.load_state_dict(state["average"])
    with torch.no_grad():
        for part in last_layer(network).parameters():
            part[:2] *= motion_gain
    out.parent.mkdir(parents=True, exist_ok=True)
    save_weights(
        network,
        out,
        window_offset_samples=WINDOW_OFFSET_SAMPLES,
        decoded_region=DECODED_REGION,
        licence="Apache-2.0",
        name=name,
    )
