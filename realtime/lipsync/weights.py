"""Reads weights files: Wav2Lip checkpoints and this project's safetensors. No code in a file is executed."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lipstream.realtime.errors import WeightsError
from lipstream.realtime.lipsync.checkpoint_file import open_checkpoint
from lipstream.realtime.lipsync.metadata import (
    FORMAT,
    Pads,
    Region,
    WeightsMetadata,
    default_region,
    file_sha256,
    parse_metadata,
    published_metadata,
)
from lipstream.realtime.lipsync.network import AudioEncoderKind, Head, Wav2Lip
from lipstream.realtime.lipsync.onnx_reader import read_initializers, read_values
from lipstream.realtime.lipsync.published_names import FIRST, Found, Shaped, find_network

__all__ = ["Region", "WeightsMetadata", "load_weights", "read_weights", "save_weights"]

StateDict = dict[str, Tensor]

_WIDEST = 4.0
_PARTS = ("face_encoder_blocks", "audio_encoder", "face_decoder_blocks", "output_block")
_ONNX_VERSION = b"\x08"
"""First byte of an ONNX file: the key of its version."""


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
    network, metadata, _ = read_weights(path)
    if window_offset_samples is not None:
        metadata = dataclasses.replace(metadata, window_offset_samples=window_offset_samples)
    return network.to(device=device, dtype=dtype), metadata


def read_weights(path: str | Path) -> tuple[Wav2Lip, WeightsMetadata, str]:
    """Return a weights file's network on the CPU, the facts about it, and the file's format in words.

    Raises:
        WeightsError: One sentence that names the first thing that does not fit.
    """
    path = Path(path)
    state, metadata, form = _read(path, file_sha256(path))
    network = _without_values(metadata, path)
    _check(state, cast("StateDict", network.state_dict()), path)
    network.to_empty(device="cpu").load_state_dict(state, strict=True)
    return network.eval().requires_grad_(False), metadata, form


def _without_values(metadata: WeightsMetadata, path: Path) -> Wav2Lip:
    """Return a network that takes no memory: a file may claim any size, and its tensors are looked at first."""
    if not 0 < metadata.width <= _WIDEST or not 0 < metadata.audio_width <= _WIDEST:
        raise WeightsError(f"{path.name}: the network is {metadata.width:g} wide, expected {_WIDEST:g} at most")
    try:
        with torch.device("meta"):
            return Wav2Lip(
                metadata.width,
                metadata.size,
                cast("Head", metadata.head),
                audio_width=metadata.audio_width,
                ear=cast("AudioEncoderKind", metadata.ear),
                layout_name=metadata.layout,
            )
    except (ValueError, RuntimeError, OverflowError) as error:
        raise WeightsError(f"{path.name}: {error}".partition("\n")[0]) from error


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
        "layout": network.layout_name,
        "size": str(network.size),
        "head": network.head,
        "window_offset_samples": str(window_offset_samples),
        "decoded_region": json.dumps(list(decoded_region or default_region(network.size))),
        "licence": licence,
        "crop": crop,
    }
    if pads is not None:
        metadata["pads"] = json.dumps(list(pads))
    if code is not None:
        metadata["code"] = code
    save_file(state, str(path), metadata=metadata)


def _read(path: Path, sha256: str) -> tuple[StateDict, WeightsMetadata, str]:
    """Return the tensors of a file, the facts about it, and its format in words."""
    with path.open("rb") as file:
        head = file.read(64)
    if path.suffix == ".safetensors" or head[8:9] == b"{":
        state, metadata, form = _read_safetensors(path, sha256)
    elif path.suffix == ".onnx" or (head[:1] == _ONNX_VERSION and b"pytorch" in head):
        state, metadata, form = _read_onnx(path, sha256)
    elif (instead := _not_weights(head)) is not None:
        raise WeightsError(f"{path.name} is {instead}")
    else:
        state, metadata, form = _read_checkpoint(path, sha256)
    return _with_batch_counts(state), metadata, form


def _not_weights(head: bytes) -> str | None:
    """Return what a file is instead of a checkpoint, if its first bytes say so."""
    if not head:
        return "empty"
    if head.lstrip()[:1] == b"<":
        return "a web page, not a checkpoint: download the file itself"
    if head.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS, not a checkpoint: fetch the file that it stands for"
    return None


def _read_safetensors(path: Path, sha256: str) -> tuple[StateDict, WeightsMetadata, str]:
    try:
        with safe_open(str(path), framework="pt") as file:
            fields = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path.name} is not a whole safetensors file: {error}") from error
    if fields.get("format", "pt") == "pt":  # written by a library, without facts of its own
        found = _find(state, path)
        return _renamed(state, found), _metadata(found, path, sha256), "safetensors with published names"
    return _floats(state), parse_metadata(fields, path=path, sha256=sha256), "safetensors of Lipstream"


def _read_onnx(path: Path, sha256: str) -> tuple[StateDict, WeightsMetadata, str]:
    """Read an export that has kept its batch norms, and with them the names of a checkpoint."""
    tensors = read_initializers(path)
    if not tensors:
        raise WeightsError(f"{path.name} is an ONNX export without tensors of its own")
    if any(name.startswith("onnx::") for name in tensors) or (
        any(name.endswith(FIRST) for name in tensors) and not any(name.endswith("running_mean") for name in tensors)
    ):
        raise WeightsError(
            f"{path.name} is an ONNX export in which convolutions and batch norms have become one: "
            "use the checkpoint that it was made of"
        )
    found = _find(tensors, path)
    parts = tuple(f"{found.prefix}{part}." for part in _PARTS)  # the graph's own constants are initialisers too
    wanted = {name: tensor for name, tensor in tensors.items() if name.startswith(parts)}
    return _renamed(read_values(path, wanted), found), _metadata(found, path, sha256), "ONNX export"


def _read_checkpoint(path: Path, sha256: str) -> tuple[StateDict, WeightsMetadata, str]:
    checkpoint = open_checkpoint(path)
    form = "TorchScript archive" if checkpoint.is_torchscript else "PyTorch checkpoint"
    if not checkpoint.maps:
        frozen = ": its values are frozen into its code" if checkpoint.is_torchscript else ""
        raise WeightsError(
            f"{path.name} is not a checkpoint of plain tensors: it holds no map of names to them{frozen}"
        )
    tensors = max(checkpoint.maps, key=lambda tensors: (any(name.endswith(FIRST) for name in tensors), len(tensors)))
    found = _find(tensors, path)
    wanted = {name: tensor for name, tensor in tensors.items() if name.startswith(found.prefix)}
    return _renamed(checkpoint.read(wanted), found), _metadata(found, path, sha256), form


def _find(tensors: Mapping[str, Shaped], path: Path) -> Found:
    try:
        return find_network(tensors)
    except ValueError as error:
        raise WeightsError(f"{path.name} {error}") from error


def _metadata(found: Found, path: Path, sha256: str) -> WeightsMetadata:
    return published_metadata(path=path, sha256=sha256, size=found.size, width=found.width, layout=found.layout)


def _renamed(state: StateDict, found: Found) -> StateDict:
    return _floats({name.removeprefix(found.prefix): tensor for name, tensor in state.items()})


def _floats(state: StateDict) -> StateDict:
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


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
