"""Avatars of several clips, built from films of one person."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from lipstream.avatar_cache.__main__ import main
from lipstream.avatar_cache.avatar import load_prepared
from lipstream.avatar_cache.face_track import thumbnail
from lipstream.avatar_cache.manifest import Manifest
from lipstream.avatar_cache.motion_graph import MOTION_WAIT_FRAMES, WAIT_FRAMES
from lipstream.avatar_cache.prepare import decode_clip, prepare
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.errors import AvatarError
from lipstream.realtime.lipsync.predictor import draw_with
from lipstream.realtime.picture.i420 import i420_to_bgr
from lipstream.realtime.session.motion_player import MotionPlayer
from tests.avatar_cache.clips import write_clip
from tests.avatar_cache.filmed import film, film_wipe
from tests.realtime.fakes import FakePredictor, MovingPredictor, worker_settings

pytestmark = pytest.mark.timeout(600)  # films are built, on whatever cores there are
PORTRAIT = Path(__file__).parent / "astronaut.jpg"


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return film(tmp_path_factory.mktemp("films"), idle=56, speaking=44, greet=36)


@pytest.fixture(scope="module")
def first(films: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store with `me`, an avatar of one clip."""
    store = AvatarStore(tmp_path_factory.mktemp("first"))
    store.build(films["idle"], "me")
    return store.root


@pytest.fixture(scope="module")
def store(first: Path, films: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> AvatarStore:
    """A store with `me`: a first clip, and two that were added later, one by one."""
    store = AvatarStore(shutil.copytree(first, tmp_path_factory.mktemp("several"), dirs_exist_ok=True))
    before = store.load("me").clip.read_bytes()
    store.add_motions("me", {"speaking": films["speaking"]})
    shares: list[float] = []
    store.add_motions("me", {"greet": films["greet"]}, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert store.load("me").clip.read_bytes() == before, "the first clip stays as it is"
    return store


@pytest.fixture(scope="module")
def wiped(first: Path, tmp_path_factory: pytest.TempPathFactory) -> AvatarStore:
    """A store with `me`, and a motion in which a hand wipes across the mouth."""
    folder = tmp_path_factory.mktemp("wiped")
    store = AvatarStore(shutil.copytree(first, folder, dirs_exist_ok=True))
    store.add_motions("me", {"wipe": film_wipe(folder)})
    return store


def test_clips_lie_one_after_the_other_and_each_frame_has_its_box(store: AvatarStore) -> None:
    manifest = store.load("me").manifest
    assert [clip.name for clip in manifest.clips][:3] == ["idle", "greet", "speaking"]
    assert manifest.motions == ("greet",)
    assert manifest.frames == sum(clip.frames for clip in manifest.clips) == len(manifest.detector_boxes)
    assert len(list(decode_clip(store.load("me").clip, manifest))) == manifest.frames
    store.verify("me")
    assert Manifest.read(store.load("me").clip.with_name("avatar.json")) == manifest


def test_ten_minutes_of_switches_show_no_step_larger_than_those_of_the_clips(store: AvatarStore) -> None:
    avatar = store.load("me")
    graph = avatar.manifest.graph
    assert graph is not None
    looks = np.stack([thumbnail(i420_to_bgr(frame)) for frame in decode_clip(avatar.clip, avatar.manifest)])

    def largest(frames: list[int]) -> float:
        return float(np.sqrt((np.diff(looks[frames], axis=0) ** 2).mean(axis=1)).max())

    own = max(largest([clip.frame(position) for position in range(clip.length)]) for clip in graph.clips.values())
    player = MotionPlayer(graph)
    shown = []
    for frame in range(15_000):
        if frame % 190 == 20:
            player.request("greet")
        shown.append(player.decide(frame, speaks=frame % 170 > 100))
    assert [event.motion for event in player.take_events()].count("greet") > 100
    assert largest(shown) <= 1.2 * own


def test_the_report_states_steps_and_waits(store: AvatarStore) -> None:
    lines = {line["name"]: line for line in json.loads(store.report("me") or "")["lines"]}
    assert 0 < lines["motion step"]["value"] <= 1.2
    assert lines["motion wait"]["value"] <= MOTION_WAIT_FRAMES / 25
    assert lines["speaking wait"]["value"] <= WAIT_FRAMES["speaking"] / 25
    assert "sharpness" in lines


def test_mouths_and_features_are_made_for_every_clip(store: AvatarStore) -> None:
    avatar = store.load("me")
    predictor = FakePredictor(worker_settings(store, "FakePredictor"))
    prepared = prepare(avatar, predictor)
    assert len(prepared.frames) == len(prepared.rest_mouths) == avatar.manifest.frames
    assert load_prepared(avatar, prepared.fingerprint).geometry.boxes == avatar.manifest.boxes
    assert avatar.is_current(predictor.metadata)
    last = prepared.compositor().compose(avatar.manifest.frames - 1, None, 0.0)
    assert last.shape == prepared.frames[0].shape


@pytest.mark.parametrize("predictor", [FakePredictor, MovingPredictor], ids=["pixels", "fields"])
def test_nothing_is_painted_over_a_hand_before_the_mouth(wiped: AvatarStore, predictor: type[FakePredictor]) -> None:
    avatar = wiped.load("me")
    graph = avatar.manifest.graph
    assert graph is not None
    wipe = graph.clips["wipe"]
    ((start, end),) = [(a, b) for a, b in avatar.manifest.covered if wipe.first <= a < wipe.first + wipe.frames]
    assert 8 <= start - wipe.first <= 20
    assert 28 <= end - wipe.first <= 40
    said = f"from {(start - wipe.first) / 25:.1f} s to {(end - wipe.first) / 25:.1f} s: the clip's own is shown there"
    assert said in (wiped.report("me") or "")
    drawing = predictor(worker_settings(wiped, predictor.__name__))
    prepared = prepare(avatar, drawing)
    filmed, compositor = list(decode_clip(avatar.clip, avatar.manifest)), prepared.compositor()
    mouth = np.full((prepared.region.height, prepared.region.width, draw_with(drawing)[1]), 250, np.uint8)
    for frame in range(start, end):
        np.testing.assert_array_equal(compositor.compose(frame, mouth, 1.0), filmed[frame])
    apart = [
        float(np.abs(compositor.compose(frame, mouth, 1.0).astype(float) - filmed[frame]).mean())
        for frame in range(start, start - 5, -1)
    ]
    assert apart[:4] == sorted(apart[:4]), "the mouth fades"
    assert apart[1] < 0.5 * apart[4], "and is whole four frames before"


def test_an_avatar_of_several_clips_is_copied_with_all_of_them(store: AvatarStore) -> None:
    copy = store.build(store.load("me").clip.parent, "copy")
    assert copy.manifest.steps == store.load("me").manifest.steps
    store.verify("copy")
    copy.clip.with_name("motion-greet.mp4").write_bytes(b"cut")
    with pytest.raises(AvatarError, match=r"motion-greet\.mp4"):
        store.verify("copy")


@pytest.mark.parametrize(
    ("name", "message"), [("idle", "the clip that the avatar is built from"), ("Wave!", "must match"), ("", "match")]
)
def test_a_name_that_is_none_is_refused(store: AvatarStore, films: dict[str, Path], name: str, message: str) -> None:
    with pytest.raises(AvatarError, match=message):
        store.add_motions("me", {name: films["greet"]})


def test_what_does_not_fit_is_refused_and_changes_nothing(store: AvatarStore, tmp_path: Path) -> None:
    before = store.load("me").manifest
    wide = write_clip(tmp_path / "wide.mp4", [np.full((128, 256, 3), 90, np.uint8)] * 5)
    with pytest.raises(AvatarError, match=r"wide\.mp4 is 256x128, and the avatar 256x256"):
        store.add_motions("me", {"nod": wide})
    with pytest.raises(AvatarError, match="photograph"):
        store.add_motions("me", {"wave": PORTRAIT})
    with pytest.raises(AvatarError, match="no clip 'nod'"):
        store.add_motions("me", {}, without=["nod"])
    with pytest.raises(AvatarError, match="built in"):
        store.add_motions("ada", {"nod": wide})
    assert store.load("me").manifest == before
    assert not list(store.root.rglob("*.part"))


def test_the_command_builds_and_adds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    films = film(tmp_path, idle=16, speaking=14, greet=12)
    root, folder = str(tmp_path / "store"), ["--store", str(tmp_path / "store")]
    built = [*folder, "build", str(films["idle"]), "--id", "me", "--no-prepare", "--consent", "drawn"]
    assert main([*built, "--motion", f"speaking={films['speaking']}"]) == 0
    assert "motion step" in capsys.readouterr().out
    assert main([*folder, "motion", "add", "me", "greet", str(films["greet"]), "--no-prepare"]) == 0
    assert AvatarStore(root).load("me").manifest.motions == ("greet",)
    assert main([*folder, "list"]) == 0
    assert "motions: greet" in capsys.readouterr().out
    assert main([*folder, "motion", "remove", "me", "greet", "--no-prepare"]) == 0
    assert [clip.name for clip in AvatarStore(root).load("me").manifest.clips][:2] == ["idle", "speaking"]
    assert main([*folder, "motion", "remove", "me", "speaking", "--no-prepare"]) == 0
    assert AvatarStore(root).load("me").manifest.clips == ()
    assert main([*built, "--motion", "greet"]) == 1
    assert "NAME=FILE" in capsys.readouterr().err
