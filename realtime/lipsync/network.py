"""Wav2Lip's generator, with the published layers and names, and its smaller, larger and deeper variants.

K R Prajwal et al., "A Lip Sync Expert Is All You Need for Speech to Lip Generation In the Wild", ACM MM 2020.
The parameter names are the published ones, so that official checkpoints load strictly.
"""

import itertools
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipstream.realtime.lipsync.fields import MAX_FLOW
from lipstream.realtime.lipsync.layouts import Layout, layout
from lipstream.realtime.lipsync.metadata import Region

Head = Literal["paint", "copy"]
AudioEncoderKind = Literal["published", "sliding", "both"]

SLIDING_SHARE = 0.7
"""Weight of the sliding encoder in the mean of both; chosen on recorded sentences outside every training set."""


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


def _residuals(channels: int, count: int, *, slope: bool = False) -> list[nn.Module]:
    return [Conv2d(channels, channels, 3, 1, 1, residual=True, slope=slope) for _ in range(count)]


def scaled(channels: int, width: float) -> int:
    """Return a channel count at a width factor: a whole multiple of 4, at least 4."""
    return max(4, round(channels * width / 4) * 4)


def _published_ear(width: float, code: int, *, slope: bool = False) -> nn.Sequential:
    a32, a64, a128, a256, a512 = (scaled(c, width) for c in (32, 64, 128, 256, 512))
    return nn.Sequential(
        Conv2d(1, a32, 3, 1, 1, slope=slope),
        *_residuals(a32, 2, slope=slope),
        Conv2d(a32, a64, 3, (3, 1), 1, slope=slope),
        *_residuals(a64, 2, slope=slope),
        Conv2d(a64, a128, 3, 3, 1, slope=slope),
        *_residuals(a128, 2, slope=slope),
        Conv2d(a128, a256, 3, (3, 2), 1, slope=slope),
        *_residuals(a256, 1, slope=slope),
        Conv2d(a256, a512, 3, slope=slope),
        Conv2d(a512, code, 1, slope=slope),
    )


def _sliding_ear(width: float, code: int) -> nn.Sequential:
    """Return an audio encoder that pads and strides along the bands only: 80 bands x T columns become 1 x (T - 15).

    On a long spectrogram it gives for each column the same code as for the 16 columns from there alone. Overlapping
    windows share the work, which makes training many times faster than with the published encoder.
    """
    a64, a128, a256, a512, a768 = (scaled(c, width) for c in (64, 128, 256, 512, 768))

    def across_bands(channels: int) -> Conv2d:
        return Conv2d(channels, channels, (3, 1), 1, (1, 0), residual=True)

    def of_moments(count: int) -> list[Conv2d]:
        return [Conv2d(a768, a768, 1, residual=True) for _ in range(count)]

    return nn.Sequential(
        Conv2d(1, a64, (5, 3), (2, 1), (2, 0)),
        across_bands(a64),
        Conv2d(a64, a128, (5, 3), (2, 1), (2, 0)),
        across_bands(a128),
        Conv2d(a128, a256, (5, 3), (2, 1), (2, 0)),
        across_bands(a256),
        Conv2d(a256, a512, (10, 4)),
        Conv2d(a512, a768, (1, 7)),
        *of_moments(4),
        Conv2d(a768, code, 1),
    )


class CombinedEncoder(nn.Module):
    """Both audio encoders: their errors differ, and the mean of their codes errs less than either."""

    def __init__(self, width: float, code: int) -> None:
        super().__init__()
        self.published, self.sliding = _published_ear(width, code), _sliding_ear(width, code)

    def forward(self, mel: Tensor) -> Tensor:
        """Return the weighted mean code ``[B, code, 1, 1]`` of windows ``[B, 1, 80, 16]``."""
        mean: Tensor = (1 - SLIDING_SHARE) * self.published(mel) + SLIDING_SHARE * self.sliding(mel)
        return mean


def _audio_encoder(kind: AudioEncoderKind, width: float, code: int, *, slope: bool) -> nn.Module:
    if kind == "published":
        return _published_ear(width, code, slope=slope)
    return _sliding_ear(width, code) if kind == "sliding" else CombinedEncoder(width, code)


def _face_encoder(plan: Layout, width: float) -> nn.ModuleList:
    blocks: list[nn.Module] = []
    before = 6
    for down in plan.encoder:
        channels = scaled(down.channels, width)
        blocks.append(
            nn.Sequential(
                Conv2d(before, channels, down.kernel, down.stride, down.padding, slope=plan.slopes),
                *_residuals(channels, down.residuals, slope=plan.slopes),
                *[Conv2d(channels, channels, 1, slope=plan.slopes) for _ in range(down.points)],
            )
        )
        before = channels
    return nn.ModuleList(blocks)


def _face_decoder(plan: Layout, width: float) -> nn.ModuleList:
    skips = [scaled(down.channels, width) for down in reversed(plan.encoder)]
    before = skips[0]
    blocks: list[nn.Module] = [nn.Sequential(Conv2d(before, before, 1, slope=plan.slopes))]
    for up, skip in zip(plan.decoder, skips, strict=False):  # the output block takes the last one
        channels = scaled(up.channels, width)
        padding, more = (1, int(up.exact)) if up.stride == 2 else (0, 0)
        first = Conv2dTranspose(before + skip, channels, up.kernel, up.stride, padding, more, slope=plan.slopes)
        blocks.append(nn.Sequential(first, *_residuals(channels, up.residuals, slope=plan.slopes)))
        before = channels
    return nn.ModuleList(blocks)


class Wav2Lip(nn.Module):
    """Draws the mouth for a mel window into a face crop.

    Args:
        width: Factor on every channel count except those of the inputs and the output, 1.0 as published.
        size: Side of the square crop, px: one of the sizes of the layout; as published, a multiple of 32, at least 96.
        head: ``paint`` as published, or ``copy``: a small flow, a blend mask and a colour over the reference, so that
            pixels which speech does not change are copied from the reference.
        audio_width: Factor on the audio encoder's channel counts; ``None`` for ``width``. The audio encoder costs
            little beside the decoder and gains more from width.
        ear: Audio encoder: ``published``, ``sliding`` (trains faster at about the same cost), or ``both``.
        layout_name: Name for :func:`lipstream.realtime.lipsync.layouts.layout`, default ``published``.
    """

    def __init__(
        self,
        width: float = 1.0,
        size: int = 96,
        head: Head = "paint",
        *,
        audio_width: float | None = None,
        ear: AudioEncoderKind = "published",
        layout_name: str = "published",
    ) -> None:
        super().__init__()
        plan = layout(layout_name, size)
        self.width, self.size, self.head, self.ear, self.layout_name = width, size, head, ear, layout_name
        self.audio_width = width if audio_width is None else audio_width
        self.face_encoder_blocks = _face_encoder(plan, width)
        self.code_channels = code = scaled(plan.encoder[-1].channels, width)
        self.audio_encoder = _audio_encoder(ear, self.audio_width, code, slope=plan.slopes)
        self.face_decoder_blocks = _face_decoder(plan, width)
        joined = scaled(plan.decoder[-1].channels, width) + scaled(plan.encoder[0].channels, width)
        c32 = scaled(32, width)
        last = nn.Conv2d(c32, 3 if head == "paint" else 6, 1)
        tail: list[nn.Module] = [nn.Sigmoid()] if head == "paint" else []
        self.output_block = nn.Sequential(Conv2d(joined, c32, 3, 1, 1, slope=plan.slopes), last, *tail)
        if head == "copy":  # start as a copy of the reference: no flow, little paint
            nn.init.normal_(last.weight, std=0.01)
            with torch.no_grad():
                cast("Tensor", last.bias).copy_(torch.tensor([0.0, 0.0, -2.0, 0.0, 0.0, 0.0]))

    def encode_face(self, face: Tensor) -> list[Tensor]:
        """Return the face encoder's output at every scale.

        Args:
            face: ``[B, 6, size, size]`` in 0..1, BGR: the target with its lower half zeroed, then the reference.

        Returns:
            A tensor of each block, shallowest first.
        """
        features = []
        for block in self.face_encoder_blocks:
            face = block(face)
            features.append(face)
        return features

    def decode(self, mel: Tensor, features: list[Tensor], reference: Tensor, region: Region | None = None) -> Tensor:
        """Return the speaking face from a mel window and an encoded face.

        Args:
            mel: ``[B, 1, 80, 16]`` in -4..4.
            reference: ``[B, 3, size, size]`` in 0..1; only the copying head reads it.
            region: Part of the face to compute; ``None`` for all.

        Returns:
            ``[B, 3, h, w]`` in 0..1, the region.
        """
        return self.draw(self.audio_encoder(mel), features, reference, region)

    def draw(self, code: Tensor, features: list[Tensor], reference: Tensor, region: Region | None = None) -> Tensor:
        """Return the face with the mouth of an audio code.

        Only the region, and the part of each feature map that it depends on, is computed. The result equals that part
        of the whole face.

        Args:
            code: ``[B, C, 1, 1]``, output of the audio encoder.
            reference: ``[B, 3, size, size]`` in 0..1; only the copying head reads it.
            region: Part of the face to compute; ``None`` for all.

        Returns:
            ``[B, 3, h, w]`` in 0..1, the region.
        """
        region = region or Region(0, self.size, 0, self.size)
        if self.head == "paint":
            return self._output(code, features, region)
        return copy_and_paint(self.draw_fields(code, features, region), reference, region.top, region.left)

    def draw_fields(self, code: Tensor, features: list[Tensor], region: Region | None = None) -> Tensor:
        """Return flow, mask and colour of the copying head, from which :func:`copy_and_paint` composes the face.

        Args:
            code: ``[B, C, 1, 1]``, output of the audio encoder.
            region: Part of the face to compute; ``None`` for all.

        Returns:
            ``float32[B, 6, h, w]``, the region: flow x and y in shares of :data:`MAX_FLOW`, -1..1; mask, blue, green
            and red, 0..1.
        """
        output = self._output(code, features, region or Region(0, self.size, 0, self.size))
        raw = output.flatten(2).float()  # OpenVINO is slow with functions of few interleaved channels
        return torch.cat((torch.tanh(raw[:, :2]), torch.sigmoid(raw[:, 2:])), dim=1).view(-1, 6, *output.shape[2:])

    def _output(self, code: Tensor, features: list[Tensor], region: Region) -> Tensor:
        x = code
        for (first, *others), feature, windows in zip(
            self._blocks(), reversed(features), self._windows(region), strict=True
        ):
            x = first(x)
            top, left = (edge // 2 * 2 if _doubles(first) else 0 for edge in (windows[0].top, windows[0].left))
            x = _cut(x, windows[0], top=top, left=left)
            for layer, (source, result) in zip(others, itertools.pairwise(windows), strict=True):
                x = layer(x, _edges(source, result))
            x = torch.cat((x, _cut(feature, windows[-1])), dim=1)
        last, *rest = self.output_block
        output: Tensor = nn.Sequential(*rest)(last(x, _edges(windows[-1], region)))
        return output

    def _blocks(self) -> list[list[nn.Module]]:
        return [list(cast("nn.Sequential", block)) for block in self.face_decoder_blocks]

    def _windows(self, region: Region) -> list[list[Region]]:
        """Return, for each decoder block, the windows that its layers must compute for the region."""
        side, wanted = self.size, _grown(region, self.size)
        windows: list[list[Region]] = []
        for first, *others in reversed(self._blocks()):
            layers = [wanted]
            for _ in others:
                layers.insert(0, _grown(layers[0], side))
            windows.insert(0, layers)
            if _doubles(first):  # output 2 i + 1 depends on the inputs i and i + 1, output 2 i on i
                side = (side + 1) // 2
                top, bottom, left, right = (edge // 2 for edge in layers[0])
                wanted = Region(top, min(bottom + 1, side), left, min(right + 1, side))
            else:
                side, wanted = 1, Region(0, 1, 0, 1)
        return windows

    def forward(self, mel: Tensor, face: Tensor) -> Tensor:
        """Return ``[B, 3, size, size]`` from ``mel [B, 1, 80, 16]`` and ``face [B, 6, size, size]``."""
        return self.decode(mel, self.encode_face(face), face[:, 3:])


def _doubles(layer: nn.Module) -> bool:
    return isinstance(layer, Conv2dTranspose) and layer.conv_block[0].stride == (2, 2)


def _grown(window: Region, side: int) -> Region:
    """Return the window that a 3 x 3 kernel reads for a window of a map with side ``side``."""
    top, bottom, left, right = window
    return Region(max(top - 1, 0), min(bottom + 1, side), max(left - 1, 0), min(right + 1, side))


def _edges(source: Region, result: Region) -> Region:
    """Return how many zeros a 3 x 3 kernel reads on each side of ``source`` for ``result``."""
    return Region(
        source.top - result.top + 1,
        result.bottom - source.bottom + 1,
        source.left - result.left + 1,
        result.right - source.right + 1,
    )


def _cut(x: Tensor, window: Region, *, top: int = 0, left: int = 0) -> Tensor:
    """Return a window of a map; ``x`` is the part of the map from row ``top`` and column ``left`` on."""
    return x[:, :, window.top - top : window.bottom - top, window.left - left : window.right - left]


def copy_and_paint(fields: Tensor, reference: Tensor, top: int = 0, left: int = 0) -> Tensor:
    """Warp the reference by a flow and paint over it where the mask says so.

    Args:
        fields: ``float32[B, 6, h, w]``, from :meth:`Wav2Lip.draw_fields`.
        reference: ``[B, 3, H, W]`` in 0..1.
        top: First row of the reference that ``fields`` cover, px.
        left: First column of the reference that ``fields`` cover, px.

    Returns:
        ``[B, 3, h, w]`` in 0..1.
    """
    batch, _, height, width = fields.shape
    flow, mask, paint = fields[:, :2], fields[:, 2:3], fields[:, 3:]
    whole_height, whole_width = reference.shape[2:]
    rows = (torch.arange(top, top + height, device=fields.device, dtype=torch.float32) * 2 + 1) / whole_height - 1
    columns = (torch.arange(left, left + width, device=fields.device, dtype=torch.float32) * 2 + 1) / whole_width - 1
    identity = torch.stack(
        (columns[None, :].expand(height, width), rows[:, None].expand(height, width)), dim=-1
    ).expand(batch, height, width, 2)
    grid = identity + MAX_FLOW * flow.permute(0, 2, 3, 1)  # in float32: bfloat16 is too coarse for positions
    warped = functional.grid_sample(
        reference.float(), grid, mode="bicubic", padding_mode="border", align_corners=False
    ).clamp(0, 1)  # bicubic: bilinear softens skin and lips; bicubic overshoots a little
    return warped + (paint - warped) * mask
