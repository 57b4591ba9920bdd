"""A network of OpenVINO's for batches of any number, compiled for a few sizes.

With a fixed size, a call for one mouth takes a quarter less time. A batch of another size is split into two or three of
these, which takes no longer than a batch of that size.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

SIZES = (1, 2, 4, 8)
"""Sizes of batch that a graph is compiled for, smallest first."""


class BatchedGraph:
    """One output of a model whose inputs and outputs have the batch as first dimension.

    It is compiled for a batch of one; :meth:`add` compiles another size. One thread may add sizes while another calls.

    Args:
        options: Properties of the CPU device, as OpenVINO names them.
        output: Index of the output.
    """

    def __init__(self, core: ov.Core, model: ov.Model, options: dict[str, object], output: int = 0) -> None:
        self._core, self._options = core, options
        self._model = model.clone()
        for at, result in enumerate(self._model.get_results()):
            if at != output:
                self._model.remove_result(result)
        self._compiled: dict[int, Any] = {}
        self.add(SIZES[0])

    def add(self, size: int) -> None:
        """Compile the graph for a size of batch, and call it once, since the first call takes longer."""
        shapes = {at: [size, *_known(port)] for at, port in enumerate(self._model.inputs)}
        self._model.reshape(shapes)
        compiled = self._core.compile_model(self._model, "CPU", self._options)
        compiled([np.zeros(shapes[at], port.element_type.to_dtype()) for at, port in enumerate(self._model.inputs)])
        self._compiled[size] = compiled

    def batches(self, count: int) -> Iterator[slice]:
        """Yield slices of compiled sizes that cover ``count`` items, largest first."""
        start = 0
        for size in sorted(self._compiled, reverse=True):
            while count - start >= size:
                yield slice(start, start + size)
                start += size

    def __call__(self, inputs: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Return the output for one batch of :meth:`batches`."""
        output: npt.NDArray[Any] = self._compiled[len(inputs[0])](inputs, share_inputs=True)[0]
        return output


def _known(port: Any) -> list[int]:
    """Return the dimensions of an input without the first one, the batch."""
    return [size.get_length() for size in list(port.partial_shape)[1:]]
