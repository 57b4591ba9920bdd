"""Eight-bit arithmetic for an OpenVINO graph: ``FakeQuantize`` on the inputs and weights of its convolutions.

OpenVINO converts convolutions between these into integer ones (its low precision transformations, LPT). The ranges
are those of given sample inputs: symmetric and per output channel for weights, one per input. Convolutions with few
channels stay as they are: the first and last layers cost little, and their errors are visible.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
import openvino.opset13 as ops

LEAST_CHANNELS = 48
"""Least number of input and output channels of a convolution that is quantised."""
_CHANNELS_OUT = {"Convolution": 0, "ConvolutionBackpropData": 1}
"""Kinds of convolution, and the axis of output channels in their weights."""
_INPUT_LEVELS, _WEIGHT_LEVELS = 256, 255
_SMALLEST = 1e-4
"""Least width of a range, for inputs that are always zero."""
_RARE = 2e-4
"""Share of a sample's values cut off at either end of a range, in exchange for finer steps."""

Inputs = Sequence[npt.NDArray[Any]]


def quantize(model: ov.Model, samples: Iterable[Inputs], device: ov.Core) -> None:
    """Quantise a graph to eight bits, in place.

    The convolutions must have constant weights, and the samples must together reach the range of every layer.
    """
    layers = [op for op in model.get_ordered_ops() if _is_wide(op)]
    sources = {_name(op.input_value(0)): op.input_value(0) for op in layers}
    ranges = _ranges(model, sources, samples, device)
    for layer in layers:
        weights = layer.input_value(1)
        layer.input(1).replace_source_output(_of_weights(weights, _CHANNELS_OUT[layer.get_type_name()]))
    for name, source in sources.items():
        readers = list(source.get_target_inputs())
        low, high = ranges[name]
        rounded = ops.fake_quantize(source, low, high, low, high, _INPUT_LEVELS).output(0)
        for reader in readers:
            reader.replace_source_output(rounded)
    model.validate_nodes_and_infer_types()


def _is_wide(op: Any) -> bool:
    if op.get_type_name() not in _CHANNELS_OUT:
        return False
    channels: tuple[int, ...] = tuple(op.input_value(1).get_shape())[:2]
    return min(channels) >= LEAST_CHANNELS


def _name(port: Any) -> str:
    return f"{port.get_node().get_friendly_name()}:{port.get_index()}"


def _ranges(
    model: ov.Model, sources: dict[str, Any], samples: Iterable[Inputs], device: ov.Core
) -> dict[str, tuple[np.float32, np.float32]]:
    """Return the lowest and highest value of each source over the samples, without rare extremes."""
    results = [ops.result(source) for source in sources.values()]
    model.add_results(results)
    compiled = device.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    first = len(model.outputs) - len(results)
    lows, highs = np.full(len(results), np.inf), np.full(len(results), -np.inf)
    for inputs in samples:
        found = compiled(list(inputs))
        for at in range(len(results)):
            low, high = np.quantile(found[first + at], (_RARE, 1 - _RARE))
            lows[at] = min(lows[at], low)
            highs[at] = max(highs[at], high)
    for result in results:
        model.remove_result(result)
    return {name: _widened(low, high) for name, low, high in zip(sources, lows, highs, strict=True)}


def _widened(low: float, high: float) -> tuple[np.float32, np.float32]:
    """Return a range that LPT accepts: from 0 up, or symmetric around 0."""
    reach = max(-low, high, _SMALLEST)
    return np.float32(0 if low >= 0 else -reach), np.float32(reach)


def _of_weights(weights: Any, axis: int) -> Any:
    values = _constant(weights)
    others = tuple(at for at in range(values.ndim) if at != axis)
    reach = np.maximum(np.abs(values).max(axis=others, keepdims=True), _SMALLEST).astype(np.float32)
    return ops.fake_quantize(ops.constant(values), -reach, reach, -reach, reach, _WEIGHT_LEVELS).output(0)


def _constant(port: Any) -> npt.NDArray[np.float32]:
    """Return the constant weights at a port, through type conversions."""
    node = port.get_node()
    while node.get_type_name() != "Constant":
        node = node.input_value(0).get_node()
    return np.array(node.get_data(), np.float32)
