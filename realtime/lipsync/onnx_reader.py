"""The tensors of an ONNX export, without running its graph.

An ONNX file is one protocol buffer message (onnx.proto3 of the ONNX project; the wire format is described at
protobuf.dev, "Encoding"). Only the initialisers are read: their names, shapes and values.
"""

import math
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lipstream.realtime.errors import WeightsError
from lipstream.realtime.lipsync.bfloat16 import BFLOAT16, widened

_VARINT, _EIGHT_BYTES, _MESSAGE, _FOUR_BYTES = 0, 1, 2, 5
_GRAPH, _INITIALIZER = 7, 5
_DIMS, _DATA_TYPE, _FLOATS, _NAME, _RAW, _LOCATION = 1, 2, 4, 8, 9, 14
_DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"), 7: np.dtype("<i8"), 10: np.dtype("<f2"), 11: np.dtype("<f8"), 16: BFLOAT16,
}  # fmt: skip
_MOST_TENSORS, _MOST_DIMS, _LONGEST_NAME = 20_000, 8, 512

Span = tuple[int, int]
"""First byte of a part of the file, and the byte after its last one."""


@dataclass(frozen=True, slots=True)
class Initializer:
    """Where the values of a tensor lie in the file."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    span: Span


def read_initializers(path: Path) -> dict[str, Initializer]:
    """Return the initialisers of an ONNX file by name; those that are no numbers of a known kind are left out.

    Raises:
        WeightsError: If it is damaged, or keeps its tensors in another file.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return dict(_initializers(data))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path.name} is an ONNX export that cannot be read: {error}") from error


def read_values(path: Path, wanted: Mapping[str, Initializer]) -> dict[str, npt.NDArray[Any]]:
    """Return the values of initialisers that :func:`read_initializers` has found in this file; bfloat16 as ``float32``.

    Raises:
        WeightsError: If the file cannot be read, or has changed.
    """
    values = {}
    try:
        with path.open("rb") as file:
            for name, tensor in wanted.items():
                start, end = tensor.span
                file.seek(start)
                flat = np.frombuffer(file.read(end - start), tensor.dtype)
                values[name] = widened(flat).reshape(tensor.shape)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path.name} is an ONNX export that cannot be read: {error}") from error
    return values


def _initializers(data: mmap.mmap) -> Iterator[tuple[str, Initializer]]:
    spans = (span for graph in _messages(data, (0, len(data)), _GRAPH) for span in _messages(data, graph, _INITIALIZER))
    for number, span in enumerate(spans):
        if number >= _MOST_TENSORS:
            raise ValueError("it has too many tensors")
        name, initializer = _initializer(data, span)
        if initializer is not None:
            yield name, initializer


def _initializer(data: mmap.mmap, span: Span) -> tuple[str, Initializer | None]:
    shape: list[int] = []
    numbers, places = {_DATA_TYPE: 0, _LOCATION: 0}, dict[int, Span]()
    for field, value in _fields(data, span):
        if field == _DIMS:
            shape += list(_varints(data, value)) if isinstance(value, tuple) else [value]
        elif isinstance(value, int):
            numbers[field] = value
        else:
            places[field] = value
    if numbers[_LOCATION]:
        raise ValueError("its tensors lie in another file: use the checkpoint that it was made of")
    if len(shape) > _MOST_DIMS:
        raise ValueError("a tensor has too many dimensions")
    start, end = places.get(_NAME, (0, 0))
    name = data[start : min(end, start + _LONGEST_NAME)].decode("utf-8", "replace")
    dtype, place = _DTYPES.get(numbers[_DATA_TYPE]), places.get(_RAW) or places.get(_FLOATS)
    if dtype is None or place is None:
        return name, None
    if math.prod(shape) * dtype.itemsize != place[1] - place[0]:
        raise ValueError("a tensor has another length than its shape says")
    return name, Initializer(dtype, tuple(shape), place)


def _messages(data: mmap.mmap, span: Span, wanted: int) -> Iterator[Span]:
    """Yield the places of the messages in a field."""
    for field, value in _fields(data, span):
        if field == wanted and isinstance(value, tuple):
            yield value


def _fields(data: mmap.mmap, span: Span) -> Iterator[tuple[int, int | Span]]:
    """Yield the number and value of each field: a whole number, or a place.

    Raises:
        ValueError: If this is no message.
    """
    at, end = span
    while at < end:
        key, at = _varint(data, at, end)
        wire = key & 7
        value: int | Span
        if wire == _VARINT:
            value, at = _varint(data, at, end)
        elif wire in (_EIGHT_BYTES, _FOUR_BYTES):
            value = (at, at := at + (8 if wire == _EIGHT_BYTES else 4))
        elif wire == _MESSAGE:
            length, at = _varint(data, at, end)
            value = (at, at := at + length)
        else:
            raise ValueError("it is damaged")
        if at > end:
            raise ValueError("it ends too early")
        yield key >> 3, value


def _varints(data: mmap.mmap, span: Span) -> Iterator[int]:
    at, end = span
    for _ in range(_MOST_DIMS + 1):
        if at >= end:
            return
        value, at = _varint(data, at, end)
        yield value


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """Return a number of up to ten bytes of seven bits, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise ValueError("it ends too early")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    raise ValueError("it is damaged")
