"""The tensors that the pickle of a checkpoint names: those of each map and module in it, and where their bytes lie."""

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from lipstream.realtime.lipsync.bfloat16 import BFLOAT16
from lipstream.realtime.lipsync.pickle_reader import Named, Reference

_MOST_NAMES, _LONGEST_NAME, _DEEPEST, _DEEPEST_MAP = 20_000, 1024, 24, 4
_FEWEST = 8  # tensors of a map deep in a checkpoint
_DTYPES: dict[str, np.dtype[Any]] = {
    "DoubleStorage": np.dtype("<f8"), "FloatStorage": np.dtype("<f4"), "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": BFLOAT16, "LongStorage": np.dtype("<i8"), "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"), "CharStorage": np.dtype("i1"), "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}  # fmt: skip
_OTHER_KINDS = {
    "torch._utils._rebuild_qtensor": "is quantised",
    "torch._utils._rebuild_tensor_v3": "has numbers of a kind that is not read, such as of eight bits",
    "torch._utils._rebuild_sparse_tensor": "is sparse",
    "torch._utils._rebuild_meta_tensor_no_storage": "has no values (device meta)",
}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where a tensor's values lie in a checkpoint.

    Attributes:
        count: Length of the storage, values of ``dtype``.
        offset: Place of the tensor's first value in the storage, in values.
        strides: From one value of a dimension to the next, in values.
    """

    key: str
    dtype: np.dtype[Any]
    count: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def storages_of(root: Any) -> Iterator[tuple[str, np.dtype[Any]]]:
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


def _storage(reference: Reference) -> tuple[str, np.dtype[Any], int]:
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


def tensor_maps(root: Any) -> Iterator[dict[str, StoredTensor]]:
    """Yield the tensors of a module, or those of a checkpoint's map and of the maps and modules in it.

    Deeper in, maps of few tensors are left out: an optimizer has one for each parameter.
    """
    counter = itertools.count(1)  # of all modules, as any number of them may share their attributes
    for value, depth in _containers(root):
        found = dict(_of_module(value, counter)) if isinstance(value, Named) else _of_map(value)
        if found and (depth < 2 or len(found) >= _FEWEST):
            yield found


def unreadable(root: Any) -> Iterator[tuple[str, str]]:
    """Yield name and kind of what looks like a tensor but has no plain values."""
    for value, _ in _containers(root):
        for key, inner in value.items() if isinstance(value, dict) else ():
            kind = inner.name if isinstance(inner, Named) else None
            if kind == "torch._utils._rebuild_parameter" and inner.arguments and isinstance(inner.arguments[0], Named):
                kind = inner.arguments[0].name
            if kind in _OTHER_KINDS:
                yield str(key), _OTHER_KINDS[kind]


def _containers(root: Any) -> Iterator[tuple[Any, int]]:
    """Yield a checkpoint's value and the maps, lists and modules within it, with their depth, outermost first."""
    seen: set[int] = set()
    waiting = deque([(root, 0)])
    while waiting and len(seen) < _MOST_NAMES:
        value, depth = waiting.popleft()
        if id(value) in seen:
            continue
        seen.add(id(value))
        yield value, depth
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
        if depth < _DEEPEST_MAP:
            waiting += [(part, depth + 1) for part in inner if isinstance(part, dict | list | tuple | Named)]


def _of_map(value: Any) -> dict[str, StoredTensor]:
    if not isinstance(value, dict):
        return {}
    return {str(key): tensor for key, inner in value.items() if (tensor := _tensor(inner)) is not None}


def _of_module(root: Named, counter: Iterator[int]) -> Iterator[tuple[str, StoredTensor]]:
    """Yield the tensors of a module and of those within it, be it of TorchScript or pickled as a whole."""
    waiting = [(root, "", 0)]
    while waiting:
        module, prefix, depth = waiting.pop()
        for key, value in _attributes(module).items():
            name = f"{prefix}{key}"
            if next(counter) > _MOST_NAMES or depth > _DEEPEST or len(name) > _LONGEST_NAME:
                raise ValueError("its modules have no end")
            tensor = _tensor(value)
            if tensor is not None:
                yield name, tensor
            elif isinstance(value, Named):
                waiting.append((value, f"{name}.", depth + 1))


def _attributes(module: Named) -> dict[Any, Any]:
    attributes = module.state if isinstance(module.state, dict) else {}
    parts = [attributes.get(kind) for kind in ("_parameters", "_buffers", "_modules")]
    if not any(isinstance(part, dict) for part in parts):
        return attributes
    return {key: value for part in parts if isinstance(part, dict) for key, value in part.items()}
