"""Preparation with the built-in network and with a long clip."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from lipstream.avatar_cache.avatar import load_prepared
from lipstream.avatar_cache.blend_quality import measure_blend
from lipstream.avatar_cache.clip_builder import BuildOptions
from lipstream.avatar_cache.media_reader import Limits
from lipstream.avatar_cache.prepare import decode_clip, prepare
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.audio.mel import mel_spectrogram
from lipstream.realtime.errors import TooLargeError
from lipstream.realtime.lipsync.backends import create_predictor
from lipstream.realtime.lipsync.fields import FINE_FIELD_BYTES
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS
from lipstream.realtime.lipsync.predictor import MouthPredictor, draw_with
from lipstream.realtime.lipsync.weights import load_weights
from lipstream.realtime.picture.i420 import planes
from lipstream.realtime.picture.mouth_painter import Box
from tests.avatar_cache.clips import write_clip
from tests.realtime.fakes import FakePredictor, worker_settings
from tests.realtime.speech import voice


def test_three_minutes_are_taken_where_they_are_asked_for(tmp_path: Path) -> None:
    store = AvatarStore(tmp_path / "store")
    shades = (np.full((32, 48, 3), 90 + round(60 * np.sin(i / 700)), np.uint8) for i in range(4500))
    path = write_clip(tmp_path / "long.mp4", shades)
    options = BuildOptions(box=Box(8, 0, 32, 32), loop="pingpong")
    with pytest.raises(TooLargeError, match=r"lasts 180\.0 s or more; at most 60 s"):
        store.build(path, "long", options=options)
    avatar = store.build(path, "long", options=dataclasses.replace(options, limits=Limits(seconds=180)))
    assert avatar.manifest.frames == 4500
    prepared = prepare(avatar, FakePredictor(worker_settings(store, "FakePredictor")))
    assert isinstance(prepared.frames.base, np.memmap)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> MouthPredictor:
    return create_predictor(BUILT_IN_WEIGHTS, device="cpu", cache=tmp_path_factory.mktemp("graphs"))


def test_cached_frames_draw_what_the_whole_network_draws(predictor: MouthPredictor, tmp_path: Path) -> None:
    prepared = prepare(AvatarStore(tmp_path).load("ada"), predictor)
    network, metadata = load_weights(BUILT_IN_WEIGHTS)
    region = metadata.decoded_region
    frames = np.arange(0, len(prepared.frames), 5)
    mel = torch.from_numpy(np.random.default_rng(7).uniform(-4, 2, (len(frames), 80, 16)).astype(np.float32))
    crops = torch.from_numpy(np.array(prepared.features.crops[frames])).permute(0, 3, 1, 2).float() / 255
    masked = crops.clone()
    masked[:, :, metadata.size // 2 :] = 0
    with torch.inference_mode():
        whole = network(mel[:, None], torch.cat([masked, crops], dim=1))
    whole = (whole[:, :, region.top : region.bottom, region.left : region.right] * 255).round().permute(0, 2, 3, 1)
    cached = predictor.predict(mel.numpy(), prepared.features, frames).astype(int)
    away = np.abs(cached - whole.numpy())
    assert away.mean() < 0.5
    assert away.mean(axis=(1, 2, 3)).max() < 1
    assert np.quantile(away, 0.9999) <= 6
    assert away.max() <= 24, "with few bits a bright border may lie a little beside where it was"


def test_no_edge_shows_around_a_speaking_mouth(predictor: MouthPredictor, tmp_path: Path) -> None:
    store = AvatarStore(tmp_path)
    avatar = store.build(Path(__file__).parent / "astronaut.jpg", "portrait", options=BuildOptions(still=True))
    compositor = prepare(avatar, predictor).compositor()
    source = planes(next(decode_clip(avatar.clip, avatar.manifest)))[0]
    mel = mel_spectrogram(voice(2.0))
    windows = np.stack([mel[:, start : start + 16] for start in range(0, 128, 8)]).astype(np.float32)
    features = load_prepared(avatar, predictor.metadata.fingerprint).features
    draw, pixel_bytes = draw_with(predictor)
    assert pixel_bytes == FINE_FIELD_BYTES
    mouths = draw(windows, features, np.zeros(len(windows), np.int64))
    for mouth in mouths:
        spoken = planes(compositor.compose(0, mouth, 1.0))[0]
        assert measure_blend(source, spoken, compositor.mask(0)).seam <= 1.2
    assert np.abs(mouths[..., 4].astype(int) - mouths[:1, ..., 4]).max() > 20, "they open and close"
