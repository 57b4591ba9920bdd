"""Avatars that an earlier version prepared: shown at once, prepared again in the background, with the same pictures."""

import asyncio
import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lipstream.avatar_cache.avatar import FACTS, PREPARED_FORMAT, load_prepared, verify_prepared
from lipstream.avatar_cache.crop_change import CropChange
from lipstream.avatar_cache.prepare import prepare
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.lipsync.metadata import Pads, Region
from lipstream.realtime.lipsync.network import Wav2Lip
from lipstream.realtime.lipsync.weights import load_weights, save_weights
from lipstream.realtime.server import loaded_avatars
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.settings import Settings
from tests.realtime.fakes import FakePredictor, make_store, worker_settings

_FACTS_OF_FORMAT_2 = ("weights", "clip", "region", "crop_size", "sha256")


def _save_pixel_weights(path: Path) -> None:
    """Save a random network that paints pixels in Lipstream's own crop, which avatars of format 2 are prepared for."""
    torch.manual_seed(3)
    network = Wav2Lip(0.125, 96, "paint").eval()
    region = Region(48, 96, 12, 84)
    save_weights(network, path, window_offset_samples=-640, decoded_region=region, licence="CC0-1.0", name="random")


def _format(facts: Path) -> int | None:
    """Return the format of a prepared avatar; ``None`` in the moment between the old one and the new one."""
    try:
        return int(json.loads(facts.read_text())["format"])
    except FileNotFoundError:
        return None


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(200):
        while not holds():
            await asyncio.sleep(0.05)


async def test_an_old_one_is_shown_at_once_and_replaced_after_its_session(
    tmp_path: Path, no_built_in_avatars: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded_avatars, "_SHOWN_EVERY_S", 0.05)
    monkeypatch.setattr("lipstream.realtime.server.sessions.UNCLAIMED_S", 1000.0)  # the session has no client
    weights, store = tmp_path / "weights.safetensors", make_store(tmp_path, {"before": 60})
    _save_pixel_weights(weights)
    avatar, metadata = store.load("before"), load_weights(weights)[1]
    command = (sys.executable, "-m", "lipstream.avatar_cache", "--store", str(store.root), "prepare", "before")
    subprocess.run([*command, "--weights", str(weights), "--device", "cpu"], check=True, timeout=170)  # noqa: ASYNC221
    facts = avatar.prepared_folder(metadata.fingerprint) / FACTS
    known = json.loads(facts.read_text())
    facts.write_text(json.dumps({"format": 2} | {key: known[key] for key in _FACTS_OF_FORMAT_2}))
    assert avatar.is_prepared(metadata.fingerprint)
    assert not avatar.is_current(metadata)
    old = load_prepared(avatar, metadata.fingerprint)
    before = {name: np.array(getattr(old, name)) for name in ("frames", "rest_mouths")}
    before["crops"] = np.array(old.features.crops)

    sessions = Sessions(Settings(store=store.root, weights=weights, device="cpu", picture_workers=0))
    try:
        await sessions.start()
        assert sessions.unready_reason() is None
        assert sessions.avatars.state("before") == "ready"
        session, _ = await sessions.create("before", None)
        shown = (await sessions.avatars.get("before")).loaded
        await _until(lambda: _format(facts) == PREPARED_FORMAT)
        assert (await sessions.avatars.get("before")).loaded == shown, "not while a session shows it"
        await sessions.delete(session.id)
        async with asyncio.timeout(200):
            while (await sessions.avatars.get("before")).loaded == shown:
                await asyncio.sleep(0.05)
        again, _ = await sessions.create("before", None)
        assert again.avatar_id == "before"
        new = await sessions.avatars.get("before")
    finally:
        await sessions.close()
    verify_prepared(avatar, avatar.prepared_folder(metadata.fingerprint))
    assert avatar.is_current(metadata)
    assert new.geometry == old.geometry
    np.testing.assert_array_equal(new.features.crops, before["crops"])
    for name in ("frames", "rest_mouths"):
        np.testing.assert_array_equal(getattr(new, name), before[name])


class _DetectorPredictor(FakePredictor):
    def __init__(self, store: AvatarStore, pads: Pads) -> None:
        super().__init__(worker_settings(store, "FakePredictor"))
        self.metadata = dataclasses.replace(self.metadata, crop="detector", pads=pads)


def test_other_boxes_make_it_old_for_a_detector_s_crop_alone(tmp_path: Path) -> None:
    store = make_store(tmp_path, {"ann": 60})
    ours, theirs = FakePredictor(worker_settings(store, "FakePredictor")), _DetectorPredictor(store, Pads(0, 10, 0, 0))
    avatar = store.load("ann")
    first = [prepare(avatar, predictor).loaded for predictor in (ours, theirs)]
    assert [avatar.is_current(predictor.metadata) for predictor in (ours, theirs)] == [True, True]
    avatar = store.change_crop("ann", CropChange(rectangle=(20, 10, 100, 120)))
    assert [avatar.is_current(predictor.metadata) for predictor in (ours, theirs)] == [True, False]
    assert avatar.is_prepared(theirs.metadata.fingerprint), "a server shows it meanwhile"
    kept = prepare(avatar, theirs, keeps_old=True)
    assert kept.geometry.boxes[0].x != 20
    assert kept.loaded > first[1]
    renewed = prepare(avatar, theirs)
    assert {(box.x, box.y, box.width, box.height) for box in renewed.geometry.boxes} == {(20, 10, 80, 110)}
    assert avatar.is_current(theirs.metadata)
    wider = _DetectorPredictor(store, Pads(0, 20, 0, 0))
    assert not avatar.is_prepared(wider.metadata.fingerprint), "other pads are prepared beside"
    prepare(avatar, wider)
    assert avatar.is_current(theirs.metadata)
