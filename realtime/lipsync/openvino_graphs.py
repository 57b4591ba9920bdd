"""The network in OpenVINO's operations: what `graphs` gives in torch's, built from a weights file without torch.

Three graphs: one encodes a face, once; one encodes speech; one draws a mouth each frame, as pixels or as fields. The
inputs and outputs are those of the classes of the same names in `graphs`; the first dimension of each is the batch.
"""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from lipstream.realtime.lipsync.fields import FLOW_STEPS, MAX_FLOW, PAINT_STEPS
from lipstream.realtime.lipsync.folded_weights import Folded, fold_tensors
from lipstream.realtime.lipsync.layers import (
    FIELDS,
    FLOW,
    Chain,
    FineLayers,
    Layer,
    Plan,
    decoder_windows,
    edges,
    feature_windows,
    window_origin,
    within,
)
from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.lipsync.weights_file import WeightsFile
from lipstream.realtime.timeline import MEL_BANDS, WINDOW_COLUMNS

_BATCH, _CHANNELS, _ROWS, _COLUMNS = range(4)
_MAX_BYTE = 255


class NetworkGraphs:
    """Makes the graphs of one network.

    Attributes:
        feature_windows: Window of each level of the face encoder that the mouth depends on.

    Args:
        file: The network; its tensors are folded and may be forgotten then.
    """

    def __init__(self, file: WeightsFile) -> None:
        self._plan: Plan = file.plan
        self._region: Region = file.metadata.decoded_region
        self._window: Region = file.metadata.fine_window
        self._windows = decoder_windows(file.plan, self._region)
        self.feature_windows = feature_windows(file.plan, self._region)
        self._of_codes: bool = file.metadata.articulates
        self._folded: dict[str, Folded] = fold_tensors(file.plan, file.tensors)

    def face(self) -> ov.Model:
        """Return the graph from ``uint8[N, size, size, 3]`` crops to the windows of the feature levels, ``float16``."""
        crops, half = self._crops(), self._plan.size // 2
        reference = _to_unit(crops)
        seen = np.zeros((1, 1, self._plan.size, 1), np.float32)
        seen[:, :, :half] = 1  # as the target, the lower half is hidden
        at = ops.concat([ops.multiply(reference, seen), reference], _CHANNELS)
        levels = []
        for number, (block, window) in enumerate(zip(self._plan.encoder, self.feature_windows, strict=True)):
            at = self._chain(at, f"face_encoder_blocks.{number}", block)
            levels.append(ops.result(ops.convert(_cut(at, window), "f16")))
        return ov.Model(levels, [crops], "face")

    def speech(self) -> ov.Model:
        """Return the graph from ``float32[B, 80, 16]`` mel windows to codes, ``float32[B, C]``."""
        mel = _parameter([MEL_BANDS, WINDOW_COLUMNS], np.float32, "mel")
        code = ops.reshape(self._code(mel), np.array([0, -1]), special_zero=True)
        return ov.Model([ops.result(code)], [mel], "speech")

    def mouth(self) -> ov.Model:
        """Return the graph from mel windows, crops and feature levels to pixels and, of a copying head, fields.

        Of weights that articulate, the first input is codes.
        """
        plan, crops = self._plan, self._crops()
        if self._of_codes:
            heard = _parameter([plan.code_channels], np.float32, "code")
            code = ops.unsqueeze(heard, np.array([_ROWS, _COLUMNS]))
        else:
            heard = _parameter([MEL_BANDS, WINDOW_COLUMNS], np.float32, "mel")
            code = self._code(heard)
        levels = [
            _parameter([block[-1].channels_out, window.height, window.width], np.float16, f"level{number}")
            for number, (block, window) in enumerate(zip(plan.encoder, self.feature_windows, strict=True))
        ]
        joined = self._joined(code, [ops.convert(level, "f32") for level in levels])
        drawn = self._head(joined[-1])
        if plan.head == "paint":
            results = [ops.result(_in_bytes(ops.sigmoid(drawn)))]
        else:
            fields = self._fields(drawn)
            if plan.fine is None:
                cover = _channels(fields, FLOW, FIELDS)
            else:
                cover = _flatly(ops.sigmoid, self._fine(plan.fine, joined, drawn), self._region)
            packed = _packed(_channels(fields, 0, FLOW), cover, self._region)
            results = [ops.result(_in_bytes(self._copied(fields, crops))), ops.result(packed)]
        return ov.Model(results, [heard, crops, *levels], "mouth")

    def _crops(self) -> Any:
        return _parameter([self._plan.size, self._plan.size, 3], np.uint8, "crops")

    def _code(self, mel: Any) -> Any:
        windows = ops.unsqueeze(mel, np.array([_CHANNELS]))
        codes = [(self._chain(windows, ear.name, ear.layers), ear.share) for ear in self._plan.ears]
        if len(codes) == 1:
            return codes[0][0]
        return functools.reduce(ops.add, (ops.multiply(code, np.float32(share)) for code, share in codes))

    def _joined(self, code: Any, levels: list[Any]) -> list[Any]:
        """Return what each decoder block gives with its level; each layer computes only what the region depends on."""
        windows = self._windows
        at, joined = code, []
        for number, (block, needed, level) in enumerate(
            zip(self._plan.decoder, windows, reversed(levels), strict=True)
        ):
            name = f"face_decoder_blocks.{number}"
            at = self._layer(at, f"{name}.0", block[0])
            at = _cut(at, needed[0], *window_origin(block[0], needed[0]))
            for place, (layer, (source, result)) in enumerate(
                zip(block[1:], itertools.pairwise(needed), strict=True), start=1
            ):
                at = self._layer(at, f"{name}.{place}", layer, edges(source, result))
            at = ops.concat([at, level], _CHANNELS)
            joined.append(at)
        return joined

    def _head(self, joined: Any) -> Any:
        """Return the last layer's output in the region."""
        first, last = self._plan.output
        at = self._layer(joined, "output_block.0", first, edges(self._windows[-1][-1], self._region))
        return self._layer(at, "output_block.1", last)

    def _fine(self, layers: FineLayers, joined: list[Any], output: Any) -> Any:
        """Return mask and colour at twice the region's size, as `fine_paint`: ``[B, 16, h, w]``.

        The channels are those of a pixel's four quarters, row by row. The map is never laid out at twice the size,
        since it leaves the graph in quarters, and enlarging into them is a small convolution.
        """
        region, window = self._region, self._window
        half = Region(*(edge // 2 for edge in window))
        below, last = (
            _cut(at, part, whole[-1].top, whole[-1].left)
            for at, part, whole in zip(joined[-2:], (half, window), self._windows[-2:], strict=True)
        )
        inner = within(window, region)
        risen = self._layer(below, "fine_paint.rise", layers.rise)
        at = self._chain(ops.concat([risen, last, _cut(output, inner)], _CHANNELS), "fine_paint.join", layers.join)
        at = self._chain(at, "fine_paint.refine", layers.refine)
        added = ops.space_to_depth(self._layer(at, "fine_paint.correct", layers.correct), "blocks_first", 2)
        before = np.array([0, 0, inner.top, inner.left])
        after = np.array([0, 0, region.height - inner.bottom, region.width - inner.right])
        return ops.add(_doubled(_channels(output, FLOW, FIELDS)), ops.pad(added, before, after, "constant", 0.0))

    def _chain(self, at: Any, name: str, chain: Chain) -> Any:
        for number, layer in enumerate(chain):
            at = self._layer(at, f"{name}.{number}", layer)
        return at

    def _layer(self, at: Any, name: str, layer: Layer, zeros: Region | None = None) -> Any:
        """Apply a layer; ``zeros`` are the rows and columns to add to a part of a map, ``None`` for a whole one."""
        weight, bias, slope = self._folded[name]
        kernel = ops.constant(weight, shared_memory=True)  # a graph keeps the array alive; copies take most of the time
        rows, columns = layer.padding
        begin, end = ([rows, columns],) * 2 if zeros is None else ([zeros.top, zeros.left], [zeros.bottom, zeros.right])
        if layer.transposed:
            more = [layer.more] * 2
            at = ops.convolution_backprop_data(
                at, kernel, list(layer.stride), None, begin, end, [1, 1], output_padding=more
            )
        else:
            at = ops.convolution(at, kernel, list(layer.stride), begin, end, [1, 1])
        at = ops.add(at, bias.reshape(1, -1, 1, 1))
        if layer.bare:
            return at
        return ops.relu(at) if slope is None else ops.prelu(at, slope)

    def _fields(self, output: Any) -> Any:
        """Return flow, mask and colour, as ``Wav2Lip.draw_fields``."""
        flow = _flatly(ops.tanh, _channels(output, 0, FLOW), self._region)
        paint = _flatly(ops.sigmoid, _channels(output, FLOW, FIELDS), self._region)
        return ops.concat([flow, paint], _CHANNELS)

    def _copied(self, fields: Any, crops: Any) -> Any:
        """Warp the reference by the flow and paint over it, as ``network.copy_and_paint``."""
        region, size = self._region, self._plan.size
        rows, columns = (
            (np.arange(start, stop, dtype=np.float32) * 2 + 1) / size - 1
            for start, stop in ((region.top, region.bottom), (region.left, region.right))
        )
        places = np.stack(np.broadcast_arrays(columns[None, :], rows[:, None]), axis=-1)[None].astype(np.float32)
        flow = ops.transpose(_channels(fields, 0, 2), np.array([0, 2, 3, 1]))
        grid = ops.add(places, ops.multiply(flow, np.float32(MAX_FLOW)))
        how = {"align_corners": False, "mode": "bicubic", "padding_mode": "border"}
        warped = ops.clamp(ops.grid_sample(_to_unit(crops), grid, how), 0.0, 1.0)
        mask, paint = _channels(fields, 2, 3), _channels(fields, 3, 6)
        return ops.add(warped, ops.multiply(ops.subtract(paint, warped), mask))


def _parameter(shape: list[int], kind: Any, name: str) -> Any:
    return ops.parameter([-1, *shape], kind, name=name)


def _to_unit(crops: Any) -> Any:
    return ops.divide(ops.convert(ops.transpose(crops, np.array([0, 3, 1, 2])), "f32"), np.float32(_MAX_BYTE))


def _cut(at: Any, window: Region, top: int = 0, left: int = 0) -> Any:
    """Return a window of a map; ``at`` is the part of the map from row ``top`` and column ``left`` on."""
    begin, end = [window.top - top, window.left - left], [window.bottom - top, window.right - left]
    return ops.slice(at, np.array(begin), np.array(end), np.array([1, 1]), np.array([_ROWS, _COLUMNS]))


def _channels(at: Any, begin: int, end: int) -> Any:
    return _slice(at, begin, end, _CHANNELS)


def _slice(at: Any, begin: int, end: int, axis: int, step: int = 1) -> Any:
    return ops.slice(at, np.array([begin]), np.array([end]), np.array([step]), np.array([axis]))


def _in_bytes(face: Any) -> Any:
    scaled = ops.add(ops.multiply(ops.transpose(face, np.array([0, 2, 3, 1])), np.float32(_MAX_BYTE)), np.float32(0.5))
    return ops.convert(ops.clamp(scaled, 0.0, float(_MAX_BYTE)), "u8")  # + 0.5, then truncation: rounds


def _flatly(function: Callable[[Any], Any], at: Any, region: Region) -> Any:
    """Apply a function to a map of the region's size without its rows: of few interleaved channels it is slow."""
    flat = function(ops.reshape(at, np.array([0, 0, -1]), special_zero=True))
    return ops.reshape(flat, np.array([0, 0, region.height, region.width]), special_zero=True)


def _doubled(at: Any) -> Any:
    """Return mask and colour enlarged to twice their size, bilinearly, as torch does: in quarters, 16 channels."""
    near, count = {0: (0.25, 0.75, 0.0), 1: (0.0, 0.75, 0.25)}, FIELDS - FLOW
    kernel = np.zeros((4 * count, count, 3, 3), np.float32)
    for quarter, channel in itertools.product(range(4), range(count)):
        kernel[quarter * count + channel, channel] = np.outer(near[quarter // 2], near[quarter % 2])
    edge = np.array([0, 0, 1, 1])
    return ops.convolution(ops.pad(at, edge, edge, "edge"), ops.constant(kernel), [1, 1], [0, 0], [0, 0], [1, 1])


def _packed(flow: Any, cover: Any, region: Region) -> Any:
    """Return flow x and y, then of each pixel or quarter mask with blue and green with red, the first in the low byte.

    As ``graphs._packed``: ``int16[B, h, w, 4]`` of a cover of 4 channels, or ``int16[B, h, w, 10]`` of its quarters.
    """
    parts, inside = np.array([0, -1, FIELDS - FLOW, region.height * region.width]), 2
    quarters = ops.reshape(cover, parts, special_zero=True)
    mask, colour = _slice(quarters, 0, 1, inside), _slice(quarters, 1, 4, inside)
    paint = _rounded(ops.concat([mask, ops.multiply(colour, mask)], inside), PAINT_STEPS)
    high = ops.multiply(_slice(paint, 1, 4, inside, 2), np.float32(256))
    pairs = ops.add(_slice(paint, 0, 4, inside, 2), high)
    over = ops.convert(ops.greater(pairs, np.float32(32767)), "f32")
    signed = ops.subtract(pairs, ops.multiply(over, np.float32(65536)))
    signed = ops.reshape(signed, np.array([0, -1, region.height, region.width]), special_zero=True)
    packed = ops.concat([_rounded(flow, FLOW_STEPS), signed], _CHANNELS)
    return ops.convert(ops.transpose(packed, np.array([0, 2, 3, 1])), "i16")


def _rounded(values: Any, steps: int) -> Any:
    return ops.floor(ops.add(ops.multiply(values, np.float32(steps)), np.float32(0.5)))
