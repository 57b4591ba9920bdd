"""A server's sessions to measure, without HTTP: the built-in weights, or painted mouths where content is timed."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from lipstream.avatar_cache.manifest import Manifest
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.encoding.encoders import encode_pool
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.settings import Settings
from lipstream.realtime.test_client.click_track import Sound
from tests.realtime.fakes import make_store, worker_settings

PRECISION = os.environ.get("PRECISION", "auto")
"""Of the networks that are not painted."""
FAKE_AVATAR_SIZE = (512, 512)
FAKE_MOUTH = (slice(304, 400), slice(192, 320))
"""Rows and columns of the painted avatar's picture that a mouth covers in full."""


@asynccontextmanager
async def built_in(*, max_sessions: int = 8, kind: type[Sessions] = Sessions) -> AsyncIterator[tuple[Sessions, str]]:
    """Yield sessions with the built-in weights and avatars, and what they are; fakes where there are none."""
    if not BUILT_IN_WEIGHTS.exists():
        async with painted("FakePredictor", max_sessions=max_sessions, kind=kind) as sessions:
            yield sessions, "none: even patches"
        return
    async with _running(kind(Settings(max_sessions=max_sessions, precision=PRECISION))) as sessions:
        yield sessions, BUILT_IN_WEIGHTS.name


class _OneFace(AvatarStore):
    """The default avatar alone: to prepare the others for a large network takes a minute."""

    def list(self) -> list[Manifest]:
        """Return its manifest."""
        return [self.load("ada").manifest]


@asynccontextmanager
async def full_width(*, max_sessions: int = 8) -> AsyncIterator[tuple[Sessions, str]]:
    """Yield sessions with a network of the published width that was never trained, and what it is."""
    from benchmarks.networks import random_network  # noqa: PLC0415 (it brings torch along)

    with tempfile.TemporaryDirectory() as folder:
        weights = random_network(1.0, 96, Path(folder))
        settings = Settings(store=Path(folder), weights=weights, max_sessions=max_sessions, precision=PRECISION)
        sessions = Sessions(settings)
        sessions.store = sessions.avatars.store = _OneFace(folder)
        async with _running(sessions):
            yield sessions, f"full width, {weights.name}"


@asynccontextmanager
async def painted(
    predictor: str,
    *,
    max_sessions: int = 8,
    kind: type[Sessions] = Sessions,
    avatars: int = 1,
    host: str = "127.0.0.1",
    synthesizer: str = "",
) -> AsyncIterator[Sessions]:
    """Yield sessions whose mouths one of the tests' predictors paints, on one of some avatars of its own."""
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(
            Path(folder), {"ann": 90} | {f"ann-{i}": 90 for i in range(1, avatars)}, size=FAKE_AVATAR_SIZE
        )
        settings = Settings(
            store=store.root,
            avatar="ann",
            max_sessions=max_sessions,
            host=host,
            insecure=True,
            synthesizer=synthesizer,
        )
        async with _running(kind(settings, worker_settings(store, predictor))) as sessions:
            yield sessions


def pool_size(sessions: Sessions) -> int:
    """Return how many threads encode, as in the server."""
    return (os.cpu_count() or 1) + sessions.settings.max_sessions


def _everybody(sessions: int) -> bool:  # noqa: ARG001 (as an admission asks)
    """Admit: how many are too many is what is measured."""
    return True


@asynccontextmanager
async def _running(sessions: Sessions) -> AsyncIterator[Sessions]:
    asyncio.get_running_loop().set_default_executor(encode_pool(pool_size(sessions)))
    sessions.admission.admits = _everybody  # type: ignore[method-assign]
    try:
        await sessions.start()
        yield sessions
    finally:
        await sessions.close()


@asynccontextmanager
async def speech_file(sound: Sound) -> AsyncIterator[Path]:
    """Yield a file that a process of callers can read its speech from."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.npy"
        np.save(path, sound)
        yield path
