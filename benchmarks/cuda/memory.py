"""Use of a card's memory: the network, avatars of ten seconds, and the graphs of every batch.

*used* is the driver's figure relative to the first row; it includes CUDA's own context and other programs' changes.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cuda.mouths import FRAMES, faces
from benchmarks.cuda.options import Options
from benchmarks.networks import random_network
from lipstream.realtime.lipsync.card import Device
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS
from lipstream.realtime.lipsync.torch_backend import BATCHES, TorchPredictor

_MIB = 1 << 20


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield the use of memory after each step, for both networks."""
    with tempfile.TemporaryDirectory() as folder:
        wide = random_network(0.125 if options.short else 1.0, 96, Path(folder))
        for name, weights in (("built-in", BUILT_IN_WEIGHTS), ("full width", wide)):
            yield from _steps(name, weights, options)


def _steps(name: str, weights: Path, options: Options) -> Iterator[dict[str, Any]]:
    on = options.open()
    on.release()
    on.forget_peak()
    first, began_s = on.memory(), time.perf_counter()

    def row(step: str) -> dict[str, Any]:
        return _row(on, name, step, began_s, first.free)

    predictor = TorchPredictor(weights, device=on)
    yield row("network loaded")
    count, size = 8 if options.short else FRAMES, predictor.metadata.size
    clips = [predictor.encode_faces(faces(count, size))]
    yield row(f"{count} faces encoded")
    mel = np.zeros((BATCHES[-1], 80, 16), np.float32)
    predictor.predict(mel[:1], clips[0], np.zeros(1, np.int64))
    yield row("one avatar, one mouth drawn")
    clips.append(predictor.encode_faces(faces(count, size)))
    predictor.predict(mel[:1], clips[1], np.zeros(1, np.int64))
    yield row("two avatars")
    for batch in BATCHES[:2] if options.short else BATCHES:
        predictor.predict(mel[:batch], clips[0], np.zeros(batch, np.int64))
    yield row("a graph for every batch")


def _row(on: Device, name: str, step: str, began_s: float, free: int) -> dict[str, Any]:
    now = on.memory()
    return {
        "network": name,
        "after": step,
        "tensors MiB": round(now.allocated / _MIB, 1),
        "peak MiB": round(now.peak / _MIB, 1),
        "held MiB": round(now.reserved / _MIB, 1),
        "used MiB": round((free - now.free) / _MIB, 1),
        "s": round(time.perf_counter() - began_s, 2),
    }
