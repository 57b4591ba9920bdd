"""Fits the network to training pairs."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed
from torch.nn import functional

from realtime.lipsync.network import Wav2Lip, copy_and_paint
from training.dataset import CROP
from training.listen import Reader, draw_windows, listen
from training.pairs import Batch, Pictures, Sound, draw_batch

REGION = (CROP // 2, CROP, 0, CROP)
WIDTH = 0.25
_HALO_ROWS = 4
_CHANGE_WEIGHT = 16.0
_MOUTH_INSIDE_BGR = (0.13, 0.12, 0.24)
_HEARD_A_STEP = 24
_READING_WEIGHT = 0.03
_STEPS_APART = 8  # between meetings of peers


def last_layer(network: Wav2Lip) -> torch.nn.Conv2d:
    """Return the convolution that gives flow, mask and colour."""
    return [module for module in network.output_block.modules() if isinstance(module, torch.nn.Conv2d)][-1]


def mouth_weights() -> Tensor:
    """Return how much each pixel of the decoded region counts, ``[1, 1, 48, 96]``, mean about 1."""
    rows, columns = torch.linspace(0, 1, CROP // 2)[:, None], torch.linspace(-1, 1, CROP)[None]
    hill = torch.exp(-((columns / 0.42) ** 2) - ((rows - 0.42) / 0.36) ** 2)
    weights = 0.25 + 3.0 * hill
    return (weights / weights.mean())[None, None]


def lower_half(network: Wav2Lip, mel: Tensor, face: Tensor) -> Tensor:
    """Return what ``network(mel, face)`` does, right in the lower half alone, for two thirds of the time.

    The last two decoder stages, which hold half of the arithmetic, leave out the rows above it but for
    the halo that their kernels reach over.
    """
    features = network.encode_face(face)
    x = network.audio_encoder(mel)
    for number, (block, feature) in enumerate(zip(network.face_decoder_blocks, reversed(features), strict=True)):
        x = block(x)
        cut = feature.shape[2] - x.shape[2]
        x = torch.cat((x, feature[:, :, cut:]), dim=1)
        if number in (4, 5):
            x = x[:, :, x.shape[2] - feature.shape[2] // 2 - _HALO_ROWS :]
    output = network.output_block(x)
    return copy_and_paint(functional.pad(output, (0, 0, face.shape[2] - output.shape[2], 0)), face[:, 3:])


def loss_of(output: Tensor, batch: Batch, weights: Tensor) -> Tensor:
    """Return weighted L1 on the decoded region plus L1 of its slopes, which keeps borders crisp.

    Pixels in which target and reference differ count more: else the few that show an open mouth are
    outvoted by the skin around them, which is right as soon as it is copied.
    """
    top, bottom, left, right = REGION
    found = output.float()[:, :, top:bottom, left:right]
    wanted = batch.target[:, :, top:bottom, left:right]
    reference = batch.face[:, 3:, top:bottom, left:right]
    weights = weights + _CHANGE_WEIGHT * (wanted - reference).abs().mean(dim=1, keepdim=True)
    loss = (weights * (found - wanted).abs()).mean()
    for axis in (2, 3):
        slope = (found.diff(dim=axis) - wanted.diff(dim=axis)).abs()
        loss = loss + 0.5 * (weights.narrow(axis, 0, slope.shape[axis]) * slope).mean()
    return loss


def fit(
    folder: Path,
    checkpoint: Path,
    *,
    minutes: float,
    listen_minutes: float = 3.0,
    batch_size: int = 32,
    rate: float = 1.5e-3,
    seed: int = 0,
    save_every_s: float = 150.0,
    progress: Any = print,
) -> None:
    """Train until the time is up, that of earlier calls counted in; resume from the checkpoint if there is one.

    Args:
        folder: Dataset: ``speech.npz`` and ``faces-*.npz``.
        checkpoint: Written now and then and at the end.
        minutes: How long in all; the step size falls along a cosine until then.
        listen_minutes: How long before that the audio encoder alone learns, see `training.listen`.
        batch_size: Pairs a step.
        rate: Largest step size.
        seed: Decides the order of things.
        save_every_s: Seconds between checkpoints.
        progress: Told a line now and then.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    peers = join_peers()
    first = peers == 1 or distributed.get_rank() == 0
    torch.manual_seed(seed)
    sound, pictures = Sound(folder / "speech.npz"), Pictures(folder, "faces")
    run = Run.start(checkpoint, device, rate, sound)
    if run.step == 0 and listen_minutes > 0:
        if first:
            listen(run.network, run.reader, sound, minutes=listen_minutes, seed=seed, progress=progress)
        if peers > 1:
            run.share()
        run.average.load_state_dict(run.network.state_dict())
    rng = np.random.default_rng([seed, run.step, 0 if first else distributed.get_rank()])
    weights = mouth_weights().to(device)
    before, started = run.seconds, time.monotonic()
    saved = started
    shown: list[float] = []
    progress(f"{len(pictures.images)} scenes, from step {run.step}, on {device}")
    going = True
    while going:
        done = run.seconds / (minutes * 60)
        for group in run.optimizer.param_groups:
            group["lr"] = (
                rate * group["pace"] * min(1.0, (run.step + 1) / 200) * (0.01 + 0.495 * (1 + math.cos(math.pi * done)))
            )
        batch = draw_batch(pictures, sound, batch_size, rng)
        batch = Batch(*(part.to(device, non_blocking=True) for part in (batch.mel, batch.face, batch.target)))
        heard = draw_windows(sound, _HEARD_A_STEP, rng)
        shown.append(run.advance(batch, weights, heard[0].to(device), heard[1].to(device)))
        now = time.monotonic()
        run.seconds = before + now - started
        going = run.seconds < minutes * 60
        if peers > 1:
            going = run.step % _STEPS_APART != 0 or run.meet(going=going)
        if first and run.step % 100 == 0:
            speed = len(shown) * peers * batch_size / (now - started)
            progress(f"step {run.step} {done:4.0%} loss {255 * np.mean(shown[-200:]):.2f}/255 {speed:.0f} pairs/s")
        if first and now - saved > save_every_s:
            run.save(checkpoint)
            saved = now
    if first:
        run.save(checkpoint)


def join_peers() -> int:
    """Join the other processes that ``torchrun`` started; return how many there are in all.

    Each trains on its own pairs, and now and then they meet to average their weights: two processes of
    one thread get through more on two busy cores than one of two threads, which wait for each other at
    every layer.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count > 1 and not distributed.is_initialized():
        distributed.init_process_group("gloo")
    return count


@dataclass
class Run:
    """A network being trained, and the running average of its weights, which is what ships."""

    network: Wav2Lip
    average: Wav2Lip
    reader: Reader
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0

    @staticmethod
    def start(checkpoint: Path, device: torch.device, rate: float, sound: Sound) -> Run:
        """Begin, or go on from a checkpoint."""
        network, average = (Wav2Lip(WIDTH, CROP, "copy").to(device) for _ in range(2))
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            # The paint begins as the inside of a mouth, so that the mask has a use from the first step.
            last_layer(network).bias.data[3:] = torch.tensor(_MOUTH_INSIDE_BGR).logit()  # type: ignore[union-attr]
        average.load_state_dict(network.state_dict())
        reader = Reader(network, sound).to(device)
        # The audio encoder has learned already; at full pace a decoder that is behind would spoil it.
        slow = [*network.audio_encoder.parameters(), *reader.parameters()]
        # The last layer starts near zero and has far to go: a mask from 0.1 to 1 is 4 units of its input.
        last = list(last_layer(network).parameters())
        known = {id(parameter) for parameter in slow + last}
        fast = [parameter for parameter in network.parameters() if id(parameter) not in known]
        groups = [{"params": fast, "pace": 1.0}, {"params": slow, "pace": 0.3}, {"params": last, "pace": 8.0}]
        run = Run(network.train(), average, reader, torch.optim.AdamW(groups, rate, weight_decay=1e-3))
        if checkpoint.exists():
            state = torch.load(checkpoint, map_location=device, weights_only=True)
            run.network.load_state_dict(state["network"])
            run.average.load_state_dict(state["average"])
            run.reader.load_state_dict(state["reader"])
            run.optimizer.load_state_dict(state["optimizer"])
            run.step, run.seconds = int(state["step"]), float(state["seconds"])
        return run

    def advance(self, batch: Batch, weights: Tensor, windows: Tensor, mouths: Tensor) -> float:
        """Take one step; return the pictures' part of its loss.

        Args:
            batch: Pairs.
            weights: From `mouth_weights`.
            windows: More sound, ``[H, 1, 80, 16]``, from which to read mouths alone.
            mouths: These, ``[H, 13]``.
        """
        face = batch.face.contiguous(memory_format=torch.channels_last)
        with torch.autocast(face.device.type, torch.bfloat16):
            output = lower_half(self.network, batch.mel, face)
        loss = loss_of(output, batch, weights)
        misread, _ = self.reader(self.network.audio_encoder(windows), mouths)
        self.optimizer.zero_grad(set_to_none=True)
        (loss + _READING_WEIGHT * misread).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        keep = min(0.998, self.step / (self.step + 20))
        with torch.no_grad():
            mine = self.network.state_dict()
            for name, mean in self.average.state_dict().items():
                if mean.is_floating_point():
                    mean.lerp_(mine[name], 1 - keep)
        return float(loss.detach())

    def share(self) -> None:
        """Give the first peer's weights to all."""
        for tensor in self.network.state_dict().values():
            distributed.broadcast(tensor, 0)

    def meet(self, *, going: bool) -> bool:
        """Average the weights of all peers; return whether all of them want to go on."""
        tensors = [tensor for tensor in self.network.state_dict().values() if tensor.is_floating_point()]
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors] + [torch.full((1,), float(going))])
        distributed.all_reduce(flat)
        flat /= distributed.get_world_size()
        parts = torch.split(flat[:-1], [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))
        return bool(flat[-1] > 1 - 1e-3)

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        part = path.with_suffix(".part")
        networks = {"network": self.network.state_dict(), "average": self.average.state_dict()}
        networks["reader"] = self.reader.state_dict()
        rest = {"optimizer": self.optimizer.state_dict(), "step": self.step, "seconds": self.seconds}
        torch.save(networks | rest, part)
        part.rename(path)
