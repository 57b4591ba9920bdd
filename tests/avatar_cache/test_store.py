import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipstream.avatar_cache.__main__ import main
from lipstream.avatar_cache.avatar import load_prepared
from lipstream.avatar_cache.manifest import Manifest
from lipstream.avatar_cache.prepare import decode_clip, prepare
from lipstream.avatar_cache.store import BUILT_IN, AvatarStore, default_root
from lipstream.realtime.errors import AvatarError, NotFoundError
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS
from lipstream.realtime.lipsync.predictor import FaceFeatures
from lipstream.realtime.picture.i420 import planes
from tests.realtime.fakes import FRAMES, REGION, SIZE, FakePredictor, make_store, worker_settings, write_avatar


@pytest.fixture
def store(tmp_path: Path) -> AvatarStore:
    return make_store(tmp_path, {"ann": 90})


@pytest.fixture
def predictor(store: AvatarStore) -> FakePredictor:
    return FakePredictor(worker_settings(store, "FakePredictor"))


class BrightRest(FakePredictor):
    """Its rest mouth differs from the crop by 60."""

    def predict(self, mel: np.ndarray, features: FaceFeatures, frames: np.ndarray) -> np.ndarray:
        mouths = super().predict(mel, features, frames)
        for mouth, window in zip(mouths, mel, strict=True):
            if (window == -4).all():
                self.draw(mouth, window)
        return mouths


def test_an_avatar_is_stored_listed_loaded_previewed_and_removed(store: AvatarStore) -> None:
    assert "ann" in [manifest.id for manifest in store.list()]
    avatar = store.load("ann")
    assert avatar.manifest.frames == FRAMES
    frames = list(decode_clip(avatar.clip, avatar.manifest))
    assert np.shape(frames) == (FRAMES, SIZE[1] * 3 // 2, SIZE[0])
    preview = cv2.imdecode(np.frombuffer(store.preview("ann"), np.uint8), cv2.IMREAD_COLOR)
    assert preview is not None
    assert preview.shape == (128, 128, 3)
    store.verify("ann")
    store.remove("ann")
    with pytest.raises(NotFoundError):
        store.load("ann")
    with pytest.raises(NotFoundError):
        store.remove("ann")


@pytest.mark.parametrize("avatar_id", ["", "..", "a/b", "../ann", "Ann", "a" * 64, "-a", "a\n", "ann\0"])
def test_ids_are_never_paths(store: AvatarStore, avatar_id: str) -> None:
    with pytest.raises(NotFoundError):
        store.load(avatar_id)
    with pytest.raises(AvatarError):
        store.remove(avatar_id)


def test_preparing_is_done_once_and_maps_the_same_arrays(store: AvatarStore, predictor: FakePredictor) -> None:
    shares: list[float] = []
    first = prepare(store.load("ann"), predictor, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    again: list[float] = []
    second = prepare(store.load("ann"), predictor, progress=again.append)
    assert again == []
    np.testing.assert_array_equal(first.frames, second.frames)
    assert isinstance(second.frames.base, np.memmap)
    assert not second.frames.flags.writeable
    assert second.rest_mouths.shape == (FRAMES, REGION.height, REGION.width, 3)
    assert second.compositor().compose(3, None, 0.0).shape == (SIZE[1] * 3 // 2, SIZE[0])


def test_stored_frames_show_the_rest_mouth_whatever_the_clip_does(store: AvatarStore) -> None:
    avatar = store.load("ann")
    source = list(decode_clip(avatar.clip, avatar.manifest))
    rest = prepare(avatar, BrightRest(worker_settings(store, "FakePredictor")))
    luma_before, luma = planes(source[0])[0], planes(rest.frames[0])[0]
    mask = rest.compositor().mask(0)
    assert int(luma[88, 64]) - int(luma_before[88, 64]) == pytest.approx(60 * 219 / 255, abs=2)
    np.testing.assert_array_equal(luma[~mask], luma_before[~mask])


def test_a_replaced_clip_and_damage_are_noticed(store: AvatarStore, predictor: FakePredictor, tmp_path: Path) -> None:
    prepare(store.load("ann"), predictor)
    fingerprint = predictor.metadata.fingerprint
    assert store.load("ann").is_prepared(fingerprint)
    assert not store.load("ann").is_prepared("f" * 16)
    store.build(write_avatar(tmp_path / "new", "ann", shade=150), "ann")
    assert not store.load("ann").is_prepared(fingerprint)
    prepare(store.load("ann"), predictor)
    (store.load("ann").prepared_folder(fingerprint) / "level3.npy").write_bytes(b"rubbish")
    with pytest.raises(AvatarError, match="damaged"):
        load_prepared(store.load("ann"), fingerprint)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fps": 30}, "fps 25"),
        ({"boxes": []}, "needs frames"),
        ({"boxes": [[0, 0, 500, 96]] * FRAMES}, "not inside"),
        ({"size": [128, 126]}, "multiple of 4"),
        ({"loop": "once"}, "seamless"),
        ({"id": "../x"}, "must match"),
        ({"boxes": [[15, 16, 96, 96]] * FRAMES}, "must be even"),
        ({"size": [256, 256]}, "is 128x128, its manifest says 256x256"),
        ({"boxes": [[16, 16, 96, 96]] * (FRAMES + 1)}, f"has {FRAMES} frames"),
    ],
)
def test_a_wrong_manifest_is_refused_and_the_old_avatar_stays(
    store: AvatarStore, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    folder = write_avatar(tmp_path / "wrong", "ann")
    facts = json.loads((folder / "avatar.json").read_text())
    (folder / "avatar.json").write_text(json.dumps(facts | change))
    with pytest.raises(AvatarError, match=message):
        store.build(folder, "ann")
    store.verify("ann")
    assert not list((store.root / "avatars").glob(".*"))


def test_a_clip_that_is_no_clip_is_refused(store: AvatarStore, tmp_path: Path) -> None:
    folder = write_avatar(tmp_path / "wrong", "eve")
    (folder / "clip.mp4").write_bytes(b"\x00" * 1000)
    with pytest.raises(AvatarError, match="cannot read the clip"):
        store.build(folder, "eve")
    assert "eve" not in [manifest.id for manifest in store.list()]


def test_manifests_come_back_from_json(store: AvatarStore, tmp_path: Path) -> None:
    manifest = store.load("ann").manifest
    (tmp_path / "copy.json").write_text(manifest.to_json())
    assert Manifest.read(tmp_path / "copy.json") == manifest


def test_built_in_avatars_are_whole(tmp_path: Path) -> None:
    store = AvatarStore(tmp_path)
    built_in = [folder.name for folder in BUILT_IN.glob("*/") if (folder / "avatar.json").exists()]
    assert built_in
    for avatar_id in built_in:
        store.verify(avatar_id)
        assert store.load(avatar_id).manifest.id == avatar_id
    assert sum(p.stat().st_size for p in BUILT_IN.rglob("*")) < 25e6
    assert BUILT_IN_WEIGHTS.stat().st_size < 12e6


def test_the_root_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LIPSTREAM_STORE", str(tmp_path / "a"))
    assert default_root() == tmp_path / "a"
    monkeypatch.delenv("LIPSTREAM_STORE")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "b"))
    assert default_root() == tmp_path / "b" / "lipstream"


def test_the_command_line(
    store: AvatarStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["avatar_cache", "--store", str(store.root), *arguments])
        status = main()
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    shutil.copytree(tmp_path / "source-ann", tmp_path / "again")
    assert run("build", str(tmp_path / "again"), "--id", "bob", "--no-prepare")[0] == 0
    assert "bob" in run("list")[1]
    assert json.loads(run("show", "bob")[1])["id"] == "bob"
    assert run("verify", "bob")[1] == "bob: whole\n"
    assert run("remove", "bob")[0] == 0
    status, _, err = run("verify", "bob")
    assert status == 1
    assert err == "avatar: there is no avatar 'bob'\n"
