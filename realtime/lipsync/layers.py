"""The layers of a network as data: what each maps, where its tensors stand, and which window of its map is needed.

`network` makes torch's modules of them, `openvino_graphs` OpenVINO's operations, and `weights_file` the names and
shapes of tensors that a file must hold. A new kind of layer is one more field here and one more case in the first two.
"""

import itertools
from collections.abc import Iterator
from typing import Literal, NamedTuple

from lipstream.realtime.lipsync.layouts import Layout, layout
from lipstream.realtime.lipsync.metadata import PAINT_SCALES, Region

Head = Literal["paint", "copy"]
AudioEncoderKind = Literal["published", "sliding", "both"]

SLIDING_SHARE = 0.7
"""Weight of the sliding encoder in the mean of both; chosen on recorded sentences outside every training set."""
NORM_EPSILON = 1e-5
"""What batch norms add to the variance: torch's default, with which every network of the family was trained."""
FACE_CHANNELS = 6
FIELDS, FLOW = 6, 2
"""Channels of a copying head: flow x and y, mask, blue, green and red; and how many of them are flow."""
Shape = tuple[int, ...]
Pair = tuple[int, int]


class Layer(NamedTuple):
    """A convolution, a batch norm, the addition of the input if ``residual``, and an activation.

    Attributes:
        kernel: Rows and columns.
        stride: Steps down and to the right, px; a transposed layer of 2 doubles the sides instead of halving them.
        padding: Rows and columns of zeros on each side.
        transposed: Whether the convolution is a transposed one; default false.
        more: Output padding of a transposed one, px; default 0.
        bare: Whether there is neither norm nor activation: the last layer of a network; default false.
        slope: Whether the activation has a learned slope (PReLU); default false (ReLU).
    """

    channels_in: int
    channels_out: int
    kernel: Pair = (3, 3)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    residual: bool = False
    transposed: bool = False
    more: int = 0
    bare: bool = False
    slope: bool = False

    @property
    def doubles(self) -> bool:
        """Whether the layer doubles the side of its map."""
        return self.transposed and self.stride == (2, 2)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        """Yield the name, below the layer's own, and the shape of each of its tensors, in torch's order."""
        channels = (self.channels_in, self.channels_out) if self.transposed else (self.channels_out, self.channels_in)
        conv, norm = ("", "") if self.bare else ("conv_block.0.", "conv_block.1.")
        yield f"{conv}weight", (*channels, *self.kernel)
        yield f"{conv}bias", (self.channels_out,)
        if not self.bare:
            for name in ("weight", "bias", "running_mean", "running_var"):
                yield f"{norm}{name}", (self.channels_out,)
            yield f"{norm}num_batches_tracked", ()
        if self.slope:
            yield "act.weight", (1,)


Chain = tuple[Layer, ...]


class Ear(NamedTuple):
    """One audio encoder: its layers, and its share of the code."""

    name: str
    layers: Chain
    share: float


class FineLayers(NamedTuple):
    """Layers that paint mask and colour at twice the crop's size; `fine_paint` says how they are joined.

    Attributes:
        rise: Doubles the decoder's map at half the crop's size.
        join: Reads that, the decoder's map at the crop's size, and the output of its head.
        refine: Doubles what was joined.
        correct: Gives the correction of mask, blue, green and red.
    """

    rise: Layer
    join: Chain
    refine: Chain
    correct: Layer

    def named(self) -> Iterator[tuple[str, Chain | Layer]]:
        """Yield each part with its name."""
        yield from zip(self._fields, self, strict=True)


class Plan(NamedTuple):
    """A network of the family.

    Attributes:
        encoder: Blocks of the face encoder; the output of each is a feature level.
        ears: Audio encoders; the code is the mean of theirs.
        decoder: Blocks of the face decoder; each is followed by a feature level, the smallest first.
        output: Last layers; the very last one is bare.
        fine: Layers of fine paint; ``None`` for mask and colour at the crop's own size.
    """

    size: int
    head: Head
    encoder: tuple[Chain, ...]
    ears: tuple[Ear, ...]
    decoder: tuple[Chain, ...]
    output: Chain
    fine: FineLayers | None = None

    @property
    def code_channels(self) -> int:
        """Channels of the code between audio encoder and face decoder."""
        return self.encoder[-1][-1].channels_out

    def named(self) -> Iterator[tuple[str, Layer]]:
        """Yield each layer with the name that its tensors begin with, in the order of a checkpoint."""
        fine = [(f"fine_paint.{name}", part) for name, part in self.fine.named()] if self.fine else []
        chains = itertools.chain(
            ((f"face_encoder_blocks.{number}", block) for number, block in enumerate(self.encoder)),
            ((ear.name, ear.layers) for ear in self.ears),
            ((f"face_decoder_blocks.{number}", block) for number, block in enumerate(self.decoder)),
            (("output_block", self.output),),
            fine,
        )
        for name, chain in chains:
            if isinstance(chain, Layer):
                yield name, chain
            else:
                yield from ((f"{name}.{number}", layer) for number, layer in enumerate(chain))

    def shapes(self) -> dict[str, Shape]:
        """Return the shape of each tensor by its name, in the order of a checkpoint."""
        return {f"{name}.{part}": shape for name, layer in self.named() for part, shape in layer.shapes()}


def plan(
    width: float = 1.0,
    size: int = 96,
    head: Head = "paint",
    *,
    audio_width: float | None = None,
    ear: AudioEncoderKind = "published",
    layout_name: str = "published",
    paint_scale: int = 1,
) -> Plan:
    """Return the layers of a network; the arguments are those of `lipstream.realtime.lipsync.network.Wav2Lip`.

    Raises:
        ValueError: If the layout has no such size, or the head no such scale.
    """
    if paint_scale not in PAINT_SCALES or (paint_scale == 2 and head != "copy"):
        raise ValueError(f"a head {head!r} has no paint of {paint_scale} times the crop's size")
    chosen = layout(layout_name, size)
    heard = width if audio_width is None else audio_width
    code = scaled(chosen.encoder[-1].channels, width)
    joined = scaled(chosen.decoder[-1].channels, width) + scaled(chosen.encoder[0].channels, width)
    c32 = scaled(32, width)
    last = Layer(c32, 3 if head == "paint" else FIELDS, (1, 1), bare=True)
    return Plan(
        size,
        head,
        tuple(_encoder(chosen, width)),
        _ears(ear, heard, code, slope=chosen.slopes),
        tuple(_decoder(chosen, width)),
        (Layer(joined, c32, padding=(1, 1), slope=chosen.slopes), last),
        _fine(chosen, joined, width) if paint_scale == 2 else None,
    )


def scaled(channels: int, width: float) -> int:
    """Return a channel count at a width factor: a whole multiple of 4, at least 4."""
    return max(4, round(channels * width / 4) * 4)


def _residuals(channels: int, count: int, *, slope: bool = False) -> list[Layer]:
    return [Layer(channels, channels, padding=(1, 1), residual=True, slope=slope)] * count


def _ears(kind: AudioEncoderKind, width: float, code: int, *, slope: bool) -> tuple[Ear, ...]:
    if kind == "published":
        return (Ear("audio_encoder", tuple(published_ear(width, code, slope=slope)), 1.0),)
    if kind == "sliding":
        return (Ear("audio_encoder", tuple(sliding_ear(width, code)), 1.0),)
    return (
        Ear("audio_encoder.published", tuple(published_ear(width, code)), 1 - SLIDING_SHARE),
        Ear("audio_encoder.sliding", tuple(sliding_ear(width, code)), SLIDING_SHARE),
    )


def published_ear(width: float, code: int, *, slope: bool = False) -> Iterator[Layer]:
    """Yield the layers of the published audio encoder: 80 bands x 16 columns become 1 x 1."""
    a32, a64, a128, a256, a512 = (scaled(c, width) for c in (32, 64, 128, 256, 512))
    yield Layer(1, a32, padding=(1, 1), slope=slope)
    yield from _residuals(a32, 2, slope=slope)
    yield Layer(a32, a64, stride=(3, 1), padding=(1, 1), slope=slope)
    yield from _residuals(a64, 2, slope=slope)
    yield Layer(a64, a128, stride=(3, 3), padding=(1, 1), slope=slope)
    yield from _residuals(a128, 2, slope=slope)
    yield Layer(a128, a256, stride=(3, 2), padding=(1, 1), slope=slope)
    yield from _residuals(a256, 1, slope=slope)
    yield Layer(a256, a512, slope=slope)
    yield Layer(a512, code, (1, 1), slope=slope)


def sliding_ear(width: float, code: int) -> Iterator[Layer]:
    """Yield the layers of an audio encoder that pads and strides along the bands only.

    80 bands x T columns become 1 x (T - 15). On a long spectrogram it gives for each column the same code as for the 16
    columns from there alone. Overlapping windows share the work, which makes training many times faster than with the
    published encoder.
    """
    a64, a128, a256, a512, a768 = (scaled(c, width) for c in (64, 128, 256, 512, 768))
    for before, after in ((1, a64), (a64, a128), (a128, a256)):
        yield Layer(before, after, (5, 3), (2, 1), (2, 0))
        yield Layer(after, after, (3, 1), padding=(1, 0), residual=True)
    yield Layer(a256, a512, (10, 4))
    yield Layer(a512, a768, (1, 7))
    yield from [Layer(a768, a768, (1, 1), residual=True)] * 4
    yield Layer(a768, code, (1, 1))


def _encoder(chosen: Layout, width: float) -> Iterator[Chain]:
    before = FACE_CHANNELS
    for down in chosen.encoder:
        channels, slope = scaled(down.channels, width), chosen.slopes
        kernel, stride, padding = ((side, side) for side in (down.kernel, down.stride, down.padding))
        first = Layer(before, channels, kernel, stride, padding, slope=slope)
        points = [Layer(channels, channels, (1, 1), slope=slope)] * down.points
        yield (first, *_residuals(channels, down.residuals, slope=slope), *points)
        before = channels


def _decoder(chosen: Layout, width: float) -> Iterator[Chain]:
    skips = [scaled(down.channels, width) for down in reversed(chosen.encoder)]
    before, slope = skips[0], chosen.slopes
    yield (Layer(before, before, (1, 1), slope=slope),)
    for up, skip in zip(chosen.decoder, skips, strict=False):  # the output block takes the last one
        channels = scaled(up.channels, width)
        padding, more = (1, int(up.exact)) if up.stride == 2 else (0, 0)
        kernel, stride, pads = ((side, side) for side in (up.kernel, up.stride, padding))
        first = Layer(before + skip, channels, kernel, stride, pads, transposed=True, more=more, slope=slope)
        yield (first, *_residuals(channels, up.residuals, slope=slope))
        before = channels


def _fine(chosen: Layout, joined: int, width: float) -> FineLayers:
    below = scaled(chosen.decoder[-2].channels, width) + scaled(chosen.encoder[1].channels, width)
    middle, fine = scaled(128, width), scaled(64, width)
    return FineLayers(
        _doubling(below, middle),
        (Layer(middle + joined + FIELDS, middle, padding=(1, 1)), *_residuals(middle, 2)),
        (_doubling(middle, fine), *_residuals(fine, 1)),
        Layer(fine, FIELDS - FLOW, (1, 1), bare=True),
    )


def _doubling(before: int, after: int) -> Layer:
    return Layer(before, after, stride=(2, 2), padding=(1, 1), transposed=True, more=1)


def decoder_windows(network: Plan, region: Region) -> list[list[Region]]:
    """Return, for each block of the decoder, the windows that its layers must compute for a region of the face."""
    side, wanted = network.size, _grown(region, network.size)
    windows: list[list[Region]] = []
    for first, *others in reversed(network.decoder):
        needed = [wanted]
        for _ in others:
            needed.insert(0, _grown(needed[0], side))
        windows.insert(0, needed)
        if first.doubles:  # output 2 i + 1 depends on the inputs i and i + 1, output 2 i on i
            side = (side + 1) // 2
            top, bottom, left, right = (edge // 2 for edge in needed[0])
            wanted = Region(top, min(bottom + 1, side), left, min(right + 1, side))
        else:
            side, wanted = 1, Region(0, 1, 0, 1)
    return windows


def feature_windows(network: Plan, region: Region) -> list[Region]:
    """Return the window of each level of the face encoder, shallowest first, that a region of the face depends on."""
    return [windows[-1] for windows in reversed(decoder_windows(network, region))]


def window_origin(first: Layer, window: Region) -> Pair:
    """Return the row and column of the whole map where the output of a block's first layer begins."""
    return (window.top // 2 * 2, window.left // 2 * 2) if first.doubles else (0, 0)


def edges(source: Region, result: Region) -> Region:
    """Return how many zeros a 3 x 3 kernel reads on each side of ``source`` for ``result``."""
    return Region(
        source.top - result.top + 1,
        result.bottom - source.bottom + 1,
        source.left - result.left + 1,
        result.right - source.right + 1,
    )


def within(window: Region, region: Region) -> Region:
    """Return where a window lies in a region, in px from the region's first row and column."""
    return Region(
        window.top - region.top, window.bottom - region.top, window.left - region.left, window.right - region.left
    )


def _grown(window: Region, side: int) -> Region:
    """Return the window that a 3 x 3 kernel reads for a window of a map with side ``side``."""
    top, bottom, left, right = window
    return Region(max(top - 1, 0), min(bottom + 1, side), max(left - 1, 0), min(right + 1, side))
