"""Pictures made in another process: the same as in threads of the server, whatever becomes of that process."""

import asyncio
import dataclasses
import os
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from aiortc.codecs.vpx import vp8_depayload

from lipstream.avatar_cache.avatar import PreparedAvatar
from lipstream.avatar_cache.prepare import prepare
from lipstream.realtime.encoding.picture_backend import Encoded, EncodeRequest
from lipstream.realtime.picture.compositor import Origin, Painting
from lipstream.realtime.picture.i420 import planes
from lipstream.realtime.picture.mark_style import MarkStyle
from lipstream.realtime.workers import silence
from lipstream.realtime.workers.messages import unpack
from lipstream.realtime.workers.picture_client import PictureStream, PictureWorkers
from lipstream.realtime.workers.picture_messages import FROM_WORKER, encoded_message, encoded_pictures, origin_of
from lipstream.realtime.workers.picture_process import PictureFailedError
from tests.loopback.conftest import until
from tests.realtime.fakes import REGION, FakePredictor, make_store, worker_settings

VP8 = "video/vp8"
MARK = MarkStyle()


@pytest.fixture(scope="module")
def avatar(tmp_path_factory: pytest.TempPathFactory) -> PreparedAvatar:
    store = make_store(tmp_path_factory.mktemp("pictures"), {"ann": 60})
    return prepare(store.load("ann"), FakePredictor(worker_settings(store, "FakePredictor")))


@pytest.fixture
def store(avatar: PreparedAvatar) -> Path:
    base: Any = avatar.frames.base
    return Path(base.filename).parents[3]


@pytest.fixture
async def workers(store: Path) -> AsyncIterator[PictureWorkers]:
    workers = PictureWorkers(store, 1)
    workers.start(REGION)
    try:
        await until(lambda: workers.up == 1, "the worker")
        yield workers
    finally:
        await workers.close()
        await workers.close()
    assert not workers.pids


class Viewer:
    """Has pictures made, one after the other, and decodes what comes."""

    def __init__(self, stream: PictureStream, avatar: PreparedAvatar) -> None:
        self.stream = stream
        self.compositor = avatar.compositor(MARK)
        self.index = 0
        self._codec: Any = av.CodecContext.create("libvpx", "r")

    async def see(self, *, mouth: bool = False, key: bool = False) -> tuple[list[Encoded], Painting]:
        shown = np.full((REGION.height, REGION.width, 3), 250, np.uint8) if mouth else None
        painting = Painting(self.compositor, self.index % 20, shown, 1.0 if mouth else 0.0)
        made = await self.stream.encode(self.index, painting, [EncodeRequest(VP8, 2_000_000, key)])
        self.index += 1
        return made, painting

    def decode(self, payloads: Sequence[bytes]) -> np.ndarray:
        (frame,) = self._codec.decode(av.Packet(b"".join(map(vp8_depayload, payloads))))
        i420: np.ndarray = frame.to_ndarray(format="yuv420p")
        return i420


async def test_a_worker_makes_the_pictures_that_threads_would(workers: PictureWorkers, avatar: PreparedAvatar) -> None:
    viewer = Viewer(workers.open(), avatar)
    for mouth in (False, True, True, False):
        (encoded,), painting = await viewer.see(mouth=mouth)
        assert encoded.key == (viewer.index == 1)
        assert (encoded.pixels, encoded.bitrate) == (128 * 128, 2_000_000)
        error = planes(viewer.decode(encoded.payloads))[0].astype(float) - planes(painting())[0]
        assert 10 * np.log10(255**2 / np.square(error).mean()) > 34
    assert workers.seconds > 0
    (encoded,), _ = await viewer.see(key=True)
    assert encoded.key
    assert workers.least_busy() is not None
    viewer.stream.close()
    assert workers.least_busy() is not None
    assert workers.least_busy().streams == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_pictures_go_on_without_their_worker_and_return_to_the_next(
    workers: PictureWorkers, avatar: PreparedAvatar, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    viewer = Viewer(workers.open(), avatar)
    await viewer.see()
    (pid,) = workers.pids
    os.kill(pid, how)
    with monkeypatch.context() as patched:
        patched.setattr(silence, "HANG_S", 0.3)
        (lost,), _ = await viewer.see()
    assert not lost.payloads, "what was under way is lost"
    (own,), _ = await viewer.see()
    assert own.key, "threads of the server begin with a key frame"
    (own,), _ = await viewer.see()
    assert own.payloads
    assert not own.key
    viewer.decode((await viewer.see(key=True))[0][0].payloads)
    await until(lambda: workers.up == 1, "another worker")
    assert workers.restarts == 1
    assert workers.pids != [pid]
    before = workers.seconds
    (back,), _ = await viewer.see()
    assert back.key, "it begins with a key frame as well"
    assert workers.seconds > before, "in the worker"
    viewer.decode(back.payloads)


async def test_a_picture_that_cannot_be_made_is_its_own_broadcast_s_matter(
    workers: PictureWorkers, avatar: PreparedAvatar
) -> None:
    viewer, other = Viewer(workers.open(), avatar), Viewer(workers.open(), avatar)
    gone = dataclasses.replace(avatar.compositor(MARK).origin or Origin("", "", 0, None), avatar="gone")
    viewer.compositor.origin = gone
    with pytest.raises(PictureFailedError, match="gone"):
        await viewer.see()
    (encoded,), _ = await other.see()
    assert encoded.key
    assert workers.restarts == 0


async def test_a_broadcast_that_ends_with_a_picture_under_way_disturbs_nobody(
    workers: PictureWorkers, avatar: PreparedAvatar
) -> None:
    leaving, staying = Viewer(workers.open(), avatar), Viewer(workers.open(), avatar)
    task = asyncio.create_task(leaving.see())
    await asyncio.sleep(0)
    task.cancel()
    leaving.stream.close()
    (encoded,), _ = await staying.see(mouth=True)
    assert encoded.key
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_without_workers_threads_do_it(store: Path, avatar: PreparedAvatar) -> None:
    workers = PictureWorkers(store, 0)
    workers.start(REGION)
    (encoded,), _ = await Viewer(workers.open(), avatar).see(mouth=True)
    assert encoded.key
    assert encoded.payloads
    await workers.close()


def test_an_answer_arrives_as_it_was_sent() -> None:
    sent = [Encoded([b"\n{}", b""], True, 5, 6), Encoded([], False, 7, 8), Encoded([b"abc"], False, 9, 10)]
    assert encoded_pictures(*unpack(FROM_WORKER, encoded_message(3, sent, 0.5))) == sent
    assert unpack(FROM_WORKER, encoded_message(3, sent, 0.5))[0].stream == 3


def test_an_origin_without_a_mark_stays_so() -> None:
    assert origin_of(["ann", "f", 3, None]) == Origin("ann", "f", 3, None)
    assert origin_of(["ann", "f", 3, ["AI", "top-left", 0.05]]) == Origin("ann", "f", 3, MARK)
