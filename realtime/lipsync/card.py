"""The device for torch: every call to CUDA other than tensor operations.

:class:`Processor` has the same methods for the CPU, without CUDA graphs. Tests, and ``benchmarks.cuda`` on a machine
without a card, use it or a failing variant of it in place of :class:`Card`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lipstream.realtime.lipsync.predictor import DeviceLostError

_WARM_UPS = 3
"""Calls before a capture, in which torch chooses algorithms and allocates workspaces."""
_NO_MEMORY = ("out of memory", "ALLOC_FAILED")


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a device, bytes.

    Attributes:
        allocated: In tensors, bytes.
        reserved: Held by torch, tensors included, bytes.
        peak: Largest ``allocated`` since :meth:`Device.forget_peak`, bytes.
        free: Free on the device, over all processes, bytes.
        total: Memory of the device, bytes.
    """

    allocated: int
    reserved: int
    peak: int
    free: int
    total: int


class Device(Protocol):
    """A device that can run the network.

    Attributes:
        precision: Fastest precision of the device: ``fp16`` or ``fp32``.
    """

    device: torch.device
    pins: bool
    precision: str

    @property
    def name(self) -> str:
        """Name of the device for messages."""

    def capture(self, call: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Return a function that repeats ``call`` on the same memory; each result may overwrite the last one."""

    def wait(self) -> None:
        """Return when all work on the device is done."""

    def answers(self) -> bool:
        """Return whether the device still works in this process."""

    def release(self) -> None:
        """Give unused cached memory back to the device."""

    def memory(self) -> Memory:
        """Return the current use of memory."""

    def forget_peak(self) -> None:
        """Restart the measurement of the peak."""

    def seconds(self, call: Callable[[], object], repeats: int) -> float:
        """Return the time of ``repeats`` calls by the device's own clock, s."""


class Card:
    """A CUDA device.

    Args:
        device: ``cuda`` or ``cuda:N``.

    Raises:
        RuntimeError: If the driver cannot open the card, or torch does not support it.
    """

    pins, precision = True, "fp16"

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        if self.device.index is not None:
            torch.cuda.set_device(self.device)  # streams, graphs and pinned memory belong to the current one
        self.capability = torch.cuda.get_device_capability(self.device)
        oldest = min(filter(None, map(_capability, torch.cuda.get_arch_list())), default=(0, 0))
        if self.capability < oldest:
            have, need = (".".join(map(str, pair)) for pair in (self.capability, oldest))
            raise RuntimeError(f"it has compute capability {have}, and this torch needs {need}")

    @property
    def name(self) -> str:
        """Name that the driver gives."""
        return torch.cuda.get_device_name(self.device)

    def capture(self, call: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Return a function that replays a CUDA graph of ``call``."""
        side = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                call()
        torch.cuda.current_stream(self.device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = call()

        def replay() -> Tensor:
            graph.replay()
            return result

        return replay

    def wait(self) -> None:
        """Return when the current stream is done."""
        torch.cuda.current_stream(self.device).synchronize()

    def answers(self) -> bool:
        """Return whether a small addition succeeds: after most faults no further one does in the same process."""
        try:
            torch.cuda.synchronize(self.device)
            return bool((torch.ones(2, device=self.device) + 1).sum().item() == 4)
        except RuntimeError as error:
            return is_short_of_memory(error)

    def release(self) -> None:
        """Empty torch's cache."""
        torch.cuda.empty_cache()

    def memory(self) -> Memory:
        """Return the use of memory by torch's and the driver's counters."""
        free, total = torch.cuda.mem_get_info(self.device)
        return Memory(
            torch.cuda.memory_allocated(self.device),
            torch.cuda.memory_reserved(self.device),
            torch.cuda.max_memory_allocated(self.device),
            free,
            total,
        )

    def forget_peak(self) -> None:
        """Restart the measurement of the peak."""
        torch.cuda.reset_peak_memory_stats(self.device)

    def seconds(self, call: Callable[[], object], repeats: int) -> float:
        """Return the time between two CUDA events, s."""
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        began.record()
        for _ in range(repeats):
            call()
        ended.record()
        ended.synchronize()
        return float(began.elapsed_time(ended)) / 1000


class Processor:
    """Torch on the CPU."""

    pins, precision, name = False, "fp32", "CPU"

    def __init__(self) -> None:
        self.device = torch.device("cpu")

    def capture(self, call: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Return ``call`` itself: the CPU has no graphs."""
        return call

    def wait(self) -> None:
        """Return at once: calls on the CPU are synchronous."""

    def answers(self) -> bool:
        """Return True."""
        return True

    def release(self) -> None:
        """Do nothing: torch keeps no cache on the CPU."""

    def memory(self) -> Memory:
        """Return zeros: torch does not count memory on the CPU."""
        return Memory(0, 0, 0, 0, 0)

    def forget_peak(self) -> None:
        """Do nothing."""

    def seconds(self, call: Callable[[], object], repeats: int) -> float:
        """Return the time of ``repeats`` calls, s."""
        began_s = time.perf_counter()
        for _ in range(repeats):
            call()
        return time.perf_counter() - began_s


def count() -> int:
    """Return the number of cards that torch finds."""
    return torch.cuda.device_count()


def why_none() -> str:
    """Return the reason for torch finding no card, as the end of a sentence."""
    if torch.version.cuda is None:
        return "this torch is built without CUDA"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        return first_line(error)
    return "torch finds none"


def open_device(device: str) -> Device:
    """Open ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        DeviceLostError: If the card cannot be used.
    """
    if device == "cpu":
        return Processor()
    try:
        return Card(device)
    except (RuntimeError, AssertionError) as error:
        raise DeviceLostError(f"{device} cannot be used: {first_line(error)}") from error


def is_short_of_memory(error: BaseException) -> bool:
    """Return whether an error or its cause reports that the device's memory is full."""
    within: BaseException | None = error
    while within is not None:
        if isinstance(within, torch.OutOfMemoryError) or any(words in str(within) for words in _NO_MEMORY):
            return True
        within = within.__cause__ or within.__context__
    return False


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text; torch adds advice below it."""
    return str(error).partition("\n")[0] or type(error).__name__


def _capability(architecture: str) -> tuple[int, int] | None:
    """Return the compute capability of one of torch's architectures, as ``sm_90a`` or ``compute_120``."""
    digits = "".join(letter for letter in architecture.partition("_")[2] if letter.isdigit())
    return (int(digits[:-1]), int(digits[-1])) if len(digits) > 1 else None
