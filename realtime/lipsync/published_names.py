"""What a map of names to tensors is, told by names and shapes: a network of the family, or what it is instead."""

import re
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from lipstream.realtime.lipsync.layouts import LayoutName

FIRST = "face_encoder_blocks.0.0.conv_block.0.weight"
"""A tensor that every network of the family has."""

_SLOPE = "face_encoder_blocks.0.0.act.weight"
_LARGEST = 1024
"""Side of a face crop, px."""
_INSTEAD = (
    ("binary_pred.", "the discriminator of picture quality that trains Wav2Lip, not the generator"),
    ("sam.", "a fork with attention over each skip connection (SAM), which is not supported"),
    ("audio_refine.", "a fork that refines the sound's code, whose activations do not stand in the file"),
    ("face_encoder.", "the sync expert (SyncNet) that trains Wav2Lip, not the generator"),
    ("conv3_3_norm.", "the face detector S3FD, not a lip sync network"),
    ("stylegan_decoder.", "the face restorer GFPGAN, not a lip sync network"),
    ("quantize.embedding.", "the face restorer CodeFormer, not a lip sync network"),
    ("down_blocks.", "a diffusion network, as MuseTalk's, not a Wav2Lip generator"),
    ("audio_model.", "another lip sync network, as Ultralight's, not a Wav2Lip generator"),
)


class Shaped(Protocol):
    """What has a shape: a tensor, or where one is stored."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""


class Found(NamedTuple):
    """A network of the family.

    Attributes:
        prefix: Text in front of each of its names, such as ``module.``.
        size: Side of the face crop, px.
        width: Factor on its channels, 1.0 as published.
    """

    prefix: str
    layout: LayoutName
    size: int
    width: float


def find_network(tensors: Mapping[str, Shaped]) -> Found:
    """Return which network of the family a map of tensors is; whether all of them fit is seen when they are loaded.

    Raises:
        ValueError: Saying what it is instead, as far as that is known.
    """
    first = next((name for name in tensors if name.endswith(FIRST)), None)
    prefix = first.removesuffix(FIRST) if first else ""
    names = {name.removeprefix(prefix): tensor.shape for name, tensor in tensors.items() if name.startswith(prefix)}
    for start, meaning in _INSTEAD:
        if any(name.removeprefix("module.").startswith(start) for name in names):
            raise ValueError(f"is {meaning}")
    if first is None:
        raise ValueError(f"has no tensor {FIRST}: it is no Wav2Lip generator")
    blocks = {int(m[1]) for name in names if (m := re.match(r"face_encoder_blocks\.(\d{1,3})\.", name))}
    last = max(blocks)
    bottom = names.get(f"face_encoder_blocks.{last}.0.conv_block.0.weight", ())
    layout = _layout(names, last)
    if layout is not None and len(bottom) != 4:
        raise ValueError(f"has no kernel face_encoder_blocks.{last}.0.conv_block.0.weight of four dimensions")
    if layout is None:
        slopes = " and PReLU" if _SLOPE in names else ""
        raise ValueError(f"is a fork of Wav2Lip with {len(blocks)} face encoder blocks{slopes}, which is not supported")
    step = {"published": 32, "tall": 64}.get(layout)
    if step and not 3 <= bottom[-1] <= _LARGEST // step:
        raise ValueError(f"has a kernel of {bottom[-1]} in face_encoder_blocks.{last}.0, expected 3 or more")
    return Found(prefix, layout, step * bottom[-1] if step else 288, bottom[0] / 512)


def _layout(names: Mapping[str, tuple[int, ...]], last: int) -> LayoutName | None:
    slopes = _SLOPE in names
    if last == 8 and tuple(names.get("face_encoder_blocks.7.1.conv_block.0.weight", ()))[2:] == (1, 1):
        return "odd-prelu" if slopes else "odd"
    if slopes or last not in (6, 7):
        return None
    return "published" if last == 6 else "tall"
