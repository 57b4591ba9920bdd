"""A server's sessions without HTTP: with the built-in weights, or with painted mouths for exact timing."""

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
"""Precision of the networks; painted mouths have none."""
FAKE_AVATAR_SIZE = (512, 512)
FAKE_MOUTH = (slice(304, 400), slice(192, 320))
"""Rows and columns of the painted avatar's picture that a mouth fully covers."""


@asynccontextmanager
async def built_in(*, max_sessions: int = 8, kind: type[Sessions] = Sessions) -> AsyncIterator[tuple[Sessions, str]]:
    """Yield sessions with the built-in weights and avatars, and their description; fakes if they are missing."""
    if not BUILT_IN_WEIGHTS.exists():
        async with painted("FakePredictor", max_sessions=max_sessions, kind=kind) as sessions:
            yield sessions, "none: even patches"
        return
    async with _running(kind(Settings(max_sessions=max_sessions, precision=PRECISION))) as sessions:
        yield sessions, BUILT_IN_WEIGHTS.name


class _OneFace(AvatarStore):
    """The default avatar alone: preparing the others for a large network would take a minute."""

    def list(self) -> list[Manifest]:
        """Return the manifest of the default avatar."""
        return [self.load("ada").manifest]


@asynccontextmanager
async def full_width(*, max_sessions: int = 8) -> AsyncIterator[tuple[Sessions, str]]:
    """Yield sessions with a random network of the published width, and their description."""
    from benchmarks.networks import random_network  # noqa: PLC0415 (imports torch)

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
    secret_file: Path | None = None,
) -> AsyncIterator[Sessions]:
    """Yield sessions with a painting predictor of the tests, on one of ``avatars`` avatars of its own."""
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
            secret_file=secret_file,
        )
        async with _running(kind(settings, worker_settings(store, predictor))) as sessions:
            yield sessions


def pool_size(sessions: Sessions) -> int:
    """Return the number of encoding threads, as in the server."""
    return (os.cpu_count() or 1) + sessions.settings.max_sessions


def _everybody(sessions: int, mouth_px: float | None = None) -> bool:  # noqa: ARG001 (signature of Admission.admits)
    """Admit every session: the limit is what the benchmark looks for."""
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
    """Yield a file from which a process of callers reads its speech."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.npy"
        np.save(path, sound)
        yield path
