"""Folds a torch network as `folded_weights` says."""

import copy

import torch
from torch import nn

from lipstream.realtime.lipsync.blocks import Conv2d, Conv2dTranspose
from lipstream.realtime.lipsync.folded_weights import fold_tensors
from lipstream.realtime.lipsync.network import Wav2Lip


@torch.no_grad()
def fold(network: Wav2Lip) -> Wav2Lip:
    """Return a folded copy of a network in eval mode. Its outputs are the same; its parameters are not."""
    tensors = {name: tensor.float().cpu().numpy() for name, tensor in network.state_dict().items()}
    convolutions = fold_tensors(network.plan, tensors)
    folded = copy.deepcopy(network)
    for name, block in list(folded.named_modules()):
        if isinstance(block, Conv2d | Conv2dTranspose):
            conv = block.conv_block[0]
            assert isinstance(conv, nn.Conv2d | nn.ConvTranspose2d)
            assert conv.bias is not None
            conv.weight.copy_(torch.from_numpy(convolutions[name].weight))
            conv.bias.copy_(torch.from_numpy(convolutions[name].bias))
            if isinstance(block, Conv2d):
                block.residual = False
            block.conv_block = nn.Sequential(conv)
    return folded
