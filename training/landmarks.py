"""Fits the landmark network of ``avatar_cache`` to rendered heads before photographs and noise.

The network reads a crop of 64 px and returns the 68 points, the uncertainty of each, and the probability of a face. It
is a chain of convolutions and two full layers, so that the safetensors file alone describes it.
"""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from training.landmark_crops import CROP, CropMaker, Picture, load_backgrounds

POINTS = 68
_CONVOLUTIONS = ((32, 3, 2), (48, 3, 2), (64, 3, 1), (96, 3, 2), (96, 3, 1), (128, 3, 2), (128, 3, 1))
"""Output channels, kernel, stride."""
_HIDDEN = 256
_BATCH = 64


def build_network() -> nn.Sequential:
    """Return the network: ``float32[B, 3, 64, 64]`` (-1..1, BGR) -> ``[B, 205]``.

    136 coordinates (-1..1 over the crop, x before y), 68 logarithms of their likely error, one logit of a face.
    """
    layers: list[nn.Module] = []
    channels = 3
    for out, kernel, stride in _CONVOLUTIONS:
        layers += [nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
        channels = out
    side = CROP // 16
    layers += [nn.Flatten(), nn.Linear(channels * side * side, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, POINTS * 3 + 1)]
    return nn.Sequential(*layers)


class _Crops(torch.utils.data.IterableDataset[tuple[Tensor, Tensor, Tensor]]):
    def __init__(self, maker: CropMaker, seed: int) -> None:
        self._maker, self._seed = maker, seed

    def __iter__(self) -> Any:
        worker = torch.utils.data.get_worker_info()
        cv2.setNumThreads(0)
        rng = np.random.default_rng([self._seed, worker.id if worker else 0])
        while True:
            made = [self._maker.draw(rng) for _ in range(_BATCH)]
            crops, points, faces = (np.stack(part) for part in zip(*made, strict=True))
            yield to_input(crops), torch.from_numpy(points.reshape(_BATCH, -1)), torch.from_numpy(faces).float()


def to_input(crops: Picture) -> Tensor:
    """Return ``uint8[B, 64, 64, 3]`` crops as the network's input."""
    return torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 127.5 - 1


def loss_of(output: Tensor, points: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss, and the mean error of the points in crops with a face, as a share of half the crop.

    The points' error is Laplacian with a scale that the network predicts, so that hidden points may be uncertain.
    """
    error = (output[:, : POINTS * 2] - points).abs().view(-1, POINTS, 2).sum(dim=2)
    scale = output[:, POINTS * 2 : POINTS * 3].clamp(-5, 1)
    likelihood = ((error * (-scale).exp() + 2 * scale).mean(dim=1) * faces).sum() / faces.sum().clamp(min=1)
    present = nn.functional.binary_cross_entropy_with_logits(output[:, -1], faces)
    mean = (error.mean(dim=1) * faces).sum() / faces.sum().clamp(min=1) / 2
    return likelihood + 5 * mean + present, mean


def fit_landmarks(folder: Path, *, steps: int, seed: int, rate: float = 3e-3, progress: Any = print) -> None:
    """Train on the folder's ``points-*.npz`` and write ``landmarks.safetensors`` beside them.

    The training resumes from ``landmarks.pt`` if it exists.
    """
    torch.manual_seed(seed)
    shards = []
    for path in sorted(folder.glob("points-????.npz")):
        with np.load(path) as shard:
            shards.append((shard["image"], shard["points"]))
    images, points = (np.concatenate(part) for part in zip(*shards, strict=True))
    progress(f"{len(images)} pictures")
    maker = CropMaker(images, points, load_backgrounds())
    loader = iter(torch.utils.data.DataLoader(_Crops(maker, seed), batch_size=None, num_workers=1, prefetch_factor=8))
    network = build_network().to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stub lacks it
    checkpoint = folder / "landmarks.pt"
    if checkpoint.exists():
        network.load_state_dict(torch.load(checkpoint, weights_only=True))
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.02)
    errors: list[float] = []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * min((step + 1) / 100, 1.0) * max(0.5 * (1 + math.cos(math.pi * step / steps)), 0.01)
        crops, truth, faces = next(loader)
        with torch.autocast("cpu", torch.bfloat16):
            output = network(crops.to(memory_format=torch.channels_last))
        loss, error = loss_of(output.float(), truth, faces)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call] # torch's stub
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        errors.append(error.item())
        if (step + 1) % 100 == 0 or step + 1 == steps:
            progress(f"{step + 1} steps: loss {loss.item():.3f}, error {np.mean(errors[-100:]):.4f}")
            torch.save(network.state_dict(), checkpoint)
            export_landmarks(network, folder / "landmarks.safetensors")


def export_landmarks(network: nn.Sequential, path: Path) -> None:
    """Write the network with batch norm folded in: half-precision weights and the strides."""
    network = copy.deepcopy(network).eval()
    state: dict[str, Tensor] = {}
    layers = list(network)
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    norms = [layer for layer in layers if isinstance(layer, nn.BatchNorm2d)]
    for number, (convolution, norm) in enumerate(zip(convolutions, norms, strict=True)):
        fused = nn.utils.fuse_conv_bn_eval(convolution, norm)
        assert fused.bias is not None
        state |= {f"conv{number}.weight": fused.weight, f"conv{number}.bias": fused.bias}
    for number, layer in enumerate(layer for layer in layers if isinstance(layer, nn.Linear)):
        state |= {f"full{number}.weight": layer.weight, f"full{number}.bias": layer.bias}
    metadata = {
        "format": "lipstream-landmarks-1",
        "size": str(CROP),
        "strides": json.dumps([stride for _, _, stride in _CONVOLUTIONS]),
        "licence": "Apache-2.0",
    }
    save_file({key: value.detach().half().contiguous() for key, value in state.items()}, str(path), metadata=metadata)
