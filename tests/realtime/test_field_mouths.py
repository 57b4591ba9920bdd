"""Mouths of fields on their way: prepared, drawn in a render worker, painted by threads and by a picture worker."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from aiortc.codecs.vpx import vp8_depayload

from lipstream.avatar_cache.avatar import load_prepared
from lipstream.avatar_cache.prepare import decode_clip, prepare
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.audio.mel import SILENCE_LEVEL
from lipstream.realtime.encoding.picture_backend import EncodeRequest
from lipstream.realtime.lipsync.fields import FIELD_BYTES, FINE_FIELD_BYTES, FLOW_BYTES, PIXEL_BYTES
from lipstream.realtime.lipsync.predictor import FaceFeatures
from lipstream.realtime.picture.compositor import Painting
from lipstream.realtime.picture.i420 import planes
from lipstream.realtime.render import decide_frames, render_pictures
from lipstream.realtime.session.animator import ClipLoop
from lipstream.realtime.workers.picture_client import PictureWorkers
from lipstream.realtime.workers.render_client import RenderWorker
from tests.loopback.conftest import until
from tests.realtime.fakes import REGION, FakePredictor, FinePredictor, MovingPredictor, make_store, worker_settings
from tests.realtime.speech import silence, voice

VP8 = "video/vp8"
SOUND = np.concatenate((silence(0.4, 48000), voice(0.8, 48000), silence(0.6, 48000)))


@pytest.fixture
def store(tmp_path: Path) -> AvatarStore:
    return make_store(tmp_path, {"ann": 60})


def _mouths(predictor: MovingPredictor, store: AvatarStore, windows: list[np.ndarray], frames: list[int]) -> np.ndarray:
    features = prepare(store.load("ann"), predictor).features
    return predictor.predict_fields(np.stack(windows), features, np.array(frames))


def test_an_avatar_is_prepared_again_for_the_other_kind_of_mouth(store: AvatarStore) -> None:
    avatar = store.load("ann")
    pixels = FakePredictor(worker_settings(store, "FakePredictor"))
    fields = MovingPredictor(worker_settings(store, "MovingPredictor"))
    fingerprint = fields.metadata.fingerprint
    before = prepare(avatar, pixels)
    facts = avatar.prepared_folder(fingerprint) / "prepared.json"
    as_then = {key: value for key, value in json.loads(facts.read_text()).items() if key != "pixel_bytes"}
    facts.write_text(json.dumps({**as_then, "format": 3}))
    assert avatar.is_prepared(fingerprint)
    assert avatar.is_prepared(fingerprint, PIXEL_BYTES)
    assert not avatar.is_prepared(fingerprint, FIELD_BYTES)
    assert load_prepared(avatar, fingerprint).under is None, "an earlier format is read"
    after = prepare(avatar, fields)
    assert (before.rest_mouths.shape[-1], after.rest_mouths.shape[-1]) == (PIXEL_BYTES, FLOW_BYTES)
    assert avatar.is_prepared(fingerprint, FIELD_BYTES)
    assert after.under is not None
    assert after.bytes()["pictures"] == after.frames.nbytes + after.rest_mouths.nbytes + after.under.nbytes
    assert prepare(avatar, fields).loaded > after.loaded, "this time it is only loaded"
    assert prepare(avatar, pixels).under is None
    store.verify("ann")


def test_an_avatar_is_prepared_again_for_fine_paint(store: AvatarStore) -> None:
    avatar = store.load("ann")
    coarse, fine = MovingPredictor(worker_settings(store, "")), FinePredictor(worker_settings(store, ""))
    for predictor, pixel_bytes in ((coarse, FIELD_BYTES), (fine, FINE_FIELD_BYTES)):
        prepare(avatar, predictor)
        others = {FIELD_BYTES, FINE_FIELD_BYTES} - {pixel_bytes}
        assert avatar.is_prepared(predictor.metadata.fingerprint, pixel_bytes)
        assert not any(avatar.is_prepared(predictor.metadata.fingerprint, other) for other in others)


class RestingPredictor(MovingPredictor):
    """Moves the mouth at rest too, and may paint it."""

    paint = 0

    def predict_fields(
        self, mel: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        fields = super().predict_fields(mel, features, frames)
        silent = mel.max(axis=(1, 2)) <= SILENCE_LEVEL
        fields[silent, ..., :FLOW_BYTES] = (0, 4, 0, 8)
        fields[silent, 20:24, 30:40, FLOW_BYTES:] = self.paint
        return fields


def test_mouths_at_rest_that_paint_nothing_are_kept_as_their_flow_and_open_alike(store: AvatarStore) -> None:
    avatar, predictor = store.load("ann"), RestingPredictor(worker_settings(store, ""))
    prepared, frames = prepare(avatar, predictor), np.zeros(1, np.int64)
    silent, loud = (np.full((1, 80, 16), level, np.float32) for level in (SILENCE_LEVEL, 4))
    rest, mouth = (predictor.predict_fields(mel, prepared.features, frames)[0] for mel in (silent, loud))
    assert prepared.rest_mouths.shape[-1] == FLOW_BYTES
    whole = dataclasses.replace(prepared, rest_mouths=np.broadcast_to(rest, (len(prepared.frames), *rest.shape)))
    for spoken in (0.1, 0.5, 1.0):
        found, expected = (each.compositor().compose(0, mouth, spoken) for each in (prepared, whole))
        np.testing.assert_array_equal(found, expected)
    shutil.rmtree(avatar.prepared_folder(predictor.metadata.fingerprint))
    predictor.paint = 60
    painted = prepare(avatar, predictor).rest_mouths
    assert painted.shape[-1] == FIELD_BYTES
    assert painted[0, 22, 35, FLOW_BYTES:].tolist() == [60] * 4


PREDICTORS = {MovingPredictor: FIELD_BYTES, FinePredictor: FINE_FIELD_BYTES}


@pytest.mark.parametrize("kind", PREDICTORS)
async def test_a_rendered_file_shows_what_a_compositor_composes(
    store: AvatarStore, kind: type[MovingPredictor]
) -> None:
    worker = RenderWorker(worker_settings(store, kind.__name__))
    try:
        await worker.start()
        assert worker.pixel_bytes == PREDICTORS[kind]
        rendered = [picture.copy() async for _, picture in render_pictures(SOUND, worker, store, "ann")]
    finally:
        await worker.close()
    predictor = kind(worker_settings(store, kind.__name__))
    avatar = prepare(store.load("ann"), predictor)
    compositor, loop = avatar.compositor(), ClipLoop(avatar.manifest.frames, avatar.manifest.loop)
    jobs = decide_frames(SOUND, loop, window_offset_samples=predictor.metadata.window_offset_samples)
    source = [planes(frame)[0] for frame in decode_clip(store.load("ann").clip, avatar.manifest)]
    bright = []
    for job, picture in zip(jobs, rendered, strict=True):
        mouth = None if job.mel is None else _mouths(predictor, store, [job.mel], [job.clip_frame])[0]
        np.testing.assert_array_equal(picture, compositor.compose(job.clip_frame, mouth, job.spoken))
        middle = int(planes(picture)[0][88, 64]) - int(source[job.clip_frame][88, 64])
        bright.append(middle)
        assert (middle > 0) == (job.mel is not None and job.mel.max() > SILENCE_LEVEL)
    assert max(bright) > 100
    assert {job.spoken for job in jobs} >= {0.25, 0.5, 0.75, 1.0}, "with fades"


@pytest.mark.parametrize("kind", PREDICTORS)
async def test_a_picture_worker_paints_the_fields_that_threads_would(
    store: AvatarStore, kind: type[MovingPredictor]
) -> None:
    predictor = kind(worker_settings(store, kind.__name__))
    compositor = prepare(store.load("ann"), predictor).compositor()
    workers = PictureWorkers(store.root, 1)
    workers.start(REGION, PREDICTORS[kind])
    codec: Any = av.CodecContext.create("libvpx", "r")
    window = np.full((80, 16), SILENCE_LEVEL + 1, np.float32)
    try:
        await until(lambda: workers.up == 1, "the worker")
        stream = workers.open()
        for index, spoken in enumerate((0.0, 0.5, 1.0, 0.75)):
            mouth = _mouths(predictor, store, [window], [index])[0] if spoken else None
            painting = Painting(compositor, index, mouth, spoken)
            (encoded,) = await stream.encode(index, painting, [EncodeRequest(VP8, 2_000_000, key=False)])
            (frame,) = codec.decode(av.Packet(b"".join(map(vp8_depayload, encoded.payloads))))
            error = planes(frame.to_ndarray(format="yuv420p"))[0].astype(float) - planes(painting())[0]
            assert 10 * np.log10(255**2 / np.square(error).mean()) > 34
        assert workers.seconds > 0, "the worker did it"
    finally:
        await workers.close()
