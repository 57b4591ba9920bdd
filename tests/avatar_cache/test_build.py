"""Whole builds: files in, stored avatars out."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipstream.avatar_cache.clip_builder import BuildOptions
from lipstream.avatar_cache.media_reader import Limits
from lipstream.avatar_cache.prepare import prepare
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.errors import AvatarError, LipstreamError, TooLargeError
from lipstream.realtime.picture.mouth_painter import Box
from tests.avatar_cache.clips import corners, write_clip
from tests.realtime.fakes import FakePredictor, worker_settings

BY_HAND = BuildOptions(box=Box(32, 16, 64, 64), consent="a drawing of no real person")


def drawing(count: int) -> list[np.ndarray]:
    """A cartoon that sways: no detector finds a face in it."""
    pictures = []
    for index in range(count):
        picture = np.full((96, 128, 3), 200, np.uint8)
        shift = round(6 * np.sin(2 * np.pi * index / 60))
        cv2.circle(picture, (64 + shift, 48), 30, (80, 180, 240), -1)
        cv2.ellipse(picture, (64 + shift, 62), (10, 3), 0, 0, 360, (40, 40, 160), -1)
        pictures.append(picture)
    return pictures


@pytest.fixture
def store(tmp_path: Path) -> AvatarStore:
    return AvatarStore(tmp_path / "store")


def leftovers(store: AvatarStore) -> list[str]:
    return [path.name for path in store.root.rglob("*") if path.is_file() or path.name.startswith(".")]


def test_a_drawing_with_a_box_by_hand_becomes_an_avatar_that_loops(store: AvatarStore, tmp_path: Path) -> None:
    shares: list[float] = []
    avatar = store.build(
        write_clip(tmp_path / "toon.mp4", drawing(150)), "toon", options=BY_HAND, progress=shares.append
    )
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert avatar.manifest.loop == "seamless"
    assert store.load("toon").manifest.consent == "a drawing of no real person"
    assert avatar.manifest.frames >= 60
    assert set(avatar.manifest.boxes) == {Box(32, 16, 64, 64)}
    report = json.loads(store.report("toon") or "")
    assert {line["name"] for line in report["lines"]} >= {"face", "sharpness", "loop jump"}
    store.verify("toon")
    predictor = FakePredictor(worker_settings(store, "FakePredictor"))
    assert prepare(avatar, predictor).frames.shape == (avatar.manifest.frames, 144, 128)
    store.verify("toon")


def test_the_same_source_and_options_give_the_same_bytes(store: AvatarStore, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "toon.mp4", drawing(60))
    store.build(source, "one", options=BY_HAND)
    (tmp_path / "elsewhere").mkdir()
    store.build(source.rename(tmp_path / "elsewhere" / "copy.mp4"), "two", options=BY_HAND)
    one, two = (store.root / "avatars" / name for name in ("one", "two"))
    for name in ("clip.mp4", "report.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    manifests = [json.loads((folder / "avatar.json").read_text()) for folder in (one, two)]
    assert {key for key in manifests[0] if manifests[0][key] != manifests[1][key]} == {"id", "name"}
    assert str(tmp_path) not in (one / "avatar.json").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (BuildOptions(box=Box(100, 0, 64, 64)), "128x96 as stored"),
        (BuildOptions(face=0), "counted from 1"),
        (BuildOptions(box=Box(0, 0, 16, 16)), "16 px wide; at least 32"),
        (BuildOptions(box=Box(0, 0, 64, 64), limits=Limits(seconds=1)), "at most 1 s"),
    ],
)
def test_a_refusal_leaves_nothing_behind(
    store: AvatarStore, tmp_path: Path, options: BuildOptions, message: str
) -> None:
    with pytest.raises(LipstreamError, match=message) as caught:
        store.build(write_clip(tmp_path / "toon.mp4", drawing(50)), "toon", options=options)
    assert "\n" not in caught.value.message
    assert leftovers(store) == []


def test_stopping_leaves_the_old_avatar(store: AvatarStore, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "toon.mp4", drawing(60))
    store.build(source, "toon", options=BY_HAND)

    def stop(share: float) -> None:
        if share > 0.7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.build(source, "toon", options=BuildOptions(box=Box(0, 0, 48, 48)), progress=stop)
    assert set(store.load("toon").manifest.boxes) == {Box(32, 16, 64, 64)}
    assert not [name for name in leftovers(store) if name.startswith(".")]


def test_what_a_killed_process_left_is_removed_a_day_later(store: AvatarStore, tmp_path: Path) -> None:
    avatar = store.build(write_clip(tmp_path / "toon.mp4", drawing(12)), "toon", options=BY_HAND)
    old, young = (avatar.clip.parent.parent / f".build-{name}" for name in ("old", "young"))
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    store.build(avatar.clip, "again", options=BY_HAND)
    assert (old.exists(), young.exists()) == (False, True)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_photograph_that_stays_still(store: AvatarStore, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"toon.{suffix}"
    cv2.imwrite(str(path), drawing(1)[0])
    avatar = store.build(path, "still", options=BuildOptions(box=Box(32, 16, 64, 64), still=True))
    assert avatar.manifest.frames == 1
    predictor = FakePredictor(worker_settings(store, "FakePredictor"))
    assert prepare(avatar, predictor).compositor().compose(0, None, 0).shape == (144, 128)


def test_a_clip_that_changes_its_size_says_where(store: AvatarStore, tmp_path: Path) -> None:
    first = write_clip(tmp_path / "a.mpg", [corners(128, 96)] * 10, codec="mpeg2video")
    second = write_clip(tmp_path / "b.mpg", [corners(96, 96)] * 10, codec="mpeg2video")
    (tmp_path / "c.mpg").write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises((AvatarError, TooLargeError), match="changes its size"):
        store.build(tmp_path / "c.mpg", "toon", options=BY_HAND)


def test_verify_finds_a_flipped_byte_a_missing_file_and_a_foreign_model(store: AvatarStore, tmp_path: Path) -> None:
    avatar = store.build(write_clip(tmp_path / "toon.mp4", drawing(60)), "toon", options=BY_HAND)
    predictor = FakePredictor(worker_settings(store, "FakePredictor"))
    prepare(avatar, predictor)
    folder = avatar.prepared_folder(predictor.metadata.fingerprint)
    store.verify("toon")
    foreign = folder.parent / ("f" * 16)
    folder.rename(foreign)
    with pytest.raises(AvatarError, match="was prepared for weights 0000"):
        store.verify("toon")
    assert not avatar.is_prepared(foreign.name)
    foreign.rename(folder)
    flip(folder / "level3.npy")
    with pytest.raises(AvatarError, match=r"level3\.npy was changed"):
        store.verify("toon")
    (folder / "level3.npy").unlink()
    with pytest.raises(AvatarError, match=r"cannot read .*level3\.npy"):
        store.verify("toon")
    flip(avatar.clip)
    with pytest.raises(AvatarError, match="is not the clip that was built"):
        store.verify("toon")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_mouth_that_the_weights_do_not_draw_is_refused(store: AvatarStore, tmp_path: Path) -> None:
    store.build(write_clip(tmp_path / "toon.mp4", drawing(12)), "toon", options=BY_HAND)
    path = store.root / "avatars" / "toon" / "avatar.json"
    facts = json.loads(path.read_text()) | {"outline": [[0.4, 0.1], [0.6, 0.1], [0.5, 0.3]]}
    path.write_text(json.dumps(facts))
    with pytest.raises(AvatarError, match="outside what these weights draw"):
        prepare(store.load("toon"), FakePredictor(worker_settings(store, "FakePredictor")))
    assert list(store.root.rglob(".*")) == []
