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
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from lipstream.realtime.errors import WeightsError
from lipstream.realtime.lipsync.bfloat16 import widened
from lipstream.realtime.lipsync.checkpoint_maps import StoredTensor, storages_of, tensor_maps, unreadable
from lipstream.realtime.lipsync.pickle_reader import read_pickle

_MOST_PICKLE_BYTES = 16 * 2**20
_LEGACY_MAGIC, _LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_OF_WEIGHTS = (".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".onnx")
_FAULTS = (
    OSError, ValueError, KeyError, EOFError, OverflowError, RuntimeError, MemoryError,
    struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


class Checkpoint:
    """An open checkpoint.

    Attributes:
        is_torchscript: Whether it is a TorchScript archive.
        maps: Names and places of the tensors of each map and module in it that holds any.
        others: What the tensors are whose values cannot be read, by name: ``is quantised``, for instance.
    """

    def __init__(self, path: Path, source: "_ZipSource | _LegacySource") -> None:
        self._path, self._source = path, source
        self.is_torchscript = source.is_torchscript
        self.maps = list(tensor_maps(source.root))
        self.others = dict(unreadable(source.root))

    def read(self, wanted: dict[str, StoredTensor]) -> dict[str, npt.NDArray[Any]]:
        """Return tensors of one of the maps, each with memory of its own; bfloat16 as ``float32``.

        Raises:
            WeightsError: If their bytes are not there.
        """
        try:
            needed, held = {tensor.key: tensor for tensor in wanted.values()}, self._path.stat().st_size
            stored = sum(tensor.count * tensor.dtype.itemsize for tensor in needed.values())
            seen = sum(math.prod(tensor.shape) * tensor.dtype.itemsize for tensor in wanted.values())
            if max(stored, seen) > held:  # unpacked, or because many tensors share their bytes
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
        if not zipfile.is_zipfile(path):  # the list of a zip's members stands at its end
            raise ValueError("it ends too early, like a broken download: fetch it again")
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
            packed = next((name for name in names if name.endswith(_OF_WEIGHTS)), None)
            roots = [name.removesuffix("data.pkl") for name in names if name.count("/") == 1 and _is_pickle(name)]
            if len(roots) != 1:
                raise ValueError(f"it is a zip of {f'{packed}: unpack it first' if packed else 'something else'}")
            self._folder = roots[0]
            if f"{self._folder}byteorder" in names and _read(file, f"{self._folder}byteorder", 16) != b"little":
                raise ValueError("its numbers have their bytes the other way round")
            self.is_torchscript = f"{self._folder}constants.pkl" in names
            self.root = read_pickle(io.BytesIO(_read(file, f"{self._folder}data.pkl", _MOST_PICKLE_BYTES)))

    def storages(self, tensors: Iterable[StoredTensor]) -> Iterator[tuple[str, npt.NDArray[Any]]]:
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
        self._sizes = {key: dtype.itemsize for key, dtype in storages_of(self.root)}

    def storages(self, tensors: Iterable[StoredTensor]) -> Iterator[tuple[str, npt.NDArray[Any]]]:
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


def _values(data: bytes, tensor: StoredTensor) -> npt.NDArray[Any]:
    if len(data) != tensor.count * tensor.dtype.itemsize:
        raise ValueError("it ends too early")
    return np.frombuffer(data, tensor.dtype)


def _view(storage: npt.NDArray[Any], tensor: StoredTensor) -> npt.NDArray[Any]:
    last = tensor.offset + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.strides, strict=True))
    values = math.prod(tensor.shape)
    if values and (values > tensor.count or last >= len(storage)):
        raise ValueError("a tensor is larger than its storage")
    if not values:
        return widened(np.empty(tensor.shape, tensor.dtype))
    steps = [step * tensor.dtype.itemsize for step in tensor.strides]
    seen = np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, steps, writeable=False)
    return widened(seen.copy())
