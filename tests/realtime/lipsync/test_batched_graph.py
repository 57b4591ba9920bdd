"""Graphs compiled for a few sizes of batch give each item what a batch of one gives it."""

import threading

import numpy as np
import openvino as ov
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openvino import opset13 as ops

from lipstream.realtime.lipsync.batched_graph import SIZES, BatchedGraph


@pytest.fixture(scope="module")
def graph() -> BatchedGraph:
    """The second output of a model: twice its input and one more; the first is the input's negative."""
    given = ops.parameter([-1, 3], np.float32)
    outputs = [ops.negative(given), ops.add(ops.multiply(given, np.float32(2)), np.float32(1))]
    model = ov.Model([ops.result(output) for output in outputs], [given])
    return BatchedGraph(ov.Core(), model, {"INFERENCE_PRECISION_HINT": "f32"}, output=1)


def _check(graph: BatchedGraph, count: int) -> None:
    items = np.arange(count * 3, dtype=np.float32).reshape(count, 3)
    outputs = [graph([items[batch]]) for batch in graph.batches(count)]
    assert np.array_equal(np.concatenate([*outputs, np.empty((0, 3))]), items * 2 + 1)


@given(count=st.integers(0, 40))
def test_batches_cover_all_items_once(graph: BatchedGraph, count: int) -> None:
    _check(graph, count)


def test_sizes_may_be_added_while_another_thread_calls(graph: BatchedGraph) -> None:
    def add_all() -> None:
        for size in SIZES[1:]:
            graph.add(size)

    adding = threading.Thread(target=add_all)
    adding.start()
    while adding.is_alive():
        _check(graph, 21)
    assert [batch.stop - batch.start for batch in graph.batches(21)] == [8, 8, 4, 1]
