"""Folds batch norms and residual additions into the weights of the convolutions, once before inference.

At inference a batch norm is a factor and an offset per channel, and the addition of a convolution's input equals a 1
in the middle of its kernel: ``relu(norm(conv(x)) + x)`` becomes ``relu(conv'(x))``. Each addition left in a graph
would read and write a whole feature map.
"""

import copy

import torch
from torch import Tensor, nn

from lipstream.realtime.lipsync.network import Conv2d, Conv2dTranspose, Wav2Lip


def fold(network: Wav2Lip) -> Wav2Lip:
    """Return a folded copy of a network in eval mode. Its outputs are the same; its parameters are not."""
    folded = copy.deepcopy(network)
    for block in list(folded.modules()):
        if isinstance(block, Conv2d | Conv2dTranspose):
            conv, norm = block.conv_block[0], block.conv_block[1]
            assert isinstance(conv, nn.Conv2d | nn.ConvTranspose2d)
            assert isinstance(norm, nn.BatchNorm2d)
            _fold_norm(conv, norm)
            if isinstance(block, Conv2d) and block.residual:
                _fold_input(conv)
                block.residual = False
            block.conv_block = nn.Sequential(conv)
    return folded


@torch.no_grad()
def _fold_norm(conv: nn.Conv2d | nn.ConvTranspose2d, norm: nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert conv.bias is not None
    factor = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    bias = (conv.bias.double() - norm.running_mean.double()) * factor + norm.bias.double()
    channels_out = 1 if isinstance(conv, nn.ConvTranspose2d) else 0
    weight = conv.weight.double() * _along(factor, channels_out)
    conv.weight.copy_(weight)
    conv.bias.copy_(bias)


def _along(values: Tensor, axis: int) -> Tensor:
    return values.view([-1 if at == axis else 1 for at in range(4)])


@torch.no_grad()
def _fold_input(conv: nn.Conv2d | nn.ConvTranspose2d) -> None:
    rows, columns = conv.weight.shape[2:]
    channels = torch.arange(conv.weight.shape[0])
    conv.weight[channels, channels, rows // 2, columns // 2] += 1
