"""Loads weights files as torch networks, and writes networks as weights files; `weights_file` reads them."""

from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from lipstream.realtime.lipsync.layers import AudioEncoderKind
from lipstream.realtime.lipsync.metadata import NO_PADS, PUBLISHED_PADS, Pads, Region, WeightsMetadata, default_region
from lipstream.realtime.lipsync.network import Wav2Lip
from lipstream.realtime.lipsync.weights_file import read_file, write_file

__all__ = ["Region", "WeightsMetadata", "load_weights", "read_weights", "save_weights"]


def load_weights(
    path: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    window_offset_samples: int | None = None,
) -> tuple[Wav2Lip, WeightsMetadata]:
    """Load a network from a weights file.

    Args:
        path: Safetensors, of ours or with a published network's names; what PyTorch has written in any of its
            forms, a TorchScript archive among them: bare, or in a map beside an optimizer, with or without ``module.``
            in front of its names; or an ONNX export that has kept the names.
        device: Device for the parameters, default ``cpu``.
        dtype: Type of the parameters, default ``float32``.
        window_offset_samples: Replaces the offset of the file, or the published default; samples at 16 kHz.

    Returns:
        The network in eval mode and its metadata.

    Raises:
        WeightsError: If the file is invalid; the message names the first fault.
    """
    network, metadata, _ = read_weights(path, window_offset_samples=window_offset_samples)
    return network.to(device=device, dtype=dtype), metadata


def read_weights(path: str | Path, *, window_offset_samples: int | None = None) -> tuple[Wav2Lip, WeightsMetadata, str]:
    """Return a weights file's network on the CPU, the facts about it, and the file's format in words.

    Raises:
        WeightsError: One sentence that names the first thing that does not fit.
    """
    plan, tensors, metadata, form = read_file(path, window_offset_samples=window_offset_samples)
    with torch.device("meta"):
        network = Wav2Lip(
            metadata.width,
            metadata.size,
            plan.head,
            audio_width=metadata.audio_width,
            ear=cast("AudioEncoderKind", metadata.ear),
            layout_name=metadata.layout,
            paint_scale=metadata.paint_scale,
        )
    state = {name: torch.from_numpy(tensor.copy()) for name, tensor in tensors.items()}
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval().requires_grad_(False), metadata, form


def save_weights(
    network: Wav2Lip,
    path: str | Path,
    *,
    window_offset_samples: int,
    decoded_region: Region | None = None,
    licence: str,
    name: str,
    dtype: torch.dtype = torch.float16,
    crop: str = "lipstream",
    pads: Pads | None = None,
    code: str | None = None,
) -> None:
    """Write a network as safetensors with the metadata that :func:`load_weights` reads.

    Args:
        code: See :class:`WeightsMetadata`; ``None`` for what the head implies: ``mouth`` with a copying one.
    """
    state: dict[str, Tensor] = network.state_dict()
    metadata = WeightsMetadata(
        name=name,
        width=network.width,
        audio_width=network.audio_width,
        size=network.size,
        head=network.head,
        window_offset_samples=window_offset_samples,
        decoded_region=decoded_region or default_region(network.size),
        sha256="",
        licence=licence,
        ear=network.ear,
        layout=network.layout_name,
        crop=crop,
        pads=pads or (PUBLISHED_PADS if crop == "detector" else NO_PADS),
        paint_scale=network.paint_scale,
        code=code or ("mouth" if network.head == "copy" else "unknown"),
    )
    tensors = {key: value.detach().float().cpu().numpy() for key, value in state.items() if value.is_floating_point()}
    write_file(path, tensors, metadata, half=dtype == torch.float16)
