"""Folds batch norms and residual additions into the weights of the convolutions, once before inference.

At inference a batch norm is a factor and an offset per channel, and the addition of a convolution's input equals a 1
in the middle of its kernel: ``relu(norm(conv(x)) + x)`` becomes ``relu(conv'(x))``. Each addition left in a graph
would read and write a whole feature map.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lipstream.realtime.lipsync.layers import NORM_EPSILON, Layer, Plan

Floats = npt.NDArray[np.float32]
Tensors = Mapping[str, npt.NDArray[Any]]


class Folded(NamedTuple):
    """One convolution that does what a layer does before its activation.

    Attributes:
        slope: What the activation multiplies negative values by, ``[1]``; ``None`` for 0.
    """

    weight: Floats
    bias: Floats
    slope: Floats | None


def fold_layer(layer: Layer, name: str, tensors: Tensors) -> Folded:
    """Return a layer's convolution, from the tensors whose names begin with the layer's."""
    slope = tensors[f"{name}.act.weight"].astype(np.float32) if layer.slope else None
    if layer.bare:
        return Folded(_single(tensors[f"{name}.weight"]), _single(tensors[f"{name}.bias"]), slope)
    weight, bias = (tensors[f"{name}.conv_block.0.{part}"].astype(np.float64) for part in ("weight", "bias"))
    factor, offset, mean, variance = (
        tensors[f"{name}.conv_block.1.{part}"].astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    factor /= np.sqrt(variance + NORM_EPSILON)
    weight *= factor.reshape((1, -1, 1, 1) if layer.transposed else (-1, 1, 1, 1))
    bias = (bias - mean) * factor + offset
    if layer.residual:
        channels = np.arange(layer.channels_out)
        weight[channels, channels, layer.kernel[0] // 2, layer.kernel[1] // 2] += 1
    return Folded(_single(weight), _single(bias), slope)


def fold_tensors(plan: Plan, tensors: Tensors) -> dict[str, Folded]:
    """Return the folded convolution of each layer by the layer's name."""
    return {name: fold_layer(layer, name, tensors) for name, layer in plan.named()}


def _single(values: npt.NDArray[Any]) -> Floats:
    return np.ascontiguousarray(values, np.float32)
