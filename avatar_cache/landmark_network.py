"""This project's landmark network on OpenVINO or torch, built from its self-describing safetensors file.

``training/landmarks.py`` makes the file: convolutions with ReLU, then full layers, with batch norm folded in.
"""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

try:
    import openvino as ov
    from openvino import opset13 as ops
except ModuleNotFoundError as error:  # OpenVINO has no wheel for some platforms
    if error.name != "openvino":
        raise
    ov = None

from lipstream.realtime.errors import WeightsError

WEIGHTS = Path(__file__).parent / "landmarks.safetensors"
FORMAT = "lipstream-landmarks-1"
POINTS = 68

_BATCH = 32


class LandmarkNetwork:
    """Finds 68 landmarks in crops of faces.

    Raises:
        WeightsError: If the file is missing or has another format.
    """

    def __init__(self, path: Path = WEIGHTS) -> None:
        try:
            with safe_open(str(path), framework="numpy") as file:
                facts = file.metadata() or {}
                state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
            if facts.get("format") != FORMAT:
                raise WeightsError(f"{path.name}: metadata field 'format' is {facts.get('format')!r}, not {FORMAT!r}")
            self.size = int(facts["size"])
            weights = {key: value.astype(np.float32) for key, value in state.items()}
            build = _torch_call if ov is None else _openvino_call
            self._call = build(weights, json.loads(facts["strides"]), self.size)
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise WeightsError(f"cannot read the landmark network {path}: {error}") from error

    def __call__(
        self, crops: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Run the network on BGR crops, ``uint8[N, size, size, 3]``.

        Returns:
            Points ``float32[N, 68, 2]`` in crop pixels; their likely errors ``float32[N, 68]`` in crop pixels; and the
            probability of a face, ``float32[N]``, 0..1.
        """
        output = np.concatenate(
            [self._call(np.ascontiguousarray(crops[at : at + _BATCH])) for at in range(0, len(crops), _BATCH)]
        )
        points = (output[:, : 2 * POINTS].reshape(-1, POINTS, 2) + 1) * np.float32(self.size / 2)
        doubt = np.exp(np.clip(output[:, 2 * POINTS : 3 * POINTS], -5, 1)) * np.float32(self.size / 2)
        return points, doubt, 1 / (1 + np.exp(-output[:, -1]))


Weights = dict[str, npt.NDArray[np.float32]]
Call = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]


def _openvino_call(weights: Weights, strides: list[int], size: int) -> Call:
    crops = ops.parameter([-1, size, size, 3], np.uint8, name="crops")
    floats = ops.transpose(ops.convert(crops, "f32"), np.array([0, 3, 1, 2]))
    at = ops.subtract(ops.divide(floats, np.float32(127.5)), np.float32(1))
    for number, stride in enumerate(strides):
        kernel = weights[f"conv{number}.weight"]
        pad = [kernel.shape[2] // 2] * 2
        at = ops.convolution(at, kernel, [stride] * 2, pad, pad, [1, 1])
        at = ops.relu(ops.add(at, weights[f"conv{number}.bias"].reshape(1, -1, 1, 1)))
    at = ops.reshape(at, np.array([0, -1]), special_zero=True)
    for number in range(2):
        at = ops.matmul(at, weights[f"full{number}.weight"], transpose_a=False, transpose_b=True)
        at = ops.add(at, weights[f"full{number}.bias"].reshape(1, -1))
        at = ops.relu(at) if number == 0 else at
    model = ov.Model([ops.result(at)], [crops], "landmarks")
    # float32 on every machine: boxes would move by pixels between precisions.
    compiled: Any = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda crops: compiled([crops])[0]


def _torch_call(weights: Weights, strides: list[int], _: int) -> Call:
    torch = importlib.import_module("torch")
    functional = torch.nn.functional
    known = {key: torch.from_numpy(value) for key, value in weights.items()}

    def call(crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        at = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 127.5 - 1
        for number, stride in enumerate(strides):
            kernel, bias = known[f"conv{number}.weight"], known[f"conv{number}.bias"]
            at = functional.conv2d(at, kernel, bias.flatten(), stride, kernel.shape[2] // 2).relu()
        hidden = functional.linear(at.flatten(1), known["full0.weight"], known["full0.bias"].flatten()).relu()
        found = functional.linear(hidden, known["full1.weight"], known["full1.bias"].flatten())
        output: npt.NDArray[np.float32] = found.numpy()
        return output

    return call
