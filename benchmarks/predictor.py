"""What does a mouth cost?

Measured by back end, precision, batch, width and size of the network. For comparison, the same run measures the
published method (eager float32, the whole network, nothing cached) and the rate of matrix products on the machine. The
*dense floor* is the time for the whole network at that rate; only a method that computes less can be faster. Rounds of
all variants alternate, so that a change in the machine's pace affects all of them.
"""

import functools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.networks import gflop, random_network
from benchmarks.report import Goal, Report, at_most
from lipstream.realtime.lipsync.devices import resolve_device
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS
from lipstream.realtime.lipsync.openvino_backend import OpenVinoPredictor
from lipstream.realtime.lipsync.predictor import FaceFeatures, MouthPredictor
from lipstream.realtime.lipsync.torch_backend import TorchPredictor
from lipstream.realtime.lipsync.weights import load_weights

QUESTION = "What does a mouth cost?"
BATCHES = (1, 4, 8)
_ROUNDS = 5
_SIZES = ((1.0, 96), (0.25, 96), (0.25, 128), (0.25, 256))
_MATRIX = 2048
_FRAMES = 16


def run() -> Report:
    """Measure."""
    report = Report(QUESTION, {"threads": torch.get_num_threads()})
    rates = {name: _matrix_rate(dtype) for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))}
    with tempfile.TemporaryDirectory() as folder:
        networks = {"built-in": BUILT_IN_WEIGHTS} if BUILT_IN_WEIGHTS.exists() else {}
        networks |= {f"width {width:g}, {size} px": random_network(width, size, Path(folder)) for width, size in _SIZES}
        for name, weights in networks.items():
            report.rows += _rows(name, weights, Path(folder) / "graphs", rates)
    rates |= {f"{name}, after": _matrix_rate(getattr(torch, kind)) for name, kind in _DTYPE_NAMES.items()}
    report.conditions |= {"matrix product, GFLOP/s": {name: round(rate) for name, rate in rates.items()}}
    report.goals = _goals(report.rows)
    return report


_DTYPE_NAMES = {"fp32": "float32", "bf16": "bfloat16"}


@torch.inference_mode()
def _rows(name: str, weights: Path, cache: Path, rates: dict[str, float]) -> list[dict[str, Any]]:
    network, metadata = load_weights(weights)
    mel = np.random.default_rng(0).uniform(-4, 4, (max(BATCHES), 80, 16)).astype(np.float32)
    crops = np.random.default_rng(1).integers(0, 256, (_FRAMES, metadata.size, metadata.size, 3), np.uint8)
    face = torch.rand(max(BATCHES), 6, metadata.size, metadata.size)
    window = torch.from_numpy(mel)[:, None]
    predictors: dict[str, MouthPredictor] = {
        "OpenVINO fp32": OpenVinoPredictor(weights, cache, precision="f32"),
        "OpenVINO bf16": OpenVinoPredictor(weights, cache, precision="bf16"),
        "OpenVINO int8": OpenVinoPredictor(weights, cache, precision="int8"),
        "torch fp32": TorchPredictor(weights, device="cpu"),
    }
    if resolve_device("auto") == "cuda":
        predictors |= {f"CUDA {p}": TorchPredictor(weights, device="cuda", precision=p) for p in ("fp16", "bf16")}
    features = {key: predictor.encode_faces(crops) for key, predictor in predictors.items()}
    whole = gflop(lambda: network(window[:1], face[:1]))
    region = metadata.decoded_region
    levels = network.encode_face(face[:1], region)
    less = gflop(lambda: network.decode(window[:1], levels, face[:1, 3:], region))
    rows = []
    for batch in BATCHES:
        calls: dict[str, Callable[[], Any]] = {
            "published way": functools.partial(network, window[:batch], face[:batch])
        }
        calls |= {key: _call(p, mel[:batch], features[key]) for key, p in predictors.items()}
        took_ms = _median_ms(calls)
        for key, ms in took_ms.items():
            floor_ms = whole / rates["fp32" if "fp32" in key or key == "published way" else "bf16"] * 1000
            rows.append(
                {
                    "network": name,
                    "how": key,
                    "batch": batch,
                    "ms a frame": round(ms / batch, 2),
                    "of published": round(ms / took_ms["published way"], 3),
                    "GFLOP": round(whole if key == "published way" else less, 3),
                    "dense floor, ms": round(floor_ms, 2),
                }
            )
    return rows


def _call(predictor: MouthPredictor, mel: np.ndarray[Any, Any], features: FaceFeatures) -> Callable[[], object]:
    frames = np.arange(len(mel))
    return lambda: predictor.predict(mel, features, frames)


def _median_ms(calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
    took: dict[str, list[float]] = {key: [] for key in calls}
    for key in [*calls, *list(calls) * _ROUNDS]:  # the first round warms up
        began_s = time.perf_counter()
        calls[key]()
        took[key].append((time.perf_counter() - began_s) * 1000)
    return {key: statistics.median(values[1:]) for key, values in took.items()}


def _matrix_rate(dtype: torch.dtype) -> float:
    """Return the rate of a large matrix product, GFLOP/s."""
    matrix = torch.rand(_MATRIX, _MATRIX).to(dtype)
    took_ms = _median_ms({"product": lambda: matrix @ matrix})["product"]
    return 2 * _MATRIX**3 / took_ms / 1e6


def _goals(rows: list[dict[str, Any]]) -> list[Goal]:
    best = "OpenVINO bf16"

    def of(network: str, batch: int, figure: str) -> float | None:
        found = (r for r in rows if (r["network"], r["how"], r["batch"]) == (network, best, batch))
        return next((row[figure] for row in found), None)

    floor = of("width 1, 96 px", 8, "dense floor, ms")
    return [
        at_most("full width, batch 1, of the published way", of("width 1, 96 px", 1, "of published"), 0.333, ""),
        at_most("full width, batch 8, of the published way", of("width 1, 96 px", 8, "of published"), 0.25, ""),
        at_most(
            "full width, batch 8, against the dense floor", of("width 1, 96 px", 8, "ms a frame"), floor or 0, "ms"
        ),
        at_most("built-in weights, batch 1", of("built-in", 1, "ms a frame"), 4.0, "ms"),
        at_most("built-in weights, batch 4", of("built-in", 4, "ms a frame"), 1.5, "ms"),
    ]
