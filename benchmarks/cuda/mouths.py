"""How many mouths a second does a card predict, and which share of its matrix rate is that?

*mouths/s* is by wall clock, from windows in main memory to mouths in main memory, as in the render worker. *graph
mouths/s* is the network alone, by the card's own clock; its operations per time are compared with a large matrix
product of the same precision, measured before in the same process. The last rows are those products; their *of matrix
rate* is the product measured again at the end, which shows whether the card kept its pace. On a card fp32 convolutions
multiply as TF32, and so does the product for comparison. Weights with a copying head are drawn twice: as pixels, and as
the fields that a server paints.
"""

import functools
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.cuda.options import Options
from benchmarks.networks import mouth_gflop, random_network
from lipstream.realtime.lipsync.card import Device
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS
from lipstream.realtime.lipsync.torch_backend import BATCHES, DTYPES, TorchPredictor

FRAMES = 256
"""Frames of the clip: ten seconds."""
_ROUNDS, _WARM_UP_S, _ROUND_S = 5, 0.2, 0.1
_SIDE, _SIDE_SHORT = 8192, 256


def run_built_in(options: Options) -> Iterator[dict[str, Any]]:
    """Yield a row for each precision and batch of the built-in network."""
    yield from _rows(BUILT_IN_WEIGHTS, options)


def run_full_width(options: Options) -> Iterator[dict[str, Any]]:
    """Yield the same rows for a random network of the published width."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _rows(random_network(0.125 if options.short else 1.0, 96, Path(folder)), options)


def faces(count: int, size: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return crops of noise: the cost does not depend on the content."""
    return np.random.default_rng(1).integers(0, 256, (count, size, size, 3), np.uint8)


def _rows(weights: Path, options: Options) -> Iterator[dict[str, Any]]:
    on = options.open()
    precisions = ("fp32",) if options.short else tuple(DTYPES)
    torch.backends.cuda.matmul.allow_tf32 = True
    before = {name: _matrix_tflops(on, DTYPES[name], options) for name in precisions}
    for precision in precisions:
        predictor = TorchPredictor(weights, device=on, precision=precision)
        work = {drawn: mouth_gflop(weights, fields=drawn == "fields") for drawn in _kinds(predictor)}
        features = predictor.encode_faces(faces(8 if options.short else FRAMES, predictor.metadata.size))
        for drawn, batch in itertools.product(_kinds(predictor), BATCHES[:2] if options.short else BATCHES):
            draw = predictor.predict_fields if drawn == "fields" else predictor.predict
            mel = np.random.default_rng(0).uniform(-4, 4, (batch, 80, 16)).astype(np.float32)
            frames = np.random.default_rng(2).integers(0, len(features.crops), batch)
            whole_s = _median_s(functools.partial(draw, mel, features, frames), options)
            with torch.inference_mode():
                graph_s = _median_s(predictor.repeat(batch, fields=drawn == "fields"), options, on)
            yield _row(precision, drawn, batch, whole_s, graph_s, work=work[drawn], rate=before[precision])
        del predictor, features
        on.release()
    after = {name: _matrix_tflops(on, DTYPES[name], options) for name in precisions}
    for name in precisions:
        yield {
            "precision": name,
            "drawn": None,
            "batch": "matrix product",
            "mouths/s": None,
            "graph mouths/s": None,
            "ms a batch": None,
            "GFLOP a mouth": None,
            "TFLOP/s": round(before[name], 3),
            "of matrix rate %": round(100 * after[name] / before[name], 1),
        }


def _kinds(predictor: TorchPredictor) -> tuple[str, ...]:
    return ("pixels", "fields") if predictor.metadata.head == "copy" else ("pixels",)


def _row(
    precision: str, drawn: str, batch: int, whole_s: float, graph_s: float, *, work: float, rate: float
) -> dict[str, Any]:
    tflops = work * batch / graph_s / 1000
    return {
        "precision": precision,
        "drawn": drawn,
        "batch": batch,
        "mouths/s": round(batch / whole_s),
        "graph mouths/s": round(batch / graph_s),
        "ms a batch": round(1000 * whole_s, 3),
        "GFLOP a mouth": round(work, 3),
        "TFLOP/s": round(tflops, 3),
        "of matrix rate %": round(100 * tflops / rate, 2),
    }


def _matrix_tflops(on: Device, dtype: torch.dtype, options: Options) -> float:
    side = _SIDE_SHORT if options.stand_in else _SIDE
    matrix, other = (torch.randn(side, side, device=on.device).to(dtype) for _ in range(2))
    return 2 * side**3 / _median_s(lambda: matrix @ other, options, on) / 1e12


def _median_s(call: Callable[[], object], options: Options, on: Device | None = None) -> float:
    """Return the median time of a call over rounds, by the device's clock or, without a device, the processor's."""
    timed = on.seconds if on else _seconds
    share = 0.1 if options.short else 1.0
    timed(call, 1)
    once_s, end_s = timed(call, 1), time.monotonic() + share * _WARM_UP_S
    while time.monotonic() < end_s:  # the card raises its clock under load
        once_s = min(once_s, timed(call, 1))
    repeats = max(1, int(share * _ROUND_S / max(once_s, 1e-7)))
    return statistics.median(timed(call, repeats) / repeats for _ in range(_ROUNDS))


def _seconds(call: Callable[[], object], repeats: int) -> float:
    began_s = time.perf_counter()
    for _ in range(repeats):
        call()
    return time.perf_counter() - began_s
