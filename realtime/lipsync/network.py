"""Wav2Lip's generator, layer for layer and name for name, and its smaller, larger and deeper family members.

K R Prajwal et al., "A Lip Sync Expert Is All You Need for Speech to Lip Generation In the Wild", ACM MM 2020.
The parameter names are the published ones, so that official checkpoints load strictly.

A little longer than most files: the network beside all that it is made of.
"""

import itertools
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipstream.realtime.lipsync.layouts import Layout, layout
from lipstream.realtime.lipsync.metadata import Region

Head = Literal["paint", "copy"]
AudioEncoderKind = Literal["published", "sliding", "both"]

MAX_FLOW = 0.5
"""Largest displacement of the copying head in normalised coordinates (-1..1): a quarter of the crop."""

SLIDING_SHARE = 0.7
"""Of what both ears say together; chosen on recorded sentences that no weights learned from."""


class Conv2d(nn.Module):
    """Convolution, batch norm, the input added back if ``residual``, ReLU or one with a learned slope."""

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
            x: The feature map, or a part of it.
            edges: For a part: how many of the kernel's zeros belong on each side, 1 where the part ends with the
                whole map; elsewhere it loses the row or column that it has too little to compute. ``None``: all.
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
    """Return an audio encoder that pads and strides bands alone: 80 bands x T columns become 1 x (T - 15).

    Slid over a long spectrogram it says at each column what it says of the 16 columns from there, and windows that
    overlap share the work: that makes it many times quicker to teach than the published one.
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
    """Both audio encoders: they err in different places, and a mean of what they say errs less than either."""

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
    """Draws the mouth that goes with a mel window into a face crop.

    Args:
        width: Factor on every channel count but the inputs' and the output's.
        size: Side of the square crop in pixels, one that the layout has: as published, a multiple of 32 from 96 on.
        head: ``paint`` as published, or ``copy``: a small flow, a blend mask and a colour over the reference, so
            that whatever speech does not change is copied from it.
        audio_width: Factor on the audio encoder's channel counts; ``None`` for ``width``. Hearing costs little beside
            drawing, and gains more by being wide.
        ear: The audio encoder: ``published``, ``sliding``, which learns quicker for about the same work, or ``both``.
        layout_name: Of :func:`lipstream.realtime.lipsync.layouts.layout`.
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
        code = scaled(plan.encoder[-1].channels, width)
        self.audio_encoder = _audio_encoder(ear, self.audio_width, code, slope=plan.slopes)
        self.face_decoder_blocks = _face_decoder(plan, width)
        joined = scaled(plan.decoder[-1].channels, width) + scaled(plan.encoder[0].channels, width)
        c32 = scaled(32, width)
        last = nn.Conv2d(c32, 3 if head == "paint" else 6, 1)
        tail: list[nn.Module] = [nn.Sigmoid()] if head == "paint" else []
        self.output_block = nn.Sequential(Conv2d(joined, c32, 3, 1, 1, slope=plan.slopes), last, *tail)
        if head == "copy":  # begin as a copy: no flow, little paint
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
            features: What :meth:`encode_face` gave.
            reference: ``[B, 3, size, size]`` in 0..1; read by the copying head alone.
            region: The part of the face that is wanted; ``None`` for all.

        Returns:
            ``[B, 3, h, w]`` in 0..1, the region.
        """
        return self.draw(self.audio_encoder(mel), features, reference, region)

    def draw(self, code: Tensor, features: list[Tensor], reference: Tensor, region: Region | None = None) -> Tensor:
        """Return the face with the mouth of a code.

        What lies outside the region, and beyond what the kernels reach to from it, is not computed: what is returned
        is the same as without.

        Args:
            code: ``[B, C, 1, 1]``, what the audio encoder gave.
            features: As for :meth:`decode`, and likewise the others.
            reference: ``[B, 3, size, size]``.
            region: The part of the face that is wanted; ``None`` for all.

        Returns:
            ``[B, 3, h, w]`` in 0..1, the region.
        """
        region = region or Region(0, self.size, 0, self.size)
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
        return output if self.head == "paint" else copy_and_paint(output, reference, region.top, region.left)

    def _blocks(self) -> list[list[nn.Module]]:
        return [list(cast("nn.Sequential", block)) for block in self.face_decoder_blocks]

    def _windows(self, region: Region) -> list[list[Region]]:
        """Return, for each decoder block, what each of its layers must give so that the region comes out whole."""
        side, wanted = self.size, _grown(region, self.size)
        windows: list[list[Region]] = []
        for first, *others in reversed(self._blocks()):
            layers = [wanted]
            for _ in others:
                layers.insert(0, _grown(layers[0], side))
            windows.insert(0, layers)
            if _doubles(first):  # output 2 i + 1 rests on the inputs i and i + 1, output 2 i on i
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
    """Return what a kernel of 3 x 3 reads to give a window of a map ``side`` wide."""
    top, bottom, left, right = window
    return Region(max(top - 1, 0), min(bottom + 1, side), max(left - 1, 0), min(right + 1, side))


def _edges(source: Region, result: Region) -> Region:
    """Return the rows and columns of zeros beside ``source`` that a kernel of 3 x 3 reads to give ``result``."""
    return Region(
        source.top - result.top + 1,
        result.bottom - source.bottom + 1,
        source.left - result.left + 1,
        result.right - source.right + 1,
    )


def _cut(x: Tensor, window: Region, *, top: int = 0, left: int = 0) -> Tensor:
    """Return a window of a map of which ``x`` begins at ``top`` and ``left``."""
    return x[:, :, window.top - top : window.bottom - top, window.left - left : window.right - left]


def copy_and_paint(output: Tensor, reference: Tensor, top: int = 0, left: int = 0) -> Tensor:
    """Warp the reference by a flow and paint over it where the mask says so.

    Args:
        output: ``[B, 6, h, w]`` raw: flow x and y, mask, blue, green, red.
        reference: ``[B, 3, H, W]`` in 0..1.
        top: Row of the reference at which ``output`` begins.
        left: Column of the reference at which ``output`` begins.

    Returns:
        ``[B, 3, h, w]`` in 0..1.
    """
    batch, _, height, width = output.shape
    raw = output.flatten(2).float()  # OpenVINO is slow at functions of a few interleaved channels
    flow = torch.tanh(raw[:, :2]).view(-1, 2, height, width)
    mask_and_paint = torch.sigmoid(raw[:, 2:]).view(-1, 4, height, width)
    whole_height, whole_width = reference.shape[2:]
    rows = (torch.arange(top, top + height, device=output.device, dtype=torch.float32) * 2 + 1) / whole_height - 1
    columns = (torch.arange(left, left + width, device=output.device, dtype=torch.float32) * 2 + 1) / whole_width - 1
    identity = torch.stack(
        (columns[None, :].expand(height, width), rows[:, None].expand(height, width)), dim=-1
    ).expand(batch, height, width, 2)
    grid = identity + MAX_FLOW * flow.permute(0, 2, 3, 1)  # in float32: bfloat16's 8 bits are too few for a place
    warped = functional.grid_sample(
        reference.float(), grid, mode="bicubic", padding_mode="border", align_corners=False
    ).clamp(0, 1)  # bicubic, since a linear one softens skin and lips; it overshoots a little
    mask, paint = mask_and_paint[:, :1], mask_and_paint[:, 1:]
    return warped + (paint - warped) * mask
