"""The child process of a render worker: loads the network, prepares avatars and draws mouths in batches.

Mel windows and mouths stay in shared memory; ``render_messages`` defines the messages. A closed pipe ends the process.

The settings name the predictor and the loader of features, and the process imports them when it starts. Importing this
module therefore needs neither PyAV nor a back end.
"""

import importlib
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lipstream.memory_order import WORKER, end_before_server
from lipstream.realtime.errors import LipstreamError, SettingsError, is_no_room
from lipstream.realtime.lipsync.metadata import Pads
from lipstream.realtime.lipsync.mouth_code import SpokenFrame
from lipstream.realtime.lipsync.mouth_drawer import MouthDrawer
from lipstream.realtime.lipsync.predictor import (
    DeviceLostError,
    FaceFeatures,
    MouthPredictor,
    StagedPredictor,
    largest_batch,
)
from lipstream.realtime.workers.child_signals import leave_to_server
from lipstream.realtime.workers.messages import pack, unpack
from lipstream.realtime.workers.render_messages import (
    TO_WORKER,
    AvatarLoaded,
    AvatarProgress,
    DrawJobs,
    ForgetAvatar,
    Job,
    LoadAvatar,
    MouthsDrawn,
    UseMemory,
    WorkerFailed,
    WorkerReady,
)
from lipstream.realtime.workers.render_warm_up import warm_up
from lipstream.realtime.workers.shared_memory import JobMemory

logger = logging.getLogger(__name__)

Frames = npt.NDArray[np.int64]

GROW_AFTER = 500
"""After this many batches that fitted into the device's memory, the limit of the batch size is doubled."""
PROGRESS_S = 2.0
"""Interval of progress messages; a preparation that takes less than this sends none."""
MOST_FAILURES = 16
"""After this many failures of single mouths in a row, the device is at fault and not a job."""
MOST_SHORT = 50
"""After this many single mouths in a row without room, two seconds of one session, the device counts as lost."""
COMPLETE_AFTER_S = 2.0
"""A quick start completes the predictor so long after the first avatar was loaded: until the first face is shown, the
server needs the cores."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Settings of one render worker.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        window_offset_samples: Samples (16 kHz) from a frame's start to its mel window; ``None`` for the weights' own.
        threads: CPU cores for the network; ``None`` for :func:`default_threads`.
        precision: Arithmetic of the network: ``auto``, ``fp16``, ``bf16``, ``fp32`` or ``int8``.
        fall_back: Whether the CPU draws if the device cannot be used, as with ``auto``.
        pads: Replace the pads of weights with a detector's crop; ``None`` for the weights' own.
        model: Code of the operator's own that draws in the networks' place; default none.
        keeps_old: Whether avatars that an earlier version prepared are loaded as they are; default false, which
            prepares them again first.
        quick_start: Whether the worker draws the first avatar's mouths one by one until the predictor is complete;
            default false, which completes it first.
        predictor: ``module:callable`` that takes these settings and returns a ``MouthPredictor``.
        features: ``module:callable`` that takes these settings, an avatar's id, the predictor and a callback for the
            progress (0..1), and returns ``FaceFeatures``.
    """

    weights: Path
    store: Path
    device: str = "auto"
    window_offset_samples: int | None = None
    threads: int | None = None
    precision: str = "auto"
    fall_back: bool = False
    pads: Pads | None = None
    model: str = ""
    keeps_old: bool = False
    quick_start: bool = False
    predictor: str = "lipstream.realtime.workers.render_loading:load_predictor"
    features: str = "lipstream.realtime.workers.render_loading:load_features"

    def on_cpu(self) -> "WorkerSettings":
        """Return these settings with the CPU as device; ``fp16`` becomes ``auto``."""
        return replace(self, device="cpu", precision="auto" if self.precision == "fp16" else self.precision)


def default_threads() -> int:
    """Return the number of cores for the network: all but one, which encoding and the event loop share."""
    return max(1, len(os.sched_getaffinity(0)) - 1) if hasattr(os, "sched_getaffinity") else 1


def run(connection: Connection, settings: WorkerSettings) -> None:
    """Serve jobs until the pipe closes."""
    leave_to_server()
    end_before_server(WORKER)
    try:
        _RenderLoop(connection, settings).serve()
    except DeviceLostError as error:
        _send(connection, WorkerFailed(str(error), "device"))
    except LipstreamError as error:
        _send(connection, WorkerFailed(error.message, "settings" if isinstance(error, SettingsError) else "other"))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the server is gone
    except Exception as error:
        logger.exception("render worker failed")
        _send(connection, WorkerFailed(f"{type(error).__name__}: {error}", "other"))
        raise


def _send(connection: Connection, message: Any) -> None:
    connection.send_bytes(pack(message))


def named(name: str) -> Any:
    """Return what ``module:attribute`` names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


class _RenderLoop:
    def __init__(self, connection: Connection, settings: WorkerSettings) -> None:
        self._connection, self._settings = connection, settings
        self._predictor: MouthPredictor = named(settings.predictor)(settings)
        self._drawer = MouthDrawer(self._predictor)
        self._staged = (
            self._predictor if isinstance(self._predictor, StagedPredictor) and settings.quick_start else None
        )
        self._load_features: Callable[..., FaceFeatures] = named(settings.features)
        self._avatars: dict[int, FaceFeatures] = {}
        self._memory: JobMemory | None = None
        self._warm = False
        self._largest = self._most = largest_batch(self._predictor)
        self._fitted = 0  # batches since the last change of the largest size
        self._failures = 0
        self._short = self._short_in_a_row = 0
        self._took: list[tuple[int, float, float]] = []

    def serve(self) -> None:
        """Answer messages until the pipe closes."""
        facts = self._predictor.metadata.to_json()
        _send(self._connection, WorkerReady(facts, self._predictor.device, self._drawer.pixel_bytes))
        jobs: list[Job] = []
        try:
            while True:
                while not jobs or self._connection.poll():
                    jobs += self._receive(unpack(TO_WORKER, self._connection.recv_bytes())[0])
                batch, jobs = jobs[: self._largest], jobs[self._largest :]
                self._draw(batch)
        finally:
            if self._memory:
                self._memory.close()

    def _receive(self, message: Any) -> list[Job]:
        """Handle a message; return its jobs."""
        match message:
            case DrawJobs(jobs):
                return [Job(*job) for job in jobs]
            case UseMemory(name):
                self._memory = JobMemory(self._predictor.metadata.decoded_region, name, self._drawer.pixel_bytes)
            case LoadAvatar(handle, avatar_id):
                self._load(handle, avatar_id)
            case ForgetAvatar(handle):
                self._avatars.pop(handle, None)
        return []

    def _load(self, handle: int, avatar_id: str) -> None:
        told_s = time.monotonic()

        def progress(share: float) -> None:
            nonlocal told_s
            if time.monotonic() - told_s >= PROGRESS_S:
                told_s = time.monotonic()
                _send(self._connection, AvatarProgress(avatar_id, share))

        try:
            self._avatars[handle] = self._load_features(self._settings, avatar_id, self._predictor, progress)
            self._warm_up(self._avatars[handle])
        except MemoryError:
            self._avatars.pop(handle, None)
            _send(self._connection, AvatarLoaded(handle, "the device has no memory left for this avatar"))
        except DeviceLostError:
            raise
        except Exception as error:  # a bad avatar must not end the worker
            is_full = is_no_room(error)
            if not is_full and not isinstance(error, LipstreamError):
                logger.exception("avatar %s cannot be loaded", avatar_id)
            self._avatars.pop(handle, None)
            why = "the disk is full" if is_full else str(error) or type(error).__name__
            _send(self._connection, AvatarLoaded(handle, why))
        else:
            _send(self._connection, AvatarLoaded(handle))
            self._complete()

    def _warm_up(self, features: FaceFeatures) -> None:
        if not self._warm:
            largest = 1 if self._staged else self._most  # until then, batches are drawn as single mouths
            _send(self._connection, warm_up(self._drawer, features, largest))
            self._warm = True

    def _complete(self) -> None:
        """Complete the predictor in the background, some time after it has drawn."""
        if self._staged:
            timer = threading.Timer(COMPLETE_AFTER_S, self._staged.complete)
            timer.name, timer.daemon = "complete-predictor", True
            timer.start()
            self._staged = None

    def _draw(self, batch: list[Job]) -> None:
        """Draw a batch of jobs of all sessions and avatars, and report it."""
        self._short, self._took = 0, []
        begun_s = time.process_time()
        done = self._predict([job for job in batch if job.avatar in self._avatars])
        lost = [job.slot for job in batch if job.slot not in done]
        cpu_s = time.process_time() - begun_s
        _send(self._connection, MouthsDrawn(done, lost, self._short, self._took, cpu_s))

    def _predict(self, jobs: list[Job]) -> list[int]:
        """Draw jobs; return the slots of the drawn ones.

        A batch that does not fit into the device's memory, or that fails, is split into halves.
        """
        if not jobs:
            return []
        try:
            self._predict_at_once(jobs)
        except MemoryError:
            self._largest, self._fitted = max(1, len(jobs) // 2), 0
            logger.warning("the device's memory holds no batch of %d; trying %d", len(jobs), self._largest)
            self._short += len(jobs) == 1
            self._short_in_a_row += len(jobs) == 1
            if self._short_in_a_row >= MOST_SHORT:
                raise DeviceLostError("its memory holds not one mouth") from None
        except DeviceLostError:
            raise
        except Exception:
            self._failures += len(jobs) == 1
            if self._failures >= MOST_FAILURES:
                raise
            logger.exception("a batch of %d could not be drawn", len(jobs))
        else:
            self._failures = self._short_in_a_row = 0
            self._fitted += 1
            if self._fitted >= GROW_AFTER and self._largest < self._most:
                self._largest, self._fitted = min(self._most, 2 * self._largest), 0
            return [job.slot for job in jobs]
        middle = len(jobs) // 2
        return self._predict(jobs[:middle]) + self._predict(jobs[middle:]) if middle else []

    def _predict_at_once(self, jobs: list[Job]) -> None:
        assert self._memory is not None
        slots = [job.slot for job in jobs]
        begun_s = time.perf_counter()
        features, frames = self._gather([(job.avatar, job.clip_frame) for job in jobs])
        gathered_s = time.perf_counter()
        spoken = [SpokenFrame(job.stream, job.frame, job.continues, job.articulation) for job in jobs]
        self._memory.mouths[slots] = self._drawer.draw(spoken, self._memory.mels[slots], features, frames)
        self._took.append((len(jobs), gathered_s - begun_s, time.perf_counter() - gathered_s))

    def _gather(self, faces: list[tuple[int, int]]) -> tuple[FaceFeatures, Frames]:
        """Return features that hold all faces of a batch, and the index of each face in them."""
        handles = {handle for handle, _ in faces}
        if len(handles) == 1:
            return self._avatars[handles.pop()], np.array([frame for _, frame in faces])
        sources = [(self._avatars[handle], frame) for handle, frame in faces]
        levels = tuple(
            np.stack([source.levels[level][frame] for source, frame in sources])
            for level in range(len(sources[0][0].levels))
        )
        crops = np.stack([source.crops[frame] for source, frame in sources])
        return FaceFeatures(levels, crops), np.arange(len(faces))
