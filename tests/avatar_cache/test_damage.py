"""Damaged files of a store: what is derived is made again, once; what is not is left out, in one sentence."""

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lipstream.avatar_cache.avatar import FACTS, Avatar, load_prepared, verify_prepared
from lipstream.avatar_cache.prepare import prepare
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.errors import AvatarError
from tests.realtime.fakes import FakePredictor, make_store, worker_settings

ARRAYS = ("frames.npy", "crops.npy", "rest_mouths.npy", "level0.npy", "level6.npy")
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
Damage = Callable[[bytes], bytes]
DAMAGES: dict[str, Damage] = {
    "emptied": lambda _: b"",
    "cut": lambda data: data[: len(data) // 2],
    "cut by a byte": lambda data: data[:-1],
    "overwritten": lambda data: b"\xff" * len(data),
    "zeroed": lambda data: bytes(len(data)),
    "an archive": lambda data: b"PK\x03\x04" + data,
    "deep": lambda _: b"[" * 100_000,
    "a list": lambda _: b"[1, 2]",
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[AvatarStore, FakePredictor]:
    store = make_store(tmp_path_factory.mktemp("damage"), {"ann": 60, "bob": 140})
    predictor = FakePredictor(worker_settings(store, "FakePredictor"))
    prepare(store.load("ann"), predictor)
    return store, predictor


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)


def folder_of(avatar: Avatar, predictor: FakePredictor) -> Path:
    return avatar.prepared_folder(predictor.metadata.fingerprint)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [*ARRAYS, FACTS])
def test_a_damaged_preparation_is_made_again(
    prepared: tuple[AvatarStore, FakePredictor], name: str, damage: str
) -> None:
    store, predictor = prepared
    avatar = store.load("ann")
    path = folder_of(avatar, predictor) / name
    path.chmod(0o600)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    whole = prepare(avatar, predictor)
    assert whole.frames.shape == (20, 192, 128)
    assert whole.rest_mouths.any()
    verify_prepared(avatar, path.parent)


@settings(max_examples=60)
@given(facts=JSON)
@example(facts={"\0": None})
def test_any_json_in_place_of_the_facts_is_taken_for_damage(
    prepared: tuple[AvatarStore, FakePredictor], facts: Any
) -> None:
    store, predictor = prepared
    avatar, fingerprint = store.load("ann"), predictor.metadata.fingerprint
    prepare(avatar, predictor)
    path = folder_of(avatar, predictor) / FACTS
    text = path.read_text()
    known = json.loads(text)
    try:
        for damaged in (facts, {**known, "boxes": facts}, {**known, "sha256": facts}, {**known, "region": facts}):
            path.write_text(json.dumps(damaged))
            with pytest.raises(AvatarError):
                load_prepared(avatar, fingerprint)
            with contextlib.suppress(AvatarError):  # it compares files, and boxes are none
                verify_prepared(avatar, path.parent)
    finally:
        path.write_text(text)


@settings(max_examples=100)
@given(
    facts=JSON, key=st.sampled_from(["", "boxes", "size", "outline", "detector_boxes", "id", "format", "fps", "loop"])
)
def test_an_avatar_with_a_damaged_manifest_is_left_out_and_the_others_stay(
    prepared: tuple[AvatarStore, FakePredictor], facts: Any, key: str
) -> None:
    store, _ = prepared
    path = store.root / "avatars" / "bob" / "avatar.json"
    whole = path.read_text()
    path.write_text(json.dumps({**json.loads(whole), key: facts} if key else facts))
    try:
        assert "ann" in [manifest.id for manifest in store.list()]
        with contextlib.suppress(AvatarError):  # or it is whole: not every value of every field is wrong
            store.load("bob")
    finally:
        path.write_text(whole)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_report_is_none(prepared: tuple[AvatarStore, FakePredictor], damage: str) -> None:
    store, _ = prepared
    path = store.root / "avatars" / "bob" / "report.json"
    path.write_bytes(DAMAGES[damage](b'{"lines": []}'))
    assert store.report("bob") is None
    path.unlink()


def test_what_is_written_is_on_the_disk_before_it_is_moved(
    prepared: tuple[AvatarStore, FakePredictor], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, predictor = prepared
    avatar = store.load("ann")
    shutil.rmtree(avatar.prepared_root)
    synced: set[tuple[int, int]] = set()
    monkeypatch.setattr("os.fsync", lambda file: synced.add(_node(Path(f"/proc/self/fd/{file}"))))
    whole = prepare(avatar, predictor)
    folder = folder_of(avatar, predictor)
    assert {_node(path) for path in (folder, *folder.iterdir())} <= synced
    assert np.array_equal(whole.features.crops, prepare(avatar, predictor).features.crops)


def _node(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_dev, facts.st_ino
