"""The built-in detector on a photograph (NASA's portrait of Eileen Collins, public domain) and on built-in people."""

import sys
import types
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipstream.avatar_cache import landmark_network
from lipstream.avatar_cache.built_in_detector import BuiltInDetector
from lipstream.avatar_cache.clip_builder import BuildOptions
from lipstream.avatar_cache.detectors import create_detector
from lipstream.avatar_cache.face_geometry import estimate_pose
from lipstream.avatar_cache.landmark_network import LandmarkNetwork
from lipstream.avatar_cache.media_reader import Limits, open_source
from lipstream.avatar_cache.store import BUILT_IN, AvatarStore
from lipstream.realtime.errors import AvatarError, SettingsError, UnsupportedTypeError, WeightsError
from lipstream.realtime.picture.mouth_painter import Box
from tests.avatar_cache.clips import set_display_matrix, write_clip

People = dict[str, list[np.ndarray]]

PORTRAIT = Path(__file__).parent / "astronaut.jpg"
# Placed by hand in the portrait: corners of the eyes, tip of the nose, corners of the mouth, chin.
BY_HAND = {36: (192, 101), 39: (212, 102), 42: (237, 105), 45: (259, 104), 30: (224, 125)} | {
    48: (203, 139.5),
    54: (247, 139),
    8: (223, 179),
}
# Face boxes worked out from the meshes, as those of the training pictures: centre x, y and side, px of 512.
TRUE_BOXES = {"ada": (256.0, 276.1, 222.4), "ben": (256.0, 277.9, 241.6)}


@pytest.fixture(scope="module")
def detector() -> BuiltInDetector:
    return BuiltInDetector()


@pytest.fixture(scope="module")
def people() -> People:
    """The first frames of the built-in clips, at half their size."""
    found = {}
    for name in ("ada", "ben"):
        source = open_source(BUILT_IN / name / "clip.mp4", Limits(), side=256)
        found[name] = list(islice(source.pictures(), 60))
    return found


@pytest.fixture
def store(tmp_path: Path) -> AvatarStore:
    return AvatarStore(tmp_path / "store")


def read_portrait() -> np.ndarray:
    portrait = cv2.imread(str(PORTRAIT))
    assert isinstance(portrait, np.ndarray)
    return portrait


def notes(store: AvatarStore, avatar_id: str) -> str:
    return store.report(avatar_id) or ""


def test_landmarks_lie_where_a_person_would_put_them(detector: BuiltInDetector) -> None:
    faces = detector.find(read_portrait())
    assert len(faces) == 1
    wanted = np.array(list(BY_HAND.values()))
    away = np.linalg.norm(faces[0].points[list(BY_HAND)] - wanted, axis=1)
    assert away.mean() < 0.09 * np.linalg.norm(wanted[3] - wanted[0])
    pose = estimate_pose(faces[0].points)
    assert max(abs(pose.yaw_degrees), abs(pose.pitch_degrees), abs(pose.roll_degrees)) < 12


def test_without_openvino_torch_finds_the_same(detector: BuiltInDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    portrait = read_portrait()
    monkeypatch.setattr(landmark_network, "ov", None)
    (mine,), (usual,) = BuiltInDetector().find(portrait), detector.find(portrait)
    np.testing.assert_allclose(mine.points, usual.points, atol=0.05)


def test_a_face_is_found_at_any_size_and_not_where_there_is_none(detector: BuiltInDetector) -> None:
    portrait = read_portrait()
    for scale in (0.5, 2.0):
        faces = detector.find(cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
        assert len(faces) == 1
        np.testing.assert_allclose(faces[0].centre / scale, (222, 132), atol=12)
    assert detector.find(np.full((200, 300, 3), 90, np.uint8)) == []
    assert detector.find(portrait[260:, :]) == []
    noise = np.random.default_rng(5).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    assert detector.find(cv2.GaussianBlur(noise, (0, 0), 6)) == []


@pytest.mark.parametrize("name", TRUE_BOXES)
def test_the_box_is_that_of_the_training_pictures(
    people: People, store: AvatarStore, tmp_path: Path, name: str
) -> None:
    across, down, side = (value / 2 for value in TRUE_BOXES[name])
    store.build(write_clip(tmp_path / f"{name}.mp4", people[name]), "copy")
    for box in (*store.load("copy").manifest.boxes, half(AvatarStore(tmp_path / "none").load(name).manifest.boxes[0])):
        assert box.width == pytest.approx(side, rel=0.13)
        assert box.x + box.width / 2 == pytest.approx(across, abs=0.08 * side)
        assert box.y + box.height / 2 == pytest.approx(down, abs=0.10 * side)


def half(box: Box) -> Box:
    """Return the box in a picture of half the size."""
    return Box(box.x // 2, box.y // 2, box.width // 2, box.height // 2)


def test_a_portrait_becomes_a_living_avatar(store: AvatarStore) -> None:
    avatar = store.build(PORTRAIT, "eileen")
    assert (avatar.manifest.frames, avatar.manifest.loop) == (200, "seamless")
    assert len({(box.x, box.y) for box in avatar.manifest.boxes}) > 3
    assert len({box.width for box in avatar.manifest.boxes}) == 1
    assert len(avatar.manifest.outline) > 6


def test_one_of_two_people_is_chosen(people: People, store: AvatarStore, tmp_path: Path) -> None:
    small = [cv2.resize(picture, (180, 180), interpolation=cv2.INTER_AREA) for picture in people["ada"]]
    both = [
        np.hstack([ben, np.pad(ada, ((76, 0), (0, 0), (0, 0)), mode="edge")])
        for ben, ada in zip(people["ben"], small, strict=True)
    ]
    path = write_clip(tmp_path / "two.mp4", both)
    first = store.build(path, "first").manifest
    second = store.build(path, "second", options=BuildOptions(face=2)).manifest
    assert all(box.x + box.width / 2 < 256 for box in first.boxes)
    assert all(box.x + box.width / 2 > 256 for box in second.boxes)
    assert "2 faces were found" in notes(store, "first")
    with pytest.raises(AvatarError, match="no face number 3"):
        store.build(write_clip(tmp_path / "short.mp4", both[:3]), "third", options=BuildOptions(face=3))


def test_a_face_that_leaves_gives_the_part_with_a_face(people: People, store: AvatarStore, tmp_path: Path) -> None:
    empty = [np.full((256, 256, 3), 160, np.uint8)] * 30
    avatar = store.build(write_clip(tmp_path / "leaves.mp4", people["ada"][:40] + empty), "leaver")
    assert 30 <= avatar.manifest.frames <= 42
    assert "a face is there from 0.0 s to 1.6 s" in notes(store, "leaver")


def test_a_face_that_is_hidden_for_a_moment_is_bridged(people: People, store: AvatarStore, tmp_path: Path) -> None:
    clip = [picture.copy() for picture in people["ben"]]
    for picture in clip[20:25]:
        picture[:] = 120
    avatar = store.build(write_clip(tmp_path / "hidden.mp4", clip), "hidden", options=BuildOptions(loop="pingpong"))
    assert avatar.manifest.frames == 60
    assert "hidden or turned away in 5 frames" in notes(store, "hidden")


def test_a_clip_from_a_turned_telephone(people: People, store: AvatarStore, tmp_path: Path) -> None:
    lying = [np.ascontiguousarray(np.rot90(picture[:, 32:224])) for picture in people["ada"][:10]]
    path = write_clip(tmp_path / "phone.mp4", lying)
    set_display_matrix(path, (0, 1, -1, 0))
    avatar = store.build(path, "phone")
    assert avatar.manifest.size == (192, 256)
    assert avatar.manifest.frames == 10


def test_one_frame_is_a_photograph(people: People, store: AvatarStore, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "one.mp4", people["ada"][:1])
    assert store.build(path, "one").manifest.frames == 200
    assert store.build(path, "still", options=BuildOptions(still=True)).manifest.frames == 1


def test_no_face_is_one_sentence_and_leaves_nothing(store: AvatarStore, tmp_path: Path) -> None:
    with pytest.raises(AvatarError, match="no face was found: show one") as caught:
        store.build(write_clip(tmp_path / "empty.mp4", [np.full((96, 128, 3), 90, np.uint8)] * 12), "empty")
    assert "\n" not in caught.value.message
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


def test_what_is_not_installed_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p.heic").write_bytes(b"\x00\x00\x00\x18ftypheic" + bytes(100))
    with pytest.raises(UnsupportedTypeError, match=r"pip install .*heic|cannot be decoded"):
        list(open_source(tmp_path / "p.heic", Limits(), side=1280).pictures())
    with pytest.raises(SettingsError, match="none of built-in, face-alignment"):
        create_detector("oracle")
    monkeypatch.setitem(sys.modules, "face_alignment", None)
    with pytest.raises(SettingsError, match=r"pip install -e '.\[wav2lip\]'`, or use 'built-in'"):
        create_detector("face-alignment")


def test_a_face_alignment_that_is_too_old_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    old = types.ModuleType("face_alignment")
    old.__dict__["LandmarksType"] = types.SimpleNamespace(TWO_D=1)
    old.__dict__["FaceAlignment"] = lambda kind, device, flip_input: None
    monkeypatch.setitem(sys.modules, "face_alignment", old)
    with pytest.raises(SettingsError, match=r"too old: `pip install -e '.\[wav2lip\]'`"):
        create_detector("face-alignment")


def test_a_foreign_landmark_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"rubbish")
    with pytest.raises(WeightsError, match="cannot read the landmark network"):
        LandmarkNetwork(tmp_path / "x.safetensors")
