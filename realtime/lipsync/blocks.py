"""The blocks of which every network of Wav2Lip's family is made."""

from torch import Tensor, nn
from torch.nn import functional

from lipstream.realtime.lipsync.layers import Chain, Layer
from lipstream.realtime.lipsync.metadata import Region


class Conv2d(nn.Module):
    """Convolution, batch norm, addition of the input if ``residual``, ReLU or PReLU."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        *,
        residual: bool = False,
        slope: bool = False,
    ) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, kernel, stride, padding), nn.BatchNorm2d(channels_out)
        )
        self.act = nn.PReLU() if slope else nn.ReLU()
        self.residual = residual

    def forward(self, x: Tensor, edges: Region | None = None) -> Tensor:
        """Map ``[B, in, H, W]`` to ``[B, out, H', W']``.

        Args:
            x: Feature map ``[B, in, H, W]``, or a part of it.
            edges: Padding for a part: rows and columns of zeros on each side, 1 where the part touches the map's border
                and 0 elsewhere, where the result is one row or column smaller. ``None`` for a whole map.
        """
        if edges is None:
            y = self.conv_block(x)
            activated: Tensor = self.act(y + x if self.residual else y)
            return activated
        conv, *norm = self.conv_block
        assert isinstance(conv, nn.Conv2d)
        padded = functional.pad(x, (edges.left, edges.right, edges.top, edges.bottom)) if any(edges) else x
        y = functional.conv2d(padded, conv.weight, conv.bias)
        for layer in norm:
            y = layer(y)
        part: Tensor = self.act(y + padded[:, :, 1:-1, 1:-1] if self.residual else y)
        return part


class Conv2dTranspose(nn.Module):
    """Transposed convolution, batch norm, ReLU or one with a learned slope."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        out_padding: int = 0,
        *,
        slope: bool = False,
    ) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ConvTranspose2d(channels_in, channels_out, kernel, stride, padding, out_padding),
            nn.BatchNorm2d(channels_out),
        )
        self.act = nn.PReLU() if slope else nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, in, H, W]`` to ``[B, out, H', W']``."""
        y: Tensor = self.act(self.conv_block(x))
        return y


def module(layer: Layer) -> nn.Module:
    """Return the module of a layer."""
    channels = layer.channels_in, layer.channels_out
    if layer.bare:
        return nn.Conv2d(*channels, layer.kernel)
    if layer.transposed:
        kernel, stride, padding = layer.kernel[0], layer.stride[0], layer.padding[0]
        return Conv2dTranspose(*channels, kernel, stride, padding, layer.more, slope=layer.slope)
    return Conv2d(*channels, layer.kernel, layer.stride, layer.padding, residual=layer.residual, slope=layer.slope)


def modules(layers: Chain) -> nn.Sequential:
    """Return the module of a chain of layers."""
    return nn.Sequential(*map(module, layers))
