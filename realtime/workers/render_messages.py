"""What the server and a render worker say to each other. Windows and mouths stay in shared memory."""

from typing import NamedTuple

from lipstream.realtime.workers.messages import by_name

Job = tuple[int, int, int]
"""Slot, handle of the avatar, clip frame."""
# To the worker.


class UseMemory(NamedTuple):
    """Open the shared memory of this name; sent once, after :class:`WorkerReady`."""

    name: str


class LoadAvatar(NamedTuple):
    """Load an avatar; jobs name it by its handle."""

    handle: int
    avatar_id: str


class ForgetAvatar(NamedTuple):
    """Free an avatar."""

    handle: int


class DrawJobs(NamedTuple):
    """Draw mouths."""

    jobs: list[Job]


# From the worker.


class WorkerReady(NamedTuple):
    """The network is loaded.

    Attributes:
        metadata: Of the weights, as JSON.
        device: Name of the device that draws.
    """

    metadata: str
    device: str


class AvatarProgress(NamedTuple):
    """How far the preparation of an avatar is, 0..1."""

    avatar_id: str
    share: float


class AvatarLoaded(NamedTuple):
    """An avatar is loaded, or cannot be.

    Attributes:
        why: Why it cannot be; ``None`` if it is loaded.
    """

    handle: int
    why: str | None = None


class MouthCost(NamedTuple):
    """What mouths cost when they were tried; sent before the first :class:`AvatarLoaded`.

    Attributes:
        mouths: How many were drawn.
        cpu_s: Processor time that they took.
        took_s: Time that they took.
    """

    mouths: int
    cpu_s: float
    took_s: float


class MouthsDrawn(NamedTuple):
    """A batch is over.

    Attributes:
        done: Slots that hold a mouth now.
        lost: Slots whose mouth could not be drawn.
        short: How many of the lost found no room in the device's memory.
        took: For each call of the network: mouths, seconds to gather their inputs, seconds to draw.
        cpu_s: Processor time of all of it.
    """

    done: list[int]
    lost: list[int]
    short: int
    took: list[tuple[int, float, float]]
    cpu_s: float


class WorkerFailed(NamedTuple):
    """The worker ends.

    Attributes:
        why: A sentence for the log.
        cause: ``settings`` if they are at fault, ``device`` if the device is lost, ``other``.
    """

    why: str
    cause: str


TO_WORKER = by_name(UseMemory, LoadAvatar, ForgetAvatar, DrawJobs)
FROM_WORKER = by_name(WorkerReady, AvatarProgress, AvatarLoaded, MouthCost, MouthsDrawn, WorkerFailed)
