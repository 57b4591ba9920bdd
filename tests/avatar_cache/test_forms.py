"""Forms of the built-in people: known before they are filmed, filmed once, and like the usual clip."""

import dataclasses
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipstream.avatar_cache import forms
from lipstream.avatar_cache import store as store_module
from lipstream.avatar_cache.__main__ import main
from lipstream.avatar_cache.detectors import create_detector
from lipstream.avatar_cache.face_track import face_windows, thumbnail
from lipstream.avatar_cache.forms import FORMS, Form, all_forms, form_of
from lipstream.avatar_cache.gestures import STRESS_LEVELS
from lipstream.avatar_cache.manifest import Manifest
from lipstream.avatar_cache.motion_graph import MOTION_WAIT_FRAMES, STATES, WAIT_FRAMES
from lipstream.avatar_cache.motion_steps import LARGEST_STEP
from lipstream.avatar_cache.prepare import decode_clip, prepare
from lipstream.avatar_cache.stills import StillFacts, Stills
from lipstream.avatar_cache.store import BUILT_IN, AvatarStore
from lipstream.realtime.errors import AvatarError, NotFoundError
from lipstream.realtime.picture.i420 import i420_to_bgr
from lipstream.realtime.session.motion_player import MotionPlayer
from tests.realtime.fakes import FakePredictor, worker_settings

PEOPLE = sorted(folder.parent.name for folder in BUILT_IN.glob("*/stills"))
SMALL = {"1024": Form((96, 96), "96 px"), "portrait": Form((54, 96), "portrait")}
LIVELY = {"lively": Form((96, 96), "with motions", has_motions=True)}


def test_ids_name_a_person_and_a_form() -> None:
    known = {form.id for form in all_forms(BUILT_IN)}
    assert {f"{person}-{name}" for person in PEOPLE for name in FORMS} - {"ada-green"} == known
    assert form_of("ada-1024", BUILT_IN) is not None
    for other in ("ada", "ada-2048", "nobody-1024", "ada-green-1024", "-1024", "../builtin/ada-1024", "ada/-1024"):
        assert form_of(other, BUILT_IN) is None


@pytest.mark.parametrize("person", PEOPLE)
def test_every_form_is_known_without_filming(person: str, tmp_path: Path) -> None:
    store = AvatarStore(tmp_path)
    for name, form in FORMS.items():
        if (BUILT_IN / f"{person}-{name}").exists():
            continue
        manifest = store.load(f"{person}-{name}").manifest
        path = tmp_path / "avatar.json"
        path.write_text(manifest.to_json())
        assert Manifest.read(path) == manifest
        assert manifest.size == form.size
        assert not store.clip_path(manifest.id).exists()
        with pytest.raises(AvatarError, match="nothing to check yet"):
            store.verify(manifest.id)
    assert not (tmp_path / "avatars").exists()


@pytest.mark.parametrize("avatar_id", ["mira-portrait", "viktor-1024"])
def test_its_boxes_lie_on_the_face(avatar_id: str, tmp_path: Path) -> None:
    store = AvatarStore(tmp_path)
    picture = cv2.imdecode(np.frombuffer(store.preview(avatar_id), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    manifest = store.load(avatar_id).manifest
    assert picture.shape[1::-1] == manifest.size
    (face,) = create_detector("built-in").find(np.asarray(picture, np.uint8))
    ((x, y, half),) = face_windows([face]).tolist()
    box = manifest.boxes[0]
    assert abs(x - box.x - box.width / 2) < 0.04 * box.width
    assert abs(y - box.y - box.height / 2) < 0.04 * box.width
    assert 2 * half == pytest.approx(box.width, rel=0.05)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AvatarStore:
    """A store whose only built-in person has small stills and small forms."""
    person = tmp_path / "builtin" / "mira"
    stills, facts = Stills.load(BUILT_IN / "mira" / "stills"), StillFacts.load(BUILT_IN / "mira" / "stills")
    share = 128 / facts.size[0]

    def shrink(picture: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.resize(picture, None, fx=share, fy=share, interpolation=cv2.INTER_AREA))

    Stills(shrink(stills.open), tuple(map(shrink, stills.lids)), shrink(stills.room)).save(person / "stills")
    dataclasses.replace(facts, size=(128, round(share * facts.size[1]))).save(person / "stills")
    shutil.copyfile(BUILT_IN / "mira" / "avatar.json", person / "avatar.json")
    monkeypatch.setattr(store_module, "BUILT_IN", person.parent)
    monkeypatch.setattr(forms, "FORMS", SMALL)
    return AvatarStore(tmp_path / "store")


def test_the_first_preparation_films_it(store: AvatarStore) -> None:
    unfilmed = store.load("mira-portrait")
    shares: list[float] = []
    prepared = prepare(unfilmed, FakePredictor(worker_settings(store, "FakePredictor")), progress=shares.append)
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.1
    assert shares[-1] == 1
    assert prepared.manifest.size == (54, 96)
    filmed = store.load("mira-portrait")
    assert filmed.form is None
    assert filmed.manifest == dataclasses.replace(unfilmed.manifest, clip_sha256=filmed.manifest.clip_sha256)
    store.verify("mira-portrait")
    assert [form.id for form in store.unfilmed()] == ["mira-1024"]
    assert store.is_own("mira-portrait"), "it may be removed"
    written = filmed.clip.stat().st_mtime_ns
    prepare(unfilmed, FakePredictor(worker_settings(store, "FakePredictor")))
    assert filmed.clip.stat().st_mtime_ns == written, "it is not filmed twice"
    store.remove("mira-portrait")
    assert store.load("mira-portrait").form is not None, "it is filmed again when it is wanted again"
    with pytest.raises(NotFoundError):
        store.remove("mira-portrait")


def test_it_moves_and_blinks(store: AvatarStore) -> None:
    avatar = store.load("mira-1024")
    assert avatar.form
    avatar.form.film(avatar.clip.parent)
    frames = np.stack(list(decode_clip(avatar.clip, avatar.manifest)))[:, :96].astype(np.int16)
    usual = avatar.form.picture()
    assert np.abs(frames[0] - cv2.cvtColor(usual, cv2.COLOR_BGR2YUV_I420)[:96].astype(np.int16)).mean() < 3
    eyes = frames[:, 36:43, 30:66].mean(axis=(1, 2))
    assert eyes.max() - eyes.min() > 8, "lids are lighter than eyes"
    assert np.abs(frames[50] - frames[0]).max() > 20, "the head sways"


def test_a_lively_person_has_motions_whose_steps_cannot_be_seen(
    store: AvatarStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "FORMS", LIVELY)
    unfilmed = store.load("mira-lively")
    assert unfilmed.manifest.motions == ()
    shares: list[float] = []
    prepared = prepare(unfilmed, FakePredictor(worker_settings(store, "FakePredictor")), progress=shares.append)
    assert shares == sorted(shares)
    manifest = prepared.manifest
    assert manifest == store.load("mira-lively").manifest
    assert manifest.motions == ("greet", "nod", "think")
    graph = manifest.graph
    assert graph is not None
    assert {"idle", "listening", "speaking"} < graph.clips.keys()
    assert graph.clips["speaking"].levels == STRESS_LEVELS
    assert max(graph.worst_wait(state, name) for state in STATES for name in manifest.motions) <= MOTION_WAIT_FRAMES
    assert graph.worst_wait("idle", "speaking") <= WAIT_FRAMES["speaking"]
    assert manifest.frames <= 1060, "all of them take at most 700 MB at 512 px"
    looks = np.stack([thumbnail(i420_to_bgr(frame)) for frame in prepared.frames])

    def largest(frames: list[int]) -> float:
        return float(np.sqrt((np.diff(looks[frames], axis=0) ** 2).mean(axis=1)).max())

    own = max(largest([clip.frame(position) for position in range(clip.length)]) for clip in graph.clips.values())
    player = MotionPlayer(graph)
    shown = []
    for frame in range(15_000):  # ten minutes
        if frame % 190 == 20:
            player.request(manifest.motions[frame // 190 % 3])
        if frame % 400 in (150, 250):
            player.listen(listens=frame % 400 == 150)
        shown.append(player.decide(frame, speaks=frame % 170 > 100))
    assert {event.motion for event in player.take_events()} == set(manifest.motions)
    assert largest(shown) <= LARGEST_STEP * own


def test_damaged_stills_are_named(store: AvatarStore) -> None:
    folder = store_module.BUILT_IN / "mira" / "stills"
    (folder / "lids055.webp").unlink()
    with pytest.raises(AvatarError, match="lids055"):
        store.preview("mira-1024")
    (folder / "stills.json").write_text('{"size": [1, 2]}')
    with pytest.raises(AvatarError, match=r"stills\.json is missing or damaged"):
        store.load("mira-1024")


def test_the_command_line_lists_what_would_be_filmed(store: AvatarStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--store", str(store.root), "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "mira-portrait\tMira, portrait\t54x96\tfilmed at its first use" in lines
    assert main(["--store", str(store.root), "verify", "mira-portrait"]) == 1
    assert main(["--store", str(store.root), "prepare", "mira-portrait"]) == 0
    assert main(["--store", str(store.root), "verify", "mira-portrait"]) == 0
    assert main(["--store", str(store.root), "list"]) == 0
    assert "mira-portrait\tMira, portrait\t54x96\t200 frames, seamless" in capsys.readouterr().out
