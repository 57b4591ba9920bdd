"""Weights of the shapes of S3FD and FAN that read a face's place off the colours of a picture.

The package's own networks run, with all their layers, on weights worked out by hand: a blue dot is a face of
:data:`FACE_SIZE` about the dot's cell of 32 px, and a landmark is where red and green say so. So boxes and landmarks
are known beforehand, and no weights have to be fetched.
"""

import math
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch

WIDTH, HEIGHT = 352, 384
FACE_SIZE = 151, 191
DOT_CELL = 5, 5
"""Column and row of the cell with the dot, cells of 32 px."""
_STEP = 0.55
"""Steps of 255 by which red grows with each column, and green with each row."""
_DARK, _BLUE = 20, 100
_BLUE_MEAN = 104
"""What S3FD subtracts from blue."""
_SHARP = 20.0


def face_box() -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the face, cut off to whole numbers as published."""
    x, y = (32 * cell + 16 for cell in DOT_CELL)
    width, height = FACE_SIZE
    return int(x - width / 2), int(y - height / 2), int(x + width / 2), int(y + height / 2)


def picture() -> np.ndarray:
    """``uint8[HEIGHT, WIDTH, 3]``, BGR."""
    drawn = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    drawn[..., 0] = _BLUE
    drawn[..., 1] = np.rint(_DARK + _STEP * np.arange(HEIGHT))[:, None]
    drawn[..., 2] = np.rint(_DARK + _STEP * np.arange(WIDTH))[None, :]
    x, y = (32 * cell + 16 for cell in DOT_CELL)
    drawn[y - 3 : y + 3, x - 3 : x + 3, 0] = 255
    return drawn


def write_stand_ins(folder: Path, points: np.ndarray) -> None:
    """Write both files under the names that the installed package looks for.

    Args:
        folder: The package's cache folder, ``$TORCH_HOME/hub/checkpoints``.
        points: ``float[68, 2]``, px of the picture.
    """
    import face_alignment  # type: ignore[import-not-found] # noqa: PLC0415 (in an environment of its own)
    from face_alignment.detection.sfd import sfd_detector  # type: ignore[import-not-found] # noqa: PLC0415
    from face_alignment.models import FAN  # type: ignore[import-not-found] # noqa: PLC0415

    folder.mkdir(parents=True)
    urls = sfd_detector.models_urls["s3fd"], face_alignment.api.models_urls["2DFAN-4"]
    for url, state in zip(urls, (_s3fd(sfd_detector.s3fd()), _fan(FAN(4), points)), strict=True):
        torch.save(state, folder / PurePosixPath(url).name)


def _blank(network: torch.nn.Module) -> dict[str, Any]:
    """The network's tensors: nothing passes a convolution, everything a batch norm."""
    state = network.state_dict()
    for module_name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            for name, _ in module.named_parameters():
                state[f"{module_name}.{name}"].zero_()
    return state


def _s3fd(network: torch.nn.Module) -> dict[str, Any]:
    state = _blank(network)
    state["conv1_1.weight"][0, 0, 1, 1] = 1 / (255 - _BLUE_MEAN)  # 1 in the dot, below 0 elsewhere
    blocks = {1: 2, 2: 2, 3: 3, 4: 3, 5: 3}
    for name in [f"conv{block}_{n}" for block, count in blocks.items() for n in range(1, count + 1)][1:]:
        state[f"{name}.weight"][0, 0, 1, 1] = 1
    state["fc6.weight"][0, 0, 2, 2] = 1  # padded by 3: its map begins one cell before the picture
    state["fc7.weight"][0, 0, 0, 0] = 1
    state["fc7_mbox_conf.weight"][1, 0, 1, 1] = 20
    for level in ("conv3_3_norm", "conv4_3_norm", "conv5_3_norm", "fc7", "conv6_2", "conv7_2"):
        state[f"{level}_mbox_conf.bias"][-1] = -10  # no face
    anchor = 128
    shift = -32 / anchor / 0.1
    width, height = (math.log(side / anchor) / 0.2 for side in FACE_SIZE)
    state["fc7_mbox_loc.bias"][:] = torch.tensor([shift, shift, width, height])
    return state


def _fan(network: torch.nn.Module, points: np.ndarray) -> dict[str, Any]:
    """Red and green pass to the last hourglass, and each heat map falls with their distance from a landmark's own."""
    state = _blank(network)
    for channel in (0, 1):
        state["conv1.weight"][channel, channel, 3, 3] = 1
        for block in ("conv2", "conv4"):  # elsewhere blocks pass their input on beside their convolutions
            state[f"{block}.downsample.2.weight"][channel, channel, 0, 0] = 1
        for number in range(4):  # the coarse half of an hourglass: x - x
            state[f"m{number}.b2_4.conv1.weight"][channel, channel, 1, 1] = -1
    wanted = torch.from_numpy((_DARK + _STEP * points.astype(np.float32)) / 255)
    for axis in (0, 1):
        units = slice(68 * axis, 68 * (axis + 1))
        state["conv_last3.weight"][units, axis, 0, 0] = 1
        state["conv_last3.bias"][units] = -wanted[:, axis]
        state["conv_last3.weight"][136 + axis, axis, 0, 0] = 1
        maps = torch.arange(68)
        state["l3.weight"][maps, maps + 68 * axis, 0, 0] = -2 * _SHARP  # -|x| = x - 2 relu(x)
        state["l3.weight"][maps, 136 + axis, 0, 0] = _SHARP
    state["l3.bias"][:] = 1 - _SHARP * wanted.sum(dim=1)
    return state
