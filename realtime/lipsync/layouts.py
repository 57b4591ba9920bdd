"""The family's networks as data: how many blocks, how wide, which kernels.

All are a face encoder that halves the picture down to one point, and a face decoder that doubles what was heard up to
the picture's size, joined at every size. Facts of each network are those of its published code.
"""

from typing import Literal, NamedTuple, cast, get_args

LayoutName = Literal["published", "tall", "odd", "odd-prelu"]
LAYOUTS: tuple[str, ...] = get_args(LayoutName)


class Down(NamedTuple):
    """A block of the face encoder.

    Attributes:
        channels: Output channels at width 1.
        kernel: Side of the first convolution's kernel, px; default 3.
        stride: Stride of the first convolution, px; default 2, which halves the size.
        padding: Padding of the first convolution, px on each side; default 1.
        residuals: Number of convolutions that follow and add their input; default 0.
        points: Number of convolutions of one pixel that follow; default 0.
    """

    channels: int
    kernel: int = 3
    stride: int = 2
    padding: int = 1
    residuals: int = 0
    points: int = 0


class Up(NamedTuple):
    """A block of the face decoder.

    Attributes:
        channels: At width 1, without those of the encoder that are added.
        residuals: Number of convolutions that follow the transposed one and add their input.
        kernel: Side of the transposed convolution's kernel, px; default 3.
        stride: 2 doubles the size.
        exact: Whether a doubled side is even: ``2 n``, otherwise ``2 n - 1``.
    """

    channels: int
    residuals: int
    kernel: int = 3
    stride: int = 2
    exact: bool = True


class Layout(NamedTuple):
    """A network of the family."""

    name: LayoutName
    encoder: tuple[Down, ...]
    decoder: tuple[Up, ...]
    slopes: bool = False


_FIRST = Down(16, 7, 1, 3)
_MIDDLE = (Down(64, residuals=3), Down(128, residuals=2), Down(256, residuals=2), Down(512, residuals=1))
_LAST = (Up(384, 2), Up(256, 2), Up(128, 2), Up(64, 2))


def layout(name: str, size: int) -> Layout:
    """Return a network's layout.

    Args:
        name: ``published``; ``tall``, the 256 px network of LiveTalking, with one more size; ``odd``, the 288 px fork
            whose smallest maps are 9, 5 and 3 pixels wide; ``odd-prelu``, the same with learned slopes.
        size: Side of the face crop, px.

    Raises:
        ValueError: If the layout has no such size.
    """
    if name in ("odd", "odd-prelu"):
        if size != 288:
            raise ValueError(f"size must be 288, not {size}")
        narrow = (_FIRST, Down(32, 5, 2, 2, residuals=1), Down(32, residuals=2), *_MIDDLE)
        ends = (Down(512, 3, 1, 0, points=1), Down(512, 3, 1, 0, points=1))
        low = (Up(512, 1, stride=1), Up(512, 2, exact=False), Up(512, 2, exact=False))
        return Layout(cast("LayoutName", name), narrow + ends, (*low, *_LAST, Up(64, 2)), slopes=name == "odd-prelu")
    step = {"published": 32, "tall": 64}.get(name)
    if step is None:
        raise ValueError(f"there is no layout {name!r}")
    if size % step or size < 3 * step:
        raise ValueError(f"size must be a multiple of {step}, at least {3 * step}, not {size}")
    bottom = size // step
    more_down, more_up = ((Down(512, residuals=1),), (Up(512, 1),)) if name == "tall" else ((), ())
    encoder = (_FIRST, Down(32, residuals=2), *_MIDDLE, *more_down, Down(512, bottom, 1, 0, points=1))
    low = (Up(512, 1, bottom, 1), *more_up, Up(512, 2))
    return Layout(cast("LayoutName", name), encoder, (*low, *_LAST))
