"""Avatars that an earlier version prepared: shown at once, prepared again in the background, with the same pictures."""

import asyncio
import dataclasses
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lipstream.avatar_cache.avatar import FACTS, PREPARED_FORMAT, load_prepared, verify_prepared
from lipstream.avatar_cache.crop_change import CropChange
from lipstream.avatar_cache.prepare import prepare
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.lipsync.metadata import Pads
from lipstream.realtime.lipsync.weights import load_weights
from lipstream.realtime.server import loaded_avatars
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.settings import Settings
from tests.realtime.fakes import FakePredictor, make_store, worker_settings

MADE = Path(__file__).parent.parent.parent / "compatibility" / "store.zip"


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(200):
        while not holds():
            await asyncio.sleep(0.05)


async def test_an_old_one_is_shown_at_once_and_replaced_after_its_session(
    tmp_path: Path, no_built_in_avatars: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded_avatars, "_SHOWN_EVERY_S", 0.05)
    monkeypatch.setattr("lipstream.realtime.server.sessions.UNCLAIMED_S", 1000.0)  # the session has no client
    with zipfile.ZipFile(MADE) as packed:
        packed.extractall(tmp_path)
    weights, store = tmp_path / "weights.safetensors", AvatarStore(tmp_path / "store")
    _, metadata = load_weights(weights)
    avatar = store.load("before")
    facts = avatar.prepared_folder(metadata.fingerprint) / FACTS
    assert json.loads(facts.read_text())["format"] == 2
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
        await _until(lambda: bool(json.loads(facts.read_text())["format"] == PREPARED_FORMAT))
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
        difference = np.abs(np.array(getattr(new, name)).astype(int) - before[name])
        assert difference.max() <= 2, f"{name}: the same pictures, but for another machine's arithmetic"


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
