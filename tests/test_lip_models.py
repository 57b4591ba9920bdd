"""A lip model of the operator's own: the page's snippet, the sprites' example, and who may name code."""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lipstream.avatar_cache import __main__ as avatar_command
from lipstream.avatar_cache.avatar import load_prepared
from lipstream.own_code import parse_code_name
from lipstream.realtime.api.app import create_app
from lipstream.realtime.api.openapi import openapi_of
from lipstream.realtime.audio.mel import SILENCE_LEVEL
from lipstream.realtime.errors import SettingsError
from lipstream.realtime.lipsync.backends import create_predictor
from lipstream.realtime.lipsync.fields import unpack_fields
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS, NO_PADS, Region
from lipstream.realtime.lipsync.own_model import ModelOptions, load_model, model_argument, model_metadata
from lipstream.realtime.lipsync.predictor import FaceFeatures, MouthPredictor, largest_batch
from lipstream.realtime.render import render
from lipstream.realtime.selftest import main as selftest
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.settings import Settings, read_settings
from lipstream.realtime.workers.render_client import RenderWorker
from lipstream.realtime.workers.render_worker import WorkerSettings
from tests.realtime.fakes import make_store
from tests.realtime.speech import silence, voice
from tests.server_process import ROOT, ServerProcess

PAGE = ROOT / "docs" / "LIP_MODELS.md"
SPRITES = f"{ROOT / 'examples' / 'sprite_mouth.py'}:load"
SOUND = np.concatenate((silence(0.4, 48000), voice(0.8, 48000), silence(0.4, 48000)))

pytestmark = pytest.mark.timeout(300)


def snippet(kind: str) -> str:
    """Return the page's first block of a kind."""
    found = re.search(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the built-in network lies converted: the conversion leaves threads behind, which belong to no test."""
    folder = tmp_path_factory.mktemp("graphs")
    create_predictor(BUILT_IN_WEIGHTS, device="cpu", cache=folder)
    return folder


def sprites(graphs: Path, weights: Path = BUILT_IN_WEIGHTS) -> MouthPredictor:
    return create_predictor(weights, device="cpu", cache=graphs, model=SPRITES)


async def test_the_pages_model_draws_a_file_in_the_worker(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(snippet("python"))
    store = make_store(tmp_path, {"ann": 120})
    settings = WorkerSettings(BUILT_IN_WEIGHTS, store.root, device="cpu", model=f"{tmp_path / 'loud.py'}:load")
    assert await render(SOUND, tmp_path / "out.mp4", settings, "ann") == 40
    worker = RenderWorker(settings)
    try:
        weights = await worker.start()
    finally:
        await worker.close()
    assert weights.name == "loud mouth"
    mouth = load_prepared(store.load("ann"), weights.fingerprint).rest_mouths[0]
    assert mouth[12, 32].max() < 60, "at rest there is a line"
    assert mouth[4, 32].min() > 60, "and no hole"


def test_the_pages_commands_name_options_that_there_are() -> None:
    for line in snippet("").replace("\\\n", " ").splitlines():
        words = line.partition("#")[0].split()
        command = [sys.executable, "-m", "lipstream", words[1], "--help"]
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
        assert all(word in told for word in words if word.startswith("--")), line


def test_sprites_draw_a_live_call(
    start_server: Callable[..., ServerProcess], capsys: pytest.CaptureFixture[str]
) -> None:
    server = start_server("--model", "examples/sprite_mouth.py:load", "--avatar", "mira")
    selftest([server.url, "--seconds", "6", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["lips_ms"] is not None, "the mouth opens with the sound"
    assert found["server"]["frames_rendered"] > 0


def test_a_mouth_code_chooses_the_sprite_and_its_paint_hides_the_characters_own_mouth(graphs: Path) -> None:
    predictor = sprites(graphs)
    size, region = predictor.metadata.size, predictor.metadata.decoded_region
    face = np.full((1, size, size, 3), (150, 180, 220), np.uint8)
    row, column = round(0.61 * size), size // 2
    cv2.line(face[0], (column - 30, row), (column + 30, row), (0, 0, 0), 6)  # a mouth wider than the sprites
    features = predictor.encode_faces(face)
    codes = np.zeros((3, 16), np.float32)
    codes[1, 0] = 4.0  # the jaw drops
    codes[2, :4] = 1.5, 0, 2, 2  # lips are rounded
    draw = predictor.draw_fields  # type: ignore[attr-defined]
    flows, paints = unpack_fields(draw(codes, features, np.zeros(3, np.int64)))
    assert not flows.any()
    painted = face[0][region.top : region.bottom, region.left : region.right] * (1 - paints[..., :1] / 255)
    pictures = painted + paints[..., 1:]
    middle = row - region.top, column - region.left
    for picture in pictures:
        ends = picture[middle[0] - 2 : middle[0] + 3, [middle[1] - 29, middle[1] + 29]]
        assert np.abs(ends - (150, 180, 220)).max() < 25, "nothing is left of the line's ends"
    dark = [int((picture.sum(axis=-1) < 300).sum()) for picture in pictures]
    assert dark[1] > 2 * dark[2] > 2 * dark[0]
    pixels = predictor.predict(np.full((1, 80, 16), SILENCE_LEVEL, np.float32), features, np.zeros(1, np.int64))
    assert np.abs(pixels[0] - pictures[0]).max() <= 2, "silence is the mouth at rest, in pixels and in fields"


def test_sprites_may_be_files(graphs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mouths"
    subprocess.run([sys.executable, "examples/sprite_mouth.py", folder], cwd=ROOT, check=True, timeout=60)
    drawn, read = sprites(graphs), sprites(graphs, folder)
    features = drawn.encode_faces(np.full((1, 192, 192, 3), 200, np.uint8))
    window = np.full((1, 80, 16), SILENCE_LEVEL, np.float32)
    np.testing.assert_array_equal(
        drawn.predict(window, features, np.zeros(1, np.int64)), read.predict(window, features, np.zeros(1, np.int64))
    )
    assert drawn.metadata.fingerprint == read.metadata.fingerprint
    cv2.imwrite(str(folder / "closed.png"), np.full((104, 128, 4), 255, np.uint8))
    assert sprites(graphs, folder).metadata.fingerprint != drawn.metadata.fingerprint, "avatars are prepared again"
    (folder / "open.png").unlink()
    with pytest.raises(SettingsError, match=r"open\.png has to be a PNG with transparency"):
        sprites(graphs, folder)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import nothing_like_that", "ModuleNotFoundError"),
        ("def load(options):\n    raise OSError('no such card')", "OSError: no such card"),
        ("def load(options):\n    return object()", "it lacks device, metadata, encode_faces, predict"),
        ("other = 1", "AttributeError"),
        (None, "there is no file"),
    ],
)
def test_what_is_no_model_is_one_sentence(code: str | None, said: str, tmp_path: Path) -> None:
    if code is not None:
        (tmp_path / "m.py").write_text(code)
    with pytest.raises(SettingsError, match=said):
        load_model(parse_code_name(f"{tmp_path / 'm.py'}:load"), ModelOptions(BUILT_IN_WEIGHTS, "cpu", tmp_path))


def test_a_server_whose_model_fails_ends_with_status_2(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("def load(options):\n    raise ValueError('no network here')")
    run = subprocess.run(
        [sys.executable, str(ROOT / "run_server.py"), "--port", "0", "--model", "m.py:load", "--store", "."],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].endswith("m.py:load cannot be loaded: ValueError: no network here")


def test_a_name_is_a_module_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_code_name("") == ""
    assert parse_code_name("a.b:c") == "a.b:c"
    assert parse_code_name("x/y.py:load") == f"{tmp_path / 'x/y.py'}:load"
    assert read_settings(["--model", "m.py:load"], {}).model == f"{tmp_path / 'm.py'}:load"
    for wrong in ("load", "m.py", "a b:c", "a:b()", "http://x/m:load", ":load", "m.py:"):
        with pytest.raises(argparse.ArgumentTypeError, match="is not MODULE:FACTORY or"):
            model_argument(wrong)
        with pytest.raises(SettingsError):
            read_settings(["--model", wrong], {})


def test_no_request_names_code(tmp_path: Path) -> None:
    store = make_store(tmp_path, {"ann": 120})
    fakes = WorkerSettings(BUILT_IN_WEIGHTS, store.root, predictor="tests.realtime.fakes:FakePredictor")
    described = openapi_of(create_app(Sessions(Settings(store=store.root), fakes)))

    def names(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            yield from part.get("properties", {})
            for value in part.values():
                yield from names(value)
            if "$ref" in part:
                yield from names(described["components"]["schemas"][part["$ref"].rpartition("/")[2]])
        elif isinstance(part, list):
            for value in part:
                yield from names(value)

    taken: set[str] = set()
    for operations in described["paths"].values():
        for operation in operations.values():
            taken |= set(names(operation.get("requestBody", {})))
            taken |= {parameter["name"] for parameter in operation.get("parameters", ())}
    assert {"articulation", "file", "avatar_id"} <= taken, "what requests may say was found"
    assert not taken & {"model", "weights", "device", "predictor"}


def test_metadata_of_a_model_are_checked(tmp_path: Path) -> None:
    about = {"made_of": [b"x"], "size": 96, "region": Region(48, 96, 16, 80), "window_offset_samples": -1600}
    assert model_metadata("m", **about).look_ahead_samples == 1800  # type: ignore[arg-type]
    for wrong, said in (
        ({"region": Region(48, 97, 0, 96)}, "not inside its crop"),
        ({"window_offset_samples": -9000}, "ends before its frame"),
        ({"window_offset_samples": 90_000}, "waits too long"),
        ({"made_of": [tmp_path / "gone"]}, "cannot read"),
    ):
        with pytest.raises(SettingsError, match=said):
            model_metadata("m", **{**about, **wrong})  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="for weights files"):
        create_predictor(BUILT_IN_WEIGHTS, device="cpu", cache=tmp_path, model="m:load", pads=NO_PADS)


def test_a_model_may_draw_fewer_mouths_at_once(tmp_path: Path) -> None:
    small = snippet("python").replace("class LoudMouth:", "class LoudMouth:\n    largest_batch = 2\n")
    small = small.replace("        top, bottom", "        assert len(frames) <= 2\n        top, bottom")
    (tmp_path / "small.py").write_text(small)
    store = make_store(tmp_path, {"ann": 120})
    model = f"{tmp_path / 'small.py'}:load"
    options = ["--store", str(store.root), "prepare", "ann", "--model", model]
    assert avatar_command.main(options) == 0
    predictor = load_model(model, ModelOptions(BUILT_IN_WEIGHTS, "cpu", tmp_path))
    assert largest_batch(predictor) == 2
    features = FaceFeatures((), np.zeros((1, 96, 96, 3), np.uint8))
    with pytest.raises(AssertionError):
        predictor.predict(np.zeros((3, 80, 16), np.float32), features, np.zeros(3, np.int64))
