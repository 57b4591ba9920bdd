"""The tensors of weights files: Wav2Lip checkpoints and this project's safetensors. No code in a file is executed."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, deserialize, safe_open
from safetensors.numpy import save_file

from lipstream.realtime.errors import WeightsError, shown
from lipstream.realtime.lipsync.bfloat16 import BFLOAT16, widened
from lipstream.realtime.lipsync.checkpoint_file import open_checkpoint
from lipstream.realtime.lipsync.file_kinds import file_kind
from lipstream.realtime.lipsync.layers import AudioEncoderKind, Head, Plan, Shape, plan
from lipstream.realtime.lipsync.metadata import FORMAT, WeightsMetadata, file_sha256
from lipstream.realtime.lipsync.onnx_reader import read_initializers, read_values
from lipstream.realtime.lipsync.published_names import FIRST, Found, Shaped, find_network
from lipstream.realtime.lipsync.stated_metadata import parse_metadata, published_metadata

Tensors = dict[str, npt.NDArray[Any]]

_WIDEST = 4.0
_LONGEST_NAME = 100
_PARTS = ("face_encoder_blocks", "audio_encoder", "face_decoder_blocks", "output_block")
_BRAIN = "BF16"
_KINDS = {"F64", "F32", "F16", _BRAIN, "I64", "I32", "I16", "I8", "U8", "BOOL"}


class WeightsFile(NamedTuple):
    """What a weights file holds.

    Attributes:
        tensors: ``float32`` by name, and batch counters; exactly those of the plan.
        form: The file's format in words.
    """

    plan: Plan
    tensors: Tensors
    metadata: WeightsMetadata
    form: str


def read_file(path: str | Path, *, window_offset_samples: int | None = None) -> WeightsFile:
    """Return the tensors of a weights file, with the layers that they belong to and the facts about them.

    Args:
        path: Safetensors, of ours or with a published network's names; what PyTorch has written in any of its
            forms, a TorchScript archive among them: bare, or in a map beside an optimizer, with or without ``module.``
            in front of its names; or an ONNX export that has kept the names.
        window_offset_samples: Replaces the offset of the file, or the published default; samples at 16 kHz.

    Raises:
        WeightsError: One sentence that names the first thing that does not fit.
    """
    path = Path(path)
    tensors, metadata, form = _read(path, file_sha256(path))
    network = _plan(metadata, path)
    _check(tensors, network.shapes(), path)
    if window_offset_samples is not None:
        metadata = dataclasses.replace(metadata, window_offset_samples=window_offset_samples)
    return WeightsFile(network, tensors, metadata, form)


def write_file(path: str | Path, tensors: Tensors, metadata: WeightsMetadata, *, half: bool = True) -> None:
    """Write tensors and the facts about them as safetensors, in the form that :func:`read_file` reads.

    The file is whole, or not there.

    Args:
        metadata: ``sha256`` is not written.
        half: Whether numbers have 16 bits, otherwise 32; default true.

    Raises:
        OSError: If the file cannot be written.
        SafetensorError: As above.
    """
    kind = np.float16 if half else np.float32
    state = {name: np.ascontiguousarray(tensor, kind) for name, tensor in tensors.items() if tensor.dtype.kind == "f"}
    fields = {
        "format": FORMAT,
        "name": metadata.name,
        "width": repr(metadata.width),
        "audio_width": repr(metadata.audio_width),
        "ear": metadata.ear,
        "layout": metadata.layout,
        "size": str(metadata.size),
        "head": metadata.head,
        "window_offset_samples": str(metadata.window_offset_samples),
        "decoded_region": json.dumps(list(metadata.decoded_region)),
        "licence": metadata.licence,
        "crop": metadata.crop,
        "pads": json.dumps(list(metadata.pads)),
        "code": metadata.code,
        "paint_scale": str(metadata.paint_scale),
    }
    part = Path(f"{path}.part")
    try:
        save_file(state, str(part), metadata=fields)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _plan(metadata: WeightsMetadata, path: Path) -> Plan:
    """Return the layers that the metadata names; a file may claim any size, so nothing is made of them here."""
    if not 0 < metadata.width <= _WIDEST or not 0 < metadata.audio_width <= _WIDEST:
        raise WeightsError(f"{path.name}: the network is {metadata.width:g} wide, expected {_WIDEST:g} at most")
    try:
        return plan(
            metadata.width,
            metadata.size,
            cast("Head", metadata.head),
            audio_width=metadata.audio_width,
            ear=cast("AudioEncoderKind", metadata.ear),
            layout_name=metadata.layout,
            paint_scale=metadata.paint_scale,
        )
    except (ValueError, OverflowError) as error:
        raise WeightsError(f"{path.name}: {error}") from error


def _read(path: Path, sha256: str) -> tuple[Tensors, WeightsMetadata, str]:
    """Return the tensors of a file, the facts about it, and its format in words."""
    read = {"safetensors": _read_safetensors, "onnx": _read_onnx, "checkpoint": _read_checkpoint}[file_kind(path)]
    state, metadata, form = read(path, sha256)
    return _with_batch_counts(state), metadata, form


def _read_safetensors(path: Path, sha256: str) -> tuple[Tensors, WeightsMetadata, str]:
    try:
        with safe_open(str(path), framework="numpy") as file:
            fields = file.metadata() or {}
            kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 (not a mapping)
            if unknown := set(kinds.values()) - _KINDS:
                raise WeightsError(f"{path.name}: its numbers are of the unknown kind {min(unknown)}")
            state = {name: file.get_tensor(name) for name, kind in kinds.items() if kind != _BRAIN}
        if _BRAIN in kinds.values():
            state |= _brain_floats(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path.name} is not a whole safetensors file: {error}") from error
    if fields.get("format", "pt") == "pt":  # written by a library, without facts of its own
        found = _find(state, path)
        return _renamed(state, found), _metadata(found, path, sha256), "safetensors with published names"
    return _floats(state), parse_metadata(fields, path=path, sha256=sha256), "safetensors of Lipstream"


def _brain_floats(path: Path) -> Tensors:
    """Return the tensors that safetensors gives to numpy in no way."""
    stored = deserialize(path.read_bytes())  # type: ignore[no-untyped-call] # its stub says nothing
    tensors = ((name, tensor) for name, tensor in stored if tensor["dtype"] == _BRAIN)
    return {name: widened(np.frombuffer(tensor["data"], BFLOAT16)).reshape(tensor["shape"]) for name, tensor in tensors}


def _read_onnx(path: Path, sha256: str) -> tuple[Tensors, WeightsMetadata, str]:
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
    if any(name.endswith(f"{FIRST}_scale") for name in tensors):
        raise WeightsError(f"{path.name} is a quantised ONNX export: use the checkpoint that it was made of")
    found = _find(tensors, path)
    parts = tuple(f"{found.prefix}{part}." for part in _PARTS)  # the graph's own constants are initialisers too
    wanted = {name: tensor for name, tensor in tensors.items() if name.startswith(parts)}
    return _renamed(read_values(path, wanted), found), _metadata(found, path, sha256), "ONNX export"


def _read_checkpoint(path: Path, sha256: str) -> tuple[Tensors, WeightsMetadata, str]:
    checkpoint = open_checkpoint(path)
    form = "TorchScript archive" if checkpoint.is_torchscript else "PyTorch checkpoint"
    if other := next((kind for name, kind in checkpoint.others.items() if name.endswith(FIRST)), None):
        raise WeightsError(f"{path.name} {other}: use the checkpoint that it was made of")
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


def _renamed(state: Tensors, found: Found) -> Tensors:
    return _floats({name.removeprefix(found.prefix): tensor for name, tensor in state.items()})


def _floats(state: Tensors) -> Tensors:
    return {name: tensor.astype(np.float32) if tensor.dtype.kind == "f" else tensor for name, tensor in state.items()}


def _with_batch_counts(state: Tensors) -> Tensors:
    """Add batch norm's batch counters: they have no effect at inference, and some files omit them."""
    counters = {
        key.removesuffix("running_mean") + "num_batches_tracked": np.array(0)
        for key in state
        if key.endswith("running_mean")
    }
    return counters | state


def _check(found: Tensors, expected: Mapping[str, Shape], path: Path) -> None:
    for key, shape in expected.items():
        if key not in found:
            raise WeightsError(f"{path.name}: tensor {key} is missing")
        if found[key].shape != shape:
            raise WeightsError(f"{path.name}: tensor {key} has shape {list(found[key].shape)}, expected {list(shape)}")
    for key, tensor in found.items():
        if key not in expected:
            raise WeightsError(f"{path.name}: unexpected tensor {shown(key, _LONGEST_NAME)}")
        if not expected[key]:
            continue  # a batch counter
        if tensor.dtype.kind != "f":
            raise WeightsError(f"{path.name}: tensor {key} is of {tensor.dtype}, not of floats")
        if not np.isfinite(tensor).all():
            raise WeightsError(f"{path.name}: tensor {key} holds numbers that are not finite")
