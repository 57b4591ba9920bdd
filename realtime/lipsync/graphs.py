"""The network as graphs: one encodes a face, once; others draw a mouth each frame, as pixels or as fields.

The mouth is drawn from a mel window, or from the code of one, which a third graph gives: between them the code may be
changed (`lipstream.realtime.lipsync.mouth_code`). Faces and mouths take and return whole numbers, so that back ends
also compile the scaling, cropping and rounding.
"""

import torch
from torch import Tensor, nn

from lipstream.realtime.lipsync.fields import FLOW_STEPS, PAINT_STEPS
from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.lipsync.network import Wav2Lip
from lipstream.realtime.timeline import MEL_BANDS, WINDOW_COLUMNS


def _to_unit(crops: Tensor, like: Tensor) -> Tensor:
    return crops.permute(0, 3, 1, 2).to(like.dtype) / 255


class FaceGraph(nn.Module):
    """``uint8[N, size, size, 3]`` crops -> what the region depends on of the feature levels, ``float16``."""

    def __init__(self, network: Wav2Lip, region: Region) -> None:
        super().__init__()
        self.network = network
        self.region = region

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        """Encode ``crops`` twice: as the target with its lower half zeroed, and as the reference."""
        reference = _to_unit(crops, next(self.network.parameters()))
        half = self.network.size // 2
        upper = torch.cat((reference[:, :, :half], torch.zeros_like(reference[:, :, half:])), dim=2)
        face = torch.cat((upper, reference), dim=1)
        return tuple(level.to(torch.float16) for level in self.network.encode_face(face, self.region))


class SpeechGraph(nn.Module):
    """``float32[B, 80, 16]`` mel windows -> codes, ``float32[B, C]``."""

    def __init__(self, network: Wav2Lip) -> None:
        super().__init__()
        self.network = network

    def forward(self, mel: Tensor) -> Tensor:
        """Encode the windows."""
        code: Tensor = self.network.audio_encoder(mel[:, None].to(next(self.network.parameters()).dtype))
        return code.flatten(1).float()


class MouthGraph(nn.Module):
    """Mel windows or codes, crops and feature levels -> ``uint8[B, h, w, 3]``, the decoded region.

    Args:
        of_codes: Whether the first input is codes, ``float32[B, C]``; default: mel windows, ``float32[B, 80, 16]``.
    """

    def __init__(self, network: Wav2Lip, region: Region, *, of_codes: bool = False) -> None:
        super().__init__()
        self.network = network
        self.region = region
        self.of_codes = of_codes
        self.heard_shape = (network.code_channels,) if of_codes else (MEL_BANDS, WINDOW_COLUMNS)

    def forward(self, heard: Tensor, crops: Tensor, *levels: Tensor) -> Tensor:
        """Predict the mouths for what was heard in the faces given by ``crops`` and ``levels``."""
        weight = next(self.network.parameters())
        features = [level.to(weight.dtype) for level in levels]
        heard = heard.to(weight.dtype)
        code = heard[:, :, None, None] if self.of_codes else self.network.audio_encoder(heard[:, None])
        return _in_bytes(self.network.draw(code, features, _to_unit(crops, weight), self.region))


class FieldGraph(nn.Module):
    """Mel windows or codes, crops and feature levels -> the fields of a copying head.

    They are ``int16[B, h, w, 4]``, or ``int16[B, h, w, 10]`` with fine paint. Seen as bytes, the result has the layout
    of `lipstream.realtime.lipsync.fields`. The crops are not read: the inputs are those of :class:`MouthGraph`.

    Args:
        of_codes: As for :class:`MouthGraph`.
        window: Part of the region that fine layers correct; ``None`` for all of it.
    """

    def __init__(
        self,
        network: Wav2Lip,
        region: Region,
        *,
        of_codes: bool = False,
        window: Region | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.region = region
        self.of_codes = of_codes
        self.heard_shape = (network.code_channels,) if of_codes else (MEL_BANDS, WINDOW_COLUMNS)
        self._window = window

    def forward(self, heard: Tensor, crops: Tensor, *levels: Tensor) -> Tensor:  # noqa: ARG002 (as MouthGraph)
        """Predict the fields for what was heard in the faces given by ``levels``."""
        weight = next(self.network.parameters())
        heard = heard.to(weight.dtype)
        code = heard[:, :, None, None] if self.of_codes else self.network.audio_encoder(heard[:, None])
        features = [level.to(weight.dtype) for level in levels]
        if self.network.paint_scale == 1:
            fields = self.network.draw_fields(code, features, self.region)
            return _packed(fields[:, :2], fields[:, 2:])
        fields, fine = self.network.draw_fine_fields(code, features, self.region, self._window)
        return _packed(fields[:, :2], fine)


def _in_bytes(face: Tensor) -> Tensor:
    mouth = face.permute(0, 2, 3, 1).float()
    return (mouth * 255 + 0.5).clamp(0, 255).to(torch.uint8)  # + 0.5, then truncation: rounds


def _packed(flow: Tensor, cover: Tensor) -> Tensor:
    """Return flow x and y, then of each pixel or quarter mask with blue and green with red, the first in the low byte.

    Args:
        flow: ``float32[B, 2, h, w]``, -1..1.
        cover: ``float32[B, 4, h, w]`` or ``float32[B, 4, 2 h, 2 w]``: mask, blue, green and red, 0..1.

    Returns:
        ``int16[B, h, w, 4]`` or ``int16[B, h, w, 10]``.
    """
    batch, _, height, width = flow.shape
    mask, colour = cover[:, :1], cover[:, 1:]
    paint = torch.floor(torch.cat((mask, colour * mask), dim=1) * PAINT_STEPS + 0.5)
    pairs = paint[:, 0::2] + 256 * paint[:, 1::2]
    signed = pairs - 65536 * (pairs > 32767).float()
    scale = cover.shape[2] // height
    quarters = signed.view(batch, 2, height, scale, width, scale).permute(0, 2, 4, 3, 5, 1)
    steps = torch.floor(flow * FLOW_STEPS + 0.5).permute(0, 2, 3, 1)
    return torch.cat((steps, quarters.reshape(batch, height, width, -1)), dim=3).to(torch.int16)
