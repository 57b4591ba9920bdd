"""The code between audio encoder and decoder: a mouth as numbers.

The audio encoder ends in 128 numbers that are never negative (its last ReLU). Here the first thirteen are the mouth's
actions, each in units of its spread in speech, and the others are zero. The decoder can therefore learn from the true
mouth of each picture, without speech, and the encoder from all speech, without pictures. A mouth between two others
has the code between theirs.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lipstream.realtime.errors import WeightsError
from lipstream.realtime.lipsync.mouth_code import SPREAD
from lipstream.realtime.lipsync.network import CombinedEncoder, Wav2Lip
from training.heads import SKIN, Floats, HeadSet
from training.visemes import MOUTH_ACTIONS, spread_actions

_LIPS = 0
_LIP_MASK = 128
_FIRMER = {"mouthFunnel": 1.4, "mouthPucker": 1.4, "mouthStretch": 1.4, "mouthSmile": 1.4}
"""Factors by which rounding and spreading of the lips are raised over the encoder's output.

In doubt the encoder predicts too small a value, and the decoder draws less than the code says. The factors were chosen
on sentences that the model card's table does not use: the mouths' error does not grow, and their width follows better.
"""


def encoder_of(network: Wav2Lip, ear: str) -> nn.Sequential:
    """Return one of the two audio encoders of a network that has both: ``published`` or ``sliding``.

    Raises:
        WeightsError: If the network has only one.
    """
    if not isinstance(network.audio_encoder, CombinedEncoder):
        raise WeightsError(f"the weights have the {network.ear} audio encoder alone; here both are taught")
    return network.audio_encoder.sliding if ear == "sliding" else network.audio_encoder.published


def code_channels(network: Wav2Lip) -> int:
    """Return the number of channels of the network's audio code."""
    return [module for module in network.audio_encoder.modules() if isinstance(module, nn.Conv2d)][-1].out_channels


def mouth_to_code(mouths: Tensor, channels: int) -> Tensor:
    """Return the codes ``[..., channels]`` of mouths ``[..., 13]``."""
    return functional.pad(mouths / mouths.new_tensor(SPREAD), (0, channels - len(MOUTH_ACTIONS)))


def code_to_mouth(code: Tensor) -> Tensor:
    """Return the mouths ``[..., 13]`` of codes ``[..., C]``."""
    return code[..., : len(MOUTH_ACTIONS)].float() * code.new_tensor(SPREAD, dtype=torch.float32)


def lip_motion(heads: HeadSet) -> Floats:
    """Return ``float32[13, 13]`` M such that ``|error @ M|`` is the lips' root mean square error in millimetres.

    Action strengths do not measure what is visible: a tenth of ``jawOpen`` moves the lips further than a tenth of
    ``mouthSmile``. M is the square root of the Gram matrix of the lip vertices' displacements, after the lip vertex
    error of Richard et al., "MeshTalk", ICCV 2021.
    """
    size = len(heads.texture)
    column, row = (np.clip(heads.uv * (1, -1) + (0, 1), 0, 1) * (size - 1)).astype(int).T
    lips = (heads.parts == SKIN) & (heads.texture[row, column, _LIPS] > _LIP_MASK)
    table = spread_actions(np.eye(len(MOUTH_ACTIONS), dtype=np.float32), heads.action_names)
    moved = 1000 * np.tensordot(table, heads.actions[:, lips], 1)
    gram = np.tensordot(moved, moved, ([1, 2], [1, 2])) / lips.sum()
    values, vectors = np.linalg.eigh(gram)
    root: Floats = ((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T).astype(np.float32)
    return root


@torch.no_grad()
def say_firmly(encoder: nn.Module, *, undo: bool = False) -> None:
    """Scale the code's numbers named in `_FIRMER`, in the last norm, since only a ReLU follows it.

    Args:
        undo: Whether to scale back, for an encoder that is trained further.
    """
    norm = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)][-1]
    for name, factor in _FIRMER.items():
        for values in (norm.weight, norm.bias):
            values[MOUTH_ACTIONS.index(name)] *= 1 / factor if undo else factor
