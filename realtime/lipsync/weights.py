"""Reads weights files: official Wav2Lip checkpoints and this project's safetensors. No code in a file is executed."""

import dataclasses
import json
import pickle
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lipstream.realtime.errors import WeightsError
from lipstream.realtime.lipsync.metadata import (
    FORMAT,
    Region,
    WeightsMetadata,
    default_region,
    file_sha256,
    parse_metadata,
    published_metadata,
)
from lipstream.realtime.lipsync.network import AudioEncoderKind, Head, Wav2Lip, scaled

__all__ = ["Region", "WeightsMetadata", "load_weights", "save_weights"]

StateDict = dict[str, Tensor]


def load_weights(
    path: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    window_offset_samples: int | None = None,
) -> tuple[Wav2Lip, WeightsMetadata]:
    """Load a network from a weights file.

    Args:
        path: ``.safetensors`` of this project, or an official ``.pth``: ``{"state_dict": ...}`` or bare, with or
            without ``module.`` before the names.
        device: Device for the parameters, default ``cpu``.
        dtype: Type of the parameters, default ``float32``.
        window_offset_samples: Replaces the offset of the file, or the published default; samples at 16 kHz.

    Returns:
        The network in eval mode and its metadata.

    Raises:
        WeightsError: If the file is invalid; the message names the first fault.
    """
    path = Path(path)
    sha256 = file_sha256(path)
    if path.suffix == ".safetensors":
        state, metadata = _read_safetensors(path, sha256)
    else:
        state, metadata = _read_checkpoint(path, sha256)
    if window_offset_samples is not None:
        metadata = dataclasses.replace(metadata, window_offset_samples=window_offset_samples)
    network = Wav2Lip(
        metadata.width,
        metadata.size,
        cast("Head", metadata.head),
        audio_width=metadata.audio_width,
        ear=cast("AudioEncoderKind", metadata.ear),
    )
    _check(state, cast("StateDict", network.state_dict()), path)
    network.load_state_dict(state, strict=True)
    return network.eval().requires_grad_(False).to(device=device, dtype=dtype), metadata


def save_weights(
    network: Wav2Lip,
    path: str | Path,
    *,
    window_offset_samples: int,
    decoded_region: Region | None = None,
    licence: str,
    name: str,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write a network as safetensors with the metadata that :func:`load_weights` reads."""
    state = {
        key: value.detach().cpu().to(dtype).contiguous()
        for key, value in network.state_dict().items()
        if value.is_floating_point()
    }
    metadata = {
        "format": FORMAT,
        "name": name,
        "width": repr(network.width),
        "audio_width": repr(network.audio_width),
        "ear": network.ear,
        "size": str(network.size),
        "head": network.head,
        "window_offset_samples": str(window_offset_samples),
        "decoded_region": json.dumps(list(decoded_region or default_region(network.size))),
        "licence": licence,
    }
    save_file(state, str(path), metadata=metadata)


def _read_safetensors(path: Path, sha256: str) -> tuple[StateDict, WeightsMetadata]:
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = parse_metadata(file.metadata() or {}, path=path, sha256=sha256)
            state = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 (not a mapping)
    except SafetensorError as error:
        raise WeightsError(f"{path.name} is not a whole safetensors file: {error}") from error
    return _with_batch_counts(state), metadata


def _read_checkpoint(path: Path, sha256: str) -> tuple[StateDict, WeightsMetadata]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, IndexError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise WeightsError(f"{path.name} is not a checkpoint of plain tensors: {reason}") from error
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise WeightsError(f"{path.name} holds no map of names to tensors")
    state = {str(key).removeprefix("module."): value for key, value in loaded.items()}
    bottom, first = (
        state.get("face_encoder_blocks.6.0.conv_block.0.weight"),
        "face_encoder_blocks.0.0.conv_block.0.weight",
    )
    if bottom is None or first not in state:
        raise WeightsError(f"{path.name} has no tensor {first}: it is no Wav2Lip generator")
    size, width = 32 * bottom.shape[-1], bottom.shape[0] / scaled(512, 1.0)
    if size < 96:
        raise WeightsError(
            f"{path.name}: face_encoder_blocks.6.0 has a kernel of {bottom.shape[-1]}, expected 3 or more"
        )
    return _with_batch_counts(state), published_metadata(path=path, sha256=sha256, size=size, width=width)


def _with_batch_counts(state: StateDict) -> StateDict:
    """Add batch norm's batch counters: they have no effect at inference, and some files omit them."""
    counters = {
        key.removesuffix("running_mean") + "num_batches_tracked": torch.tensor(0)
        for key in state
        if key.endswith("running_mean")
    }
    return counters | state


def _check(found: StateDict, expected: StateDict, path: Path) -> None:
    for key, tensor in expected.items():
        if key not in found:
            raise WeightsError(f"{path.name}: tensor {key} is missing")
        if found[key].shape != tensor.shape:
            raise WeightsError(
                f"{path.name}: tensor {key} has shape {list(found[key].shape)}, expected {list(tensor.shape)}"
            )
    for key in found:
        if key not in expected:
            raise WeightsError(f"{path.name}: unexpected tensor {key}")
