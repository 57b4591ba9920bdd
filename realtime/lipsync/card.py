"""The device that torch draws on: every call to CUDA that is not an operation on tensors, in one place.

:class:`Processor` has the same methods on the CPU, without a graph. Tests, and ``benchmarks.cuda`` where no card is
there, put it, or one that fails, in the place of a :class:`Card`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lipstream.realtime.lipsync.predictor import DeviceLostError

_WARM_UPS = 3
"""Calls before a capture, in which algorithms are chosen and workspaces made."""
_NO_MEMORY = ("out of memory", "ALLOC_FAILED")


@dataclass(frozen=True, slots=True)
class Memory:
    """Of a device, in bytes.

    Attributes:
        allocated: In tensors.
        reserved: Held by torch, tensors included.
        peak: Most that was in tensors since :meth:`Device.forget_peak`.
        free: Of the whole device.
        total: Of the whole device.
    """

    allocated: int
    reserved: int
    peak: int
    free: int
    total: int


class Device(Protocol):
    """What the network runs on.

    Attributes:
        device: As torch takes it.
        pins: Whether copies from and to it want pinned memory.
        precision: Of arithmetic that suits it best.
    """

    device: torch.device
    pins: bool
    precision: str

    @property
    def name(self) -> str:
        """Of the device, for people."""

    def capture(self, call: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Return what repeats ``call`` on the same memory; its result may be overwritten by the next one."""

    def wait(self) -> None:
        """Return when all that was begun is done."""

    def answers(self) -> bool:
        """Whether it still works in this process."""

    def release(self) -> None:
        """Return memory that no tensor holds to the device."""

    def memory(self) -> Memory:
        """What is held now."""

    def forget_peak(self) -> None:
        """Begin to look for the peak."""

    def seconds(self, call: Callable[[], object], repeats: int) -> float:
        """Time of ``repeats`` calls by the device's own clock, s."""


class Card:
    """A CUDA device.

    Args:
        device: ``cuda`` or ``cuda:N``.

    Raises:
        RuntimeError: If the driver does not open it, or it is older than what torch was built for.
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
        """That the driver gives."""
        return torch.cuda.get_device_name(self.device)

    def capture(self, call: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Return what replays a graph of ``call``."""
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
        """Whether it takes one more sum: after most faults it never does again in the same process."""
        try:
            torch.cuda.synchronize(self.device)
            return bool((torch.ones(2, device=self.device) + 1).sum().item() == 4)
        except RuntimeError as error:
            return is_short_of_memory(error)

    def release(self) -> None:
        """Empty torch's cache."""
        torch.cuda.empty_cache()

    def memory(self) -> Memory:
        """What torch counts, and what the driver does."""
        free, total = torch.cuda.mem_get_info(self.device)
        return Memory(
            torch.cuda.memory_allocated(self.device),
            torch.cuda.memory_reserved(self.device),
            torch.cuda.max_memory_allocated(self.device),
            free,
            total,
        )

    def forget_peak(self) -> None:
        """Begin to look for the peak."""
        torch.cuda.reset_peak_memory_stats(self.device)

    def seconds(self, call: Callable[[], object], repeats: int) -> float:
        """Time between two events, s."""
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
        """Return ``call``: there are no graphs here."""
        return call

    def wait(self) -> None:
        """Return: nothing is begun without being done."""

    def answers(self) -> bool:
        """Yes."""
        return True

    def release(self) -> None:
        """Do nothing: memory goes back by itself."""

    def memory(self) -> Memory:
        """Nothing: torch does not count the processor's."""
        return Memory(0, 0, 0, 0, 0)

    def forget_peak(self) -> None:
        """Do nothing."""

    def seconds(self, call: Callable[[], object], repeats: int) -> float:
        """Time by the clock, s."""
        began_s = time.perf_counter()
        for _ in range(repeats):
            call()
        return time.perf_counter() - began_s


def count() -> int:
    """Return how many cards torch finds."""
    return torch.cuda.device_count()


def why_none() -> str:
    """Return why torch finds no card, as the end of a sentence."""
    if torch.version.cuda is None:
        return "this torch is built without CUDA"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        return first_line(error)
    return "torch finds none"


def open_device(device: str) -> Device:
    """Return ``cpu``, ``cuda`` or ``cuda:N``, opened.

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
    """Tell whether an error, or one that it followed, says that the device's memory is full."""
    within: BaseException | None = error
    while within is not None:
        if isinstance(within, torch.OutOfMemoryError) or any(words in str(within) for words in _NO_MEMORY):
            return True
        within = within.__cause__ or within.__context__
    return False


def first_line(error: BaseException) -> str:
    """Return what an error says, without the advice that torch adds."""
    return str(error).partition("\n")[0] or type(error).__name__


def _capability(architecture: str) -> tuple[int, int] | None:
    """Return the compute capability of one of torch's architectures, as ``sm_90a`` or ``compute_120``."""
    digits = "".join(letter for letter in architecture.partition("_")[2] if letter.isdigit())
    return (int(digits[:-1]), int(digits[-1])) if len(digits) > 1 else None
