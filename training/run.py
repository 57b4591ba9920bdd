"""A training run: the parameters, their running average, the schedule, the checkpoint and parallel processes."""

from __future__ import annotations

import copy
import math
import os
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn

_STEPS_APART = 8  # steps between two exchanges of the processes
_LONGEST_STEP_S = 5.0
_WARM_STEPS = 200
_SAVE_EVERY_S = 150.0
_SMOOTHING = 0.998


def join_peers() -> int:
    """Join the other processes that ``torchrun`` started; return this process's rank.

    Each process trains on its own random draws, and at intervals all of them average their weights. On two busy cores
    two processes with one thread each get more done than one process with two threads, which wait for each other at
    every layer.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        distributed.init_process_group("gloo")
    return distributed.get_rank() if distributed.is_initialized() else 0


class Run:
    """A module in training, with the running average of its weights, which is the result.

    It resumes from its checkpoint if it exists. Only the time of the steps counts, at most five seconds per step, so
    that the time in which a machine sleeps does not count.

    Args:
        network: Module to train, in place.
        groups: Parameter groups for `torch.optim`, each with a ``pace``: a factor on the step size.
        checkpoint: Path of the checkpoint, written at intervals and at the end.
        minutes: Total training time, earlier calls included.
        rate: Largest step size.

    Attributes:
        average: Copy of the network with weights averaged over the last few hundred steps.
        step: Number of steps taken.
        seconds: Duration of these steps, s.
    """

    def __init__(
        self, network: nn.Module, groups: list[dict[str, Any]], checkpoint: Path, *, minutes: float, rate: float
    ) -> None:
        self.network, self.average = network.train(), copy.deepcopy(network)
        self.step, self.seconds = 0, 0.0
        self._optimizer = torch.optim.AdamW(groups, rate, weight_decay=1e-3)
        self._checkpoint, self._minutes, self._rate = checkpoint, minutes, rate
        if checkpoint.exists():
            state = torch.load(checkpoint, map_location=next(network.parameters()).device, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self._optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds = int(state["step"]), float(state["seconds"])
        self._saved_at_s = self.seconds
        self._mark = time.monotonic()

    @property
    def done(self) -> float:
        """Completed share of the schedule, 0..1."""
        return min(self.seconds / (self._minutes * 60), 1.0)

    def keep_time_with(self, other: Run) -> None:
        """Take over another run's time, so that both end together."""
        self.seconds = self._saved_at_s = other.seconds

    def learn(self, loss: Tensor) -> bool:
        """Take one step down a loss; return whether to continue.

        The step size rises over the first steps and then falls along a cosine until the time is up.
        """
        for group in self._optimizer.param_groups:
            warm = min(1.0, (self.step + 1) / _WARM_STEPS)
            group["lr"] = self._rate * group["pace"] * warm * (0.01 + 0.495 * (1 + math.cos(math.pi * self.done)))
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()
        self.step += 1
        self._follow()
        now = time.monotonic()
        self.seconds, self._mark = self.seconds + min(now - self._mark, _LONGEST_STEP_S), now
        going = self.done < 1
        if distributed.is_initialized():
            going = self.step % _STEPS_APART != 0 or self._meet(going=going)
            if distributed.get_rank():
                return going
        if not going or self.seconds - self._saved_at_s > _SAVE_EVERY_S:
            self.save()
        return going

    def _follow(self) -> None:
        keep = min(_SMOOTHING, self.step / (self.step + 20))
        with torch.no_grad():
            mine = self.network.state_dict()
            for name, mean in self.average.state_dict().items():
                if mean.is_floating_point():
                    mean.lerp_(mine[name], 1 - keep)

    def _meet(self, *, going: bool) -> bool:
        """Average the weights of all processes; return whether all of them want to continue."""
        tensors = [tensor for tensor in self.network.state_dict().values() if tensor.is_floating_point()]
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors] + [torch.full((1,), float(going))])
        distributed.all_reduce(flat)
        flat /= distributed.get_world_size()
        parts = torch.split(flat[:-1], [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))
        return bool(flat[-1] > 1 - 1e-3)

    def save(self) -> None:
        """Write a checkpoint atomically."""
        part = self._checkpoint.with_suffix(".part")
        networks = {"network": self.network.state_dict(), "average": self.average.state_dict()}
        rest = {"optimizer": self._optimizer.state_dict(), "step": self.step, "seconds": self.seconds}
        torch.save(networks | rest, part)
        part.rename(self._checkpoint)
        self._saved_at_s = self.seconds
