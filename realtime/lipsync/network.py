"""Wav2Lip's generator, with the published layers and names, and its smaller, larger and deeper variants.

K R Prajwal et al., "A Lip Sync Expert Is All You Need for Speech to Lip Generation In the Wild", ACM MM 2020.
The parameter names are the published ones, so that official checkpoints load strictly.
"""

import itertools
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipstream.realtime.lipsync.blocks import module, modules
from lipstream.realtime.lipsync.fields import MAX_FLOW
from lipstream.realtime.lipsync.fine_paint import FinePaint, enlarged
from lipstream.realtime.lipsync.layers import (
    SLIDING_SHARE,
    AudioEncoderKind,
    Chain,
    Head,
    decoder_windows,
    edges,
    feature_windows,
    plan,
    window_origin,
    within,
)
from lipstream.realtime.lipsync.metadata import Region

__all__ = ["SLIDING_SHARE", "AudioEncoderKind", "CombinedEncoder", "Head", "Wav2Lip", "copy_and_paint"]


class CombinedEncoder(nn.Module):
    """Both audio encoders: their errors differ, and the mean of their codes errs less than either."""

    def __init__(self, published: Chain, sliding: Chain) -> None:
        super().__init__()
        self.published, self.sliding = modules(published), modules(sliding)

    def forward(self, mel: Tensor) -> Tensor:
        """Return the weighted mean code ``[B, code, 1, 1]`` of windows ``[B, 1, 80, 16]``."""
        mean: Tensor = (1 - SLIDING_SHARE) * self.published(mel) + SLIDING_SHARE * self.sliding(mel)
        return mean


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
        paint_scale: Pixels of mask and colour in each direction for a pixel of the crop; 2 with
            :class:`lipstream.realtime.lipsync.fine_paint.FinePaint`, which only a copying head has.

    Raises:
        ValueError: If the layout has no such size, or the head no such scale.
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
        paint_scale: int = 1,
    ) -> None:
        super().__init__()
        self.plan = plan(
            width, size, head, audio_width=audio_width, ear=ear, layout_name=layout_name, paint_scale=paint_scale
        )
        self.paint_scale = paint_scale
        self.width, self.size, self.head, self.ear, self.layout_name = width, size, head, ear, layout_name
        self.audio_width = width if audio_width is None else audio_width
        self.code_channels = self.plan.code_channels
        self._whole = Region(0, size, 0, size)
        self.face_encoder_blocks = nn.ModuleList(map(modules, self.plan.encoder))
        ears = [each.layers for each in self.plan.ears]
        self.audio_encoder = modules(*ears) if len(ears) == 1 else CombinedEncoder(*ears)
        self.face_decoder_blocks = nn.ModuleList(map(modules, self.plan.decoder))
        first, last = map(module, self.plan.output)
        self.output_block = nn.Sequential(first, last, *([nn.Sigmoid()] if head == "paint" else []))
        if self.plan.fine:
            self.fine_paint = FinePaint(self.plan.fine)
        if head == "copy":  # start as a copy of the reference: no flow, little paint
            nn.init.normal_(cast("Tensor", last.weight), std=0.01)
            with torch.no_grad():
                cast("Tensor", last.bias).copy_(torch.tensor([0.0, 0.0, -2.0, 0.0, 0.0, 0.0]))

    def encode_face(self, face: Tensor, region: Region | None = None) -> list[Tensor]:
        """Return the face encoder's output at every scale.

        Args:
            face: ``[B, 6, size, size]`` in 0..1, BGR: the target with its lower half zeroed, then the reference.
            region: Part of the face that will be drawn; ``None`` for all.

        Returns:
            A tensor of each block, shallowest first: the window of each that the region depends on.
        """
        features = []
        for block, window in zip(
            self.face_encoder_blocks, feature_windows(self.plan, region or self._whole), strict=True
        ):
            face = block(face)
            features.append(_cut(face, window))
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
            features: From :meth:`encode_face`, for the same region, as in all that draws.
            reference: ``[B, 3, size, size]`` in 0..1; only the copying head reads it.
            region: Part of the face to compute; ``None`` for all.

        Returns:
            ``[B, 3, h, w]`` in 0..1, the region.
        """
        region = region or self._whole
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
        output = self._output(code, features, region or self._whole)
        return _fields(output)

    def draw_fine_fields(
        self, code: Tensor, features: list[Tensor], region: Region, window: Region | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the fields of a network with fine paint.

        Args:
            code: ``[B, C, 1, 1]``, output of the audio encoder.
            region: Part of the face to compute, with even edges.
            window: Part of the region that the fine layers correct, with even edges; ``None`` for all of it.

        Returns:
            What :meth:`draw_fields` returns, and ``float32[B, 4, 2 h, 2 w]``: mask, blue, green and red, 0..1.
        """
        below, last, output = self.fine_inputs(code, features, region)
        inner = within(window or region, region)
        half = Region(*(edge // 2 for edge in inner))
        added = self.fine_paint.correction(_cut(below, half), _cut(last, inner), _cut(output, inner))
        margins = (inner.left, region.width - inner.right, inner.top, region.height - inner.bottom)
        painted = enlarged(output) + functional.pad(added, [2 * margin for margin in margins])
        painted = painted.flatten(2).float()
        return _fields(output), torch.sigmoid(painted).view(-1, 4, 2 * region.height, 2 * region.width)

    def fine_inputs(self, code: Tensor, features: list[Tensor], region: Region) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the fine layers read for a region with even edges: that alone, without what is around."""
        joined, windows = self._joined(code, features, region)
        half = Region(*(edge // 2 for edge in region))
        below, last = (
            _cut(x, part, top=window[-1].top, left=window[-1].left)
            for x, part, window in zip(joined[-2:], (half, region), windows[-2:], strict=True)
        )
        return below, last, self._head(joined[-1], windows[-1][-1], region)

    def _output(self, code: Tensor, features: list[Tensor], region: Region) -> Tensor:
        joined, windows = self._joined(code, features, region)
        return self._head(joined[-1], windows[-1][-1], region)

    def _head(self, joined: Tensor, window: Region, region: Region) -> Tensor:
        last, *rest = self.output_block
        output: Tensor = nn.Sequential(*rest)(last(joined, edges(window, region)))
        return output

    def _joined(self, code: Tensor, features: list[Tensor], region: Region) -> tuple[list[Tensor], list[list[Region]]]:
        """Return what each decoder block gives with the encoder's features, and the windows that its layers compute."""
        x, joined, all_windows = code, [], decoder_windows(self.plan, region)
        blocks = zip(self.plan.decoder, self.face_decoder_blocks, reversed(features), all_windows, strict=True)
        for chain, block, feature, windows in blocks:
            first, *others = cast("nn.Sequential", block)
            x = first(x)
            top, left = window_origin(chain[0], windows[0])
            x = _cut(x, windows[0], top=top, left=left)
            for layer, (source, result) in zip(others, itertools.pairwise(windows), strict=True):
                x = layer(x, edges(source, result))
            x = torch.cat((x, feature), dim=1)
            joined.append(x)
        return joined, all_windows

    def forward(self, mel: Tensor, face: Tensor) -> Tensor:
        """Return ``[B, 3, size, size]`` from ``mel [B, 1, 80, 16]`` and ``face [B, 6, size, size]``."""
        return self.decode(mel, self.encode_face(face), face[:, 3:])


def _fields(output: Tensor) -> Tensor:
    raw = output.flatten(2).float()
    return torch.cat((torch.tanh(raw[:, :2]), torch.sigmoid(raw[:, 2:])), dim=1).view(-1, 6, *output.shape[2:])


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
