"""Messages between the server and a render worker. Mel windows and mouths stay in shared memory."""

from typing import NamedTuple

from lipstream.realtime.lipsync.fields import PIXEL_BYTES
from lipstream.realtime.workers.messages import by_name


class Job(NamedTuple):
    """One mouth to draw.

    Attributes:
        slot: Slot of its window and of its mouth in the shared memory.
        avatar: Handle of the avatar.
        clip_frame: Frame of the clip, from 0.
        stream: Number of the stream that requested it.
        frame: Frame on the stream's timeline, from 0.
        continues: Whether the mouth continues the one of the frame before.
        articulation: How far the mouth goes, 0.5 to 1.5 of what was heard.
    """

    slot: int
    avatar: int
    clip_frame: int
    stream: int
    frame: int
    continues: bool
    articulation: float


# To the worker.


class UseMemory(NamedTuple):
    """Open the shared memory of this name; sent once in answer to :class:`WorkerReady`."""

    name: str


class LoadAvatar(NamedTuple):
    """Load an avatar; jobs refer to it by its handle."""

    handle: int
    avatar_id: str


class ForgetAvatar(NamedTuple):
    """Free an avatar."""

    handle: int


class DrawJobs(NamedTuple):
    """Draw mouths.

    Attributes:
        jobs: Fields of each :class:`Job`.
    """

    jobs: list[Job]


# From the worker.


class WorkerReady(NamedTuple):
    """The network is loaded.

    Attributes:
        pixel_bytes: Bytes of one pixel of its mouths: 3 for BGR, 8 or 20 for fields.
    """

    metadata: str
    device: str
    pixel_bytes: int = PIXEL_BYTES


class AvatarProgress(NamedTuple):
    """Progress of an avatar's preparation, 0..1."""

    avatar_id: str
    share: float


class AvatarLoaded(NamedTuple):
    """An avatar is loaded, or cannot be.

    Attributes:
        why: Reason of the failure; ``None`` if the avatar is loaded.
    """

    handle: int
    why: str | None = None


class MouthCost(NamedTuple):
    """Measured cost of mouths; sent before the first :class:`AvatarLoaded`.

    Attributes:
        mouths: Number of mouths drawn.
        cpu_s: Processor time for all of them, s.
        took_s: Elapsed time for all of them, s.
    """

    mouths: int
    cpu_s: float
    took_s: float


class MouthsDrawn(NamedTuple):
    """A batch is finished.

    Attributes:
        done: Slots that hold a mouth now, 0..``SLOTS`` - 1.
        lost: Slots whose mouth could not be drawn, 0..``SLOTS`` - 1.
        short: Number of lost mouths that found no room in the device's memory.
        took: For each call of the network: number of mouths, seconds to gather their inputs, seconds to draw.
        cpu_s: Processor time of the whole batch, s.
    """

    done: list[int]
    lost: list[int]
    short: int
    took: list[tuple[int, float, float]]
    cpu_s: float


class WorkerFailed(NamedTuple):
    """The worker ends.

    Attributes:
        cause: ``settings`` if the settings are at fault, ``device`` if the device is lost, else ``other``.
    """

    why: str
    cause: str


TO_WORKER = by_name(UseMemory, LoadAvatar, ForgetAvatar, DrawJobs)
FROM_WORKER = by_name(WorkerReady, AvatarProgress, AvatarLoaded, MouthCost, MouthsDrawn, WorkerFailed)
