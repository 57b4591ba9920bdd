"""The tensors of a PyTorch checkpoint or TorchScript archive, without running any of its code.

A checkpoint is a zip of a pickle and of the tensors' bytes, or in older files pickles one after the other with the
bytes behind them. A TorchScript archive is a zip of the first kind whose pickle holds the tree of modules: the names of
attributes from its root to a tensor, with dots between, are the names of a checkpoint.
"""

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from lipstream.realtime.errors import WeightsError
from lipstream.realtime.lipsync.pickle_reader import Named, Reference, read_pickle

_MOST_PICKLE_BYTES = 16 * 2**20
_MOST_NAMES, _DEEPEST = 20_000, 24
_LEGACY_MAGIC, _LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_DTYPES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}  # fmt: skip
_FAULTS = (
    OSError, ValueError, KeyError, EOFError, OverflowError, RuntimeError, MemoryError,
    struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where a tensor's values lie in a checkpoint.

    Attributes:
        count: Length of the storage, values of ``dtype``.
        offset: Place of the tensor's first value in the storage, in values.
        strides: From one value of a dimension to the next, in values.
    """

    key: str
    dtype: torch.dtype
    count: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Checkpoint:
    """An open checkpoint."""

    def __init__(self, path: Path, source: "_ZipSource | _LegacySource") -> None:
        self._path, self._source = path, source
        self.is_torchscript = source.is_torchscript
        self.maps = list(_maps(source.root))

    def read(self, wanted: dict[str, StoredTensor]) -> dict[str, Tensor]:
        """Return tensors of one of the maps, each with memory of its own.

        Raises:
            WeightsError: If their bytes are not there.
        """
        try:
            needed = {tensor.key: tensor for tensor in wanted.values()}
            if sum(tensor.count * tensor.dtype.itemsize for tensor in needed.values()) > self._path.stat().st_size:
                raise ValueError("it names more bytes than it holds")
            storages = dict(self._source.storages(needed.values()))
            return {name: _view(storages[tensor.key], tensor) for name, tensor in wanted.items()}
        except _FAULTS as error:
            raise _damaged(self._path, error) from error


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a checkpoint or TorchScript archive, reading its names.

    Raises:
        WeightsError: If it is neither, or is damaged.
    """
    try:
        with path.open("rb") as file:
            is_zip = file.read(4) == b"PK\x03\x04"
        return Checkpoint(path, _ZipSource(path) if is_zip else _LegacySource(path))
    except _FAULTS as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> WeightsError:
    reason = str(error).partition("\n")[0] or type(error).__name__
    return WeightsError(f"{path.name} is not a checkpoint of plain tensors: {reason}")


class _ZipSource:
    """What ``torch.save`` writes since 1.6, and TorchScript since 1.4."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
            roots = [name.removesuffix("data.pkl") for name in names if name.count("/") == 1 and _is_pickle(name)]
            if len(roots) != 1:
                raise ValueError("it is a zip of something else")
            self._folder = roots[0]
            if f"{self._folder}byteorder" in names and _read(file, f"{self._folder}byteorder", 16) != b"little":
                raise ValueError("its numbers have their bytes the other way round")
            self.is_torchscript = f"{self._folder}constants.pkl" in names
            self.root = read_pickle(io.BytesIO(_read(file, f"{self._folder}data.pkl", _MOST_PICKLE_BYTES)))

    def storages(self, tensors: Iterable[StoredTensor]) -> Iterator[tuple[str, Tensor]]:
        with zipfile.ZipFile(self._path) as file:
            for tensor in tensors:
                size = tensor.count * tensor.dtype.itemsize
                yield tensor.key, _values(_read(file, f"{self._folder}data/{tensor.key}", size), tensor)


def _is_pickle(name: str) -> bool:
    return name.endswith("/data.pkl")


def _read(file: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Return a member's bytes; one that is longer than it may be is not unpacked."""
    if file.getinfo(name).file_size > most:
        raise ValueError(f"{name} is too large")
    return file.read(name)


class _LegacySource:
    """What ``torch.save`` wrote before 1.6: five pickles, then the storages in the order of the last one."""

    is_torchscript = False

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            head = io.BytesIO(file.read(_MOST_PICKLE_BYTES))
        if read_pickle(head) != _LEGACY_MAGIC or read_pickle(head) != _LEGACY_PROTOCOL:
            raise ValueError("it begins as no checkpoint does")
        read_pickle(head)  # of the machine that wrote it
        self.root = read_pickle(head)
        keys = read_pickle(head)
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise ValueError("it does not list its storages")
        self._start, self._keys = head.tell(), keys
        self._sizes = {key: dtype.itemsize for key, dtype in _storages(self.root)}

    def storages(self, tensors: Iterable[StoredTensor]) -> Iterator[tuple[str, Tensor]]:
        with self._path.open("rb") as file:
            places = self._find(file)
            for tensor in tensors:
                start, count = places[tensor.key]
                if count != tensor.count:
                    raise ValueError("a storage has another length than it is said to have")
                file.seek(start)
                yield tensor.key, _values(file.read(count * tensor.dtype.itemsize), tensor)

    def _find(self, file: BinaryIO) -> dict[str, tuple[int, int]]:
        """Return where each storage begins, and how many values it has."""
        places = {}
        position, end = self._start, self._path.stat().st_size
        for key in self._keys:
            file.seek(position)
            (count,) = struct.unpack("<q", file.read(8))
            if not 0 <= count <= end:
                raise ValueError("a storage has an impossible length")
            places[key] = (position + 8, count)
            position += 8 + count * self._sizes[key]
        return places


def _values(data: bytes, tensor: StoredTensor) -> Tensor:
    if len(data) != tensor.count * tensor.dtype.itemsize:
        raise ValueError("it ends too early")
    if not data:
        return torch.empty(0, dtype=tensor.dtype)
    return torch.frombuffer(bytearray(data), dtype=tensor.dtype)


def _view(storage: Tensor, tensor: StoredTensor) -> Tensor:
    last = tensor.offset + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.strides, strict=True))
    values = math.prod(tensor.shape)
    if values and (values > tensor.count or last >= len(storage)):
        raise ValueError("a tensor is larger than its storage")
    return storage.as_strided(tensor.shape, tensor.strides, tensor.offset).clone(memory_format=torch.contiguous_format)


def _storages(root: Any) -> Iterator[tuple[str, torch.dtype]]:
    """Yield the key and type of every storage that a pickle refers to, wherever."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Reference):
            key, dtype, _ = _storage(value)
            yield key, dtype
        elif isinstance(value, Named):
            waiting += [value.arguments, value.state]
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value


def _storage(reference: Reference) -> tuple[str, torch.dtype, int]:
    value = reference.value
    if not isinstance(value, tuple) or len(value) < 5 or not isinstance(value[1], Named):
        raise ValueError("it refers to something other than a storage")
    key, kind, count = value[2], value[1].name.rpartition(".")[2], value[4]
    if not isinstance(key, str) or not _are_counts((count,)) or any(part is not None for part in value[5:]):
        raise ValueError("it refers to a storage in an unknown way")
    if kind not in _DTYPES:
        raise ValueError(f"its numbers are of the unknown kind {kind[:40]}")
    return key, _DTYPES[kind], count


def _are_counts(values: Any) -> bool:
    return isinstance(values, tuple) and all(type(value) is int and 0 <= value < 2**40 for value in values)


def _tensor(value: Any) -> StoredTensor | None:
    """Return where a pickled tensor or parameter lies; ``None`` for any other value."""
    if not isinstance(value, Named) or value.arguments is None:
        return None
    if value.name == "torch._utils._rebuild_parameter" and value.arguments:
        return _tensor(value.arguments[0]) if value.arguments[0] is not value else None
    if value.name not in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"):
        return None
    reference, offset, shape, strides = value.arguments[:4]
    if not isinstance(reference, Reference) or not _are_counts((offset,)) or not _are_counts(shape):
        raise ValueError("a tensor is described in an unknown way")
    if not _are_counts(strides) or len(shape) != len(strides) or len(shape) > 8:
        raise ValueError("a tensor is described in an unknown way")
    key, dtype, count = _storage(reference)
    return StoredTensor(key, dtype, count, offset, shape, strides)


def _maps(root: Any) -> Iterator[dict[str, StoredTensor]]:
    """Yield the tensors of a module, or those of a checkpoint's map and of the maps and modules in it."""
    inner = root.values() if isinstance(root, dict) else ()
    for value in (root, *inner):
        found = dict(_of_module(value)) if isinstance(value, Named) else _of_map(value)
        if found:
            yield found


def _of_map(value: Any) -> dict[str, StoredTensor]:
    if not isinstance(value, dict):
        return {}
    return {str(key): tensor for key, inner in value.items() if (tensor := _tensor(inner)) is not None}


def _of_module(root: Named) -> Iterator[tuple[str, StoredTensor]]:
    """Yield the tensors of a module and of those within it, be it of TorchScript or pickled as a whole."""
    waiting, met = [(root, "", 0)], 0
    while waiting:
        module, prefix, depth = waiting.pop()
        for key, value in _attributes(module).items():
            met += 1
            if met > _MOST_NAMES or depth > _DEEPEST:
                raise ValueError("its modules have no end")
            tensor = _tensor(value)
            if tensor is not None:
                yield f"{prefix}{key}", tensor
            elif isinstance(value, Named):
                waiting.append((value, f"{prefix}{key}.", depth + 1))


def _attributes(module: Named) -> dict[Any, Any]:
    attributes = module.state if isinstance(module.state, dict) else {}
    parts = [attributes.get(kind) for kind in ("_parameters", "_buffers", "_modules")]
    if not any(isinstance(part, dict) for part in parts):
        return attributes
    return {key: value for part in parts if isinstance(part, dict) for key, value in part.items()}
