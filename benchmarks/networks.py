"""Random networks for measurements, and the number of their operations."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.lipsync.network import Wav2Lip
from lipstream.realtime.lipsync.weights import load_weights, save_weights

MOUTH_AND_JAW = (0.5, 1.0, 0.125, 0.875)
"""Decoded region of the random networks, in shares of the crop; the same as that of the built-in weights."""


def random_network(width: float, size: int, folder: Path) -> Path:
    """Write a network with random weights, which costs as much as a trained one."""
    torch.manual_seed(0)
    path = folder / f"{width:g}-{size}.safetensors"
    region = Region(*(int(share * size) for share in MOUTH_AND_JAW))
    network = Wav2Lip(width, size).eval()
    save_weights(network, path, window_offset_samples=-640, decoded_region=region, licence="CC0-1.0", name=path.stem)
    return path


def gflop(call: Callable[[], object]) -> float:
    """Return the operations of a call in convolutions and matrix products, 1e9, two per multiplication."""
    with FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops()) / 1e9


@torch.inference_mode()
def mouth_gflop(weights: Path, *, fields: bool = False) -> float:
    """Return the operations of one mouth, 1e9, with the face encoded and only the decoded region computed.

    Args:
        fields: Whether the mouth is drawn as fields, with fine paint if the weights have it, or as pixels.
    """
    network, metadata = load_weights(weights)
    region = metadata.decoded_region
    face = torch.zeros(1, 6, metadata.size, metadata.size)
    levels = network.encode_face(face, region)
    window = torch.zeros(1, 1, 80, 16)
    if not fields:
        return gflop(lambda: network.decode(window, levels, face[:, 3:], region))
    if network.paint_scale == 1:
        return gflop(lambda: network.draw_fields(network.audio_encoder(window), levels, region))
    return gflop(lambda: network.draw_fine_fields(network.audio_encoder(window), levels, region, metadata.fine_window))
