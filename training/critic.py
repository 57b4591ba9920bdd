"""A critic of picture patches: it learns to tell predicted mouths from true ones, and the network to deceive it.

The distance to the truth alone is smallest for a blur wherever teeth might lie a pixel higher or lower. A critic
instead asks whether a patch looks like any true one, which a blur does not. After Isola et al., "Image-to-image
translation with conditional adversarial networks", CVPR 2017, with the hinge loss and spectral norms of Miyato et al.,
"Spectral normalization for generative adversarial networks", ICLR 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

WEIGHT = 0.08
"""Weight of the critic beside the distance to the truth, which prevails wherever the truth is certain."""
RATE = 5e-4
"""Largest step size of the critic."""


class Critic(nn.Module):
    """Rates how true each patch of 26 pixels looks, given the same place of the reference."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels_in, channels_out, kernel, stride in ((6, 32, 4, 2), (32, 64, 4, 2), (64, 128, 3, 1)):
            layers += [spectral_norm(nn.Conv2d(channels_in, channels_out, kernel, stride, 1)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(128, 1, 3, 1, 1)))

    def forward(self, pictures: Tensor, references: Tensor) -> Tensor:
        """Return ``[B, 1, h / 4, w / 4]``, positive for true, for pictures and references ``[B, 3, h, w]`` in 0..1."""
        words: Tensor = self.layers(torch.cat([pictures, references], dim=1) * 2 - 1)
        return words.float()


def misjudged(critic: Critic, drawn: Tensor, true: Tensor, references: Tensor) -> Tensor:
    """Return the critic's own loss.

    Args:
        drawn: Pictures of the network, ``[B, 3, h, w]``; no gradient reaches the network.
        true: True pictures, ``[B, 3, h, w]``.
        references: The same region of the references, ``[B, 3, h, w]``.
    """
    of_true, of_drawn = critic(torch.cat([true, drawn.detach()]), references.repeat(2, 1, 1, 1)).chunk(2)
    loss: Tensor = functional.relu(1 - of_true).mean() + functional.relu(1 + of_drawn).mean()
    return loss


def unmasked(critic: Critic, drawn: Tensor, references: Tensor) -> Tensor:
    """Return the network's loss: larger, the less the critic takes its pictures for true."""
    words: Tensor = critic(drawn, references)
    return -words.mean()
