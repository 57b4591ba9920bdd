"""Arrays of a thread that every picture uses again: fresh ones of a picture's size cost more than the arithmetic."""

import functools
import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_MOST_VIEWS = 1024
"""Number of shapes that are kept: a face that moves towards the camera has another one in every picture."""


class _Scratch(threading.local):
    def __init__(self) -> None:
        self._memory: dict[str, npt.NDArray[np.uint8]] = {}
        self._views: dict[tuple[str, tuple[int, ...], Any], npt.NDArray[Any]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: type[np.generic]) -> npt.NDArray[Any]:
        view = self._views.get((name, shape, dtype))
        if view is None:
            size = math.prod(shape) * np.dtype(dtype).itemsize
            memory = self._memory.get(name)
            if memory is None or memory.size < size:
                memory = self._memory[name] = np.empty(size, np.uint8)
                self._views = {key: old for key, old in self._views.items() if key[0] != name}
            elif len(self._views) >= _MOST_VIEWS:
                self._views.clear()
            view = self._views[name, shape, dtype] = memory[:size].view(dtype).reshape(shape)
        return view


_scratch = _Scratch()


def scratch(name: str, shape: tuple[int, ...], dtype: type[np.generic] = np.float32) -> npt.NDArray[Any]:
    """Return an array of a shape and type, with any content; a thread's arrays of one name share their memory."""
    return _scratch.array(name, shape, dtype)


def into(name: str, dtype: type[np.generic] = np.float32) -> Callable[[tuple[int, ...]], npt.NDArray[Any]]:
    """Return a function from a shape to the thread's array of a name."""
    return functools.partial(scratch, name, dtype=dtype)
