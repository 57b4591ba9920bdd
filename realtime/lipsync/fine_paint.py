"""Layers that paint the inside of a mouth at twice the size of the crop.

Lips and skin come from the picture itself, moved by a smooth flow, so the crop's size suffices for them. Teeth, tongue
and the dark between them are painted, and so is the edge between them and the lips: what is painted cannot be sharper
than its pixels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipstream.realtime.lipsync.blocks import module, modules
from lipstream.realtime.lipsync.layers import FLOW, FineLayers


class FinePaint(nn.Module):
    """Mask and colour at twice the crop's size, from the decoder's last two maps and what its head made of them.

    The result is the head's own mask and colour, enlarged, plus a correction, which is 0 in a fresh module.

    Args:
        layers: Sizes of the convolutions, from the weights' plan.
    """

    def __init__(self, layers: FineLayers) -> None:
        super().__init__()
        self.rise = module(layers.rise)
        self.join, self.refine = modules(layers.join), modules(layers.refine)
        self.correct = nn.Conv2d(layers.correct.channels_in, layers.correct.channels_out, layers.correct.kernel)
        nn.init.zeros_(self.correct.weight)
        assert self.correct.bias is not None
        nn.init.zeros_(self.correct.bias)

    def forward(self, below: Tensor, last: Tensor, output: Tensor) -> Tensor:
        """Return mask and colour before their sigmoid, ``[B, 4, 2 h, 2 w]``, of the arguments of :meth:`correction`."""
        return enlarged(output) + self.correction(below, last, output)

    def correction(self, below: Tensor, last: Tensor, output: Tensor) -> Tensor:
        """Return what is added to the enlarged mask and colour, ``[B, 4, 2 h, 2 w]``.

        Args:
            below: ``[B, below, h / 2, w / 2]``, the region in the decoder's last map but one.
            last: ``[B, last, h, w]``, the region in its last map.
            output: ``[B, 6, h, w]``, the copying head's output: flow, mask and colour before their functions.
        """
        x = self.join(torch.cat((self.rise(below), last, output), dim=1))
        added: Tensor = self.correct(self.refine(x))
        return added


def enlarged(output: Tensor) -> Tensor:
    """Return mask and colour of a head's output ``[B, 6, h, w]`` at twice their size, ``[B, 4, 2 h, 2 w]``."""
    return functional.interpolate(output[:, FLOW:], scale_factor=2.0, mode="bilinear", align_corners=False)
