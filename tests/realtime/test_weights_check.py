"""``lipstream weights check``: the sheet shows what the product does with a network, and bad input is one sentence."""

import errno
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lipstream import cli
from lipstream.avatar_cache.avatar import PreparedAvatar
from lipstream.avatar_cache.crop_geometry import crop_face
from lipstream.avatar_cache.prepare import decode_clip, prepare
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.audio.vowels import vowels
from lipstream.realtime.lipsync import backends
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS
from lipstream.realtime.lipsync.network import Wav2Lip
from lipstream.realtime.lipsync.torch_backend import TorchPredictor
from lipstream.realtime.picture.contact_sheet import SheetRow, draw_sheet
from lipstream.realtime.picture.i420 import i420_to_bgr
from lipstream.realtime.render import decide_frames
from lipstream.realtime.session.animator import ClipLoop
from lipstream.realtime.weights_check import __main__ as command
from lipstream.realtime.weights_check.__main__ import main
from lipstream.realtime.weights_check.sheet import LOOK_FOR, DrawnFrame, choose_jobs, draw_frames, sheet_row
from tests.realtime.fakes import make_store
from tests.realtime.speech import voice
from tests.sound_files import write_wav

PANEL = 320


@pytest.fixture(autouse=True)
def torch_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without OpenVINO's conversion, which takes seconds for each file; test_wav2lip_route.py draws with it."""
    monkeypatch.setattr(backends, "openvino_backend", None)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> AvatarStore:
    return make_store(tmp_path_factory.mktemp("check"), {"ann": 120})


@pytest.fixture(scope="module")
def checkpoint(store: AvatarStore) -> Path:
    torch.manual_seed(5)
    network = Wav2Lip(0.0625)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():  # norms that know their inputs: mouths differ from sound to sound
        network.train()(4 * torch.randn(8, 1, 80, 16).clamp(-1, 1), torch.rand(8, 6, 96, 96))
        network.output_block[1].get_parameter("weight").mul_(20)
    path = store.root.parent / "bought.pth"
    torch.save({"state_dict": network.state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def predictor(checkpoint: Path) -> TorchPredictor:
    return TorchPredictor(checkpoint, device="cpu")


@pytest.fixture(scope="module")
def prepared(store: AvatarStore, predictor: TorchPredictor) -> PreparedAvatar:
    return prepare(store.load("ann"), predictor)


@pytest.fixture(scope="module")
def frames(prepared: PreparedAvatar, predictor: TorchPredictor) -> list[DrawnFrame]:
    return _frames(None, prepared, predictor)


def _frames(sound: np.ndarray | None, prepared: PreparedAvatar, predictor: TorchPredictor) -> list[DrawnFrame]:
    loop = ClipLoop(prepared.manifest.frames, prepared.manifest.loop)
    jobs = choose_jobs(sound, loop, window_offset_samples=predictor.metadata.window_offset_samples)
    return draw_frames(jobs, prepared, predictor)


def _enlarged(picture: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.resize(picture, (PANEL, PANEL), interpolation=cv2.INTER_CUBIC)).astype(int)


def _read(name: str) -> np.ndarray:
    return np.asarray(cv2.imread(name))


AMID = np.s_[:, 20 : PANEL - 20]
"""A panel without the marks at its edges."""


def test_without_speech_the_vowels_are_shown(frames: list[DrawnFrame]) -> None:
    assert [frame.caption.split(":")[0] for frame in frames] == ["'ah'", "'mm'", "'ee'", "'oo'"]
    assert [frame.job.frame for frame in frames] == sorted(frame.job.frame for frame in frames)
    assert len({frame.mouth.tobytes() for frame in frames}) == 4


def test_panels_are_what_the_network_gets_draws_and_what_is_painted(
    store: AvatarStore, prepared: PreparedAvatar, predictor: TorchPredictor, frames: list[DrawnFrame]
) -> None:
    frame = frames[0]
    at, region = frame.job.clip_frame, predictor.metadata.decoded_region
    clip = [picture.copy() for picture in decode_clip(store.load("ann").clip, prepared.manifest)]
    picture, crop, masked, drawn, painted = (panel.astype(int) for panel in sheet_row(frame, prepared, clip[at]).panels)

    box = prepared.geometry.boxes[at]
    seen = crop_face(clip[at], box, 96, "detector")
    np.testing.assert_array_equal(crop[AMID], _enlarged(seen)[AMID])
    np.testing.assert_array_equal(masked[: PANEL // 2 - 6][AMID], crop[: PANEL // 2 - 6][AMID])
    assert masked[PANEL // 2 + 6 :][AMID].max() == 0

    alone = predictor.predict(np.array([frame.job.mel]), prepared.features, np.array([at]))[0]
    whole = np.zeros((96, 96, 3), np.uint8)
    whole[region.top : region.bottom, region.left : region.right] = alone
    below = (region.top + 3) * PANEL // 96
    assert np.abs(drawn - _enlarged(whole))[below:][AMID].max() <= 1, "the mouth that a call would show"
    assert drawn[:50][AMID].mean() < 0.5 * crop[:50][AMID].mean(), "what is not used is dim"

    green = np.all(np.abs(picture - (60, 190, 60)) < 40, axis=2)
    side = round(1.25 * max(box.width, box.height))
    lines = np.flatnonzero(green.sum(axis=1) > PANEL // 3)
    assert abs(np.ptp(lines) / PANEL * side - box.height) < 3, "the crop's upper and lower edge"
    assert np.abs(painted - picture)[~green].max() > 20, "a mouth is painted"
    composed = i420_to_bgr(np.array(prepared.compositor().compose(at, alone, 1.0)))
    cx, cy = box.x + box.width // 2, box.y + box.height * 3 // 4
    x, y = PANEL // 2, round((0.5 + box.height / 4 / side) * PANEL)
    shown, meant = painted[y - 12 : y + 12, x - 12 : x + 12], composed[cy - 5 : cy + 5, cx - 5 : cx + 5]
    assert np.abs(shown.mean(axis=(0, 1)) - meant.mean(axis=(0, 1))).max() < 15
    assert np.abs(shown.mean(axis=(0, 1)) - picture[y - 12 : y + 12, x - 12 : x + 12].mean(axis=(0, 1))).max() > 30


def test_of_speech_those_frames_are_shown_whose_mouths_differ_most(
    prepared: PreparedAvatar, predictor: TorchPredictor
) -> None:
    sound = voice(2.5, 48000)
    chosen = _frames(sound, prepared, predictor)
    assert [frame.job.frame for frame in chosen] == sorted({frame.job.frame for frame in chosen})
    assert len(chosen) == 4
    few = _frames(sound[:12000], prepared, predictor)
    assert len(few) <= len(chosen)


def test_a_sheet_has_its_panels_in_columns_and_rows() -> None:
    colours = np.array([[(10, 20, 200), (10, 200, 20)], [(200, 20, 10), (90, 10, 150)]], np.uint8)
    rows = [
        SheetRow("caption " * 60, tuple(np.full((80, 80, 3), colour, np.uint8) for colour in row)) for row in colours
    ]
    sheet = draw_sheet("Title", ("a fact",), ("One\nmore", "Two " * 20), rows, "foot " * 80)
    places = [[np.argwhere(np.all(sheet == colour, axis=2)) for colour in row] for row in colours]
    for row in places:
        assert all(len(place) == 80 * 80 for place in row), "nothing is written over a panel"
        assert row[0][:, 0].min() == row[1][:, 0].min()
        assert row[0][:, 1].max() < row[1][:, 1].min()
    assert places[0][0][:, 0].max() < places[1][0][:, 0].min()
    assert places[0][0][:, 1].min() == places[1][0][:, 1].min()
    assert (sheet[: places[0][0][:, 0].min()] < 100).any(), "a heading"


def test_the_command_writes_a_sheet_and_says_what_to_look_for(
    store: AvatarStore,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_wav(tmp_path / "speech.wav", voice(2.0, 48000))
    monkeypatch.chdir(tmp_path)
    common = ["ann", "--store", str(store.root), "--device", "cpu", "--weights", str(checkpoint)]
    monkeypatch.setattr(sys, "argv", ["lipstream", "weights", "check", *common])
    assert cli.main() == 0
    said = capsys.readouterr().out.splitlines()
    sheet = _read("check-ann.png")
    assert said == [f"check-ann.png: {sheet.shape[1]} x {sheet.shape[0]} px", LOOK_FOR]
    assert sheet.shape[1] > 5 * PANEL
    assert sheet.shape[0] > 4 * PANEL

    more = ["--speech", "speech.wav", "--pads", "0,-20,0,0", "--window-offset", "0", "--out", "other.jpg"]
    assert main([*common, *more]) == 0
    other = _read("other.jpg")
    assert other.shape[1] == sheet.shape[1]
    assert np.abs(other[: 4 * PANEL].astype(int) - sheet[: 4 * PANEL]).mean() > 1, "another crop"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bob"], "'bob'"),
        (["../ann"], "'../ann'"),
        (["ann", "--weights", "none.pth"], "cannot read the weights file"),
        (["ann", "--weights", "text.pth"], "text.pth is a text, not a checkpoint"),
        (["ann", "--pads", "0,10,0,0"], "--pads is for weights with a detector's crop"),
        (["ann", "--speech", "none.wav"], "cannot read sound from none.wav"),
        (["ann", "--speech", "silence.wav"], "no speech was found in the sound"),
        (["ann", "--out", "sheet.pdf"], "sheet.pdf has to end in .png or .jpg"),
        (["ann", "--out", "none/sheet.png"], "cannot write none/sheet.png: there is no such folder"),
        (["ann", "--device", "abacus"], "abacus"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    arguments: list[str],
    message: str,
    store: AvatarStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.pth").write_text("no weights")
    write_wav(Path("silence.wav"), np.zeros(24000, np.float32))
    assert main([*arguments, "--store", str(store.root)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("lipstream weights check: ")
    assert message in said
    assert said.count("\n") == 1
    assert not list(Path().glob("check*"))


def test_pads_that_leave_nothing_of_the_face_are_refused(
    store: AvatarStore, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["ann", "--store", str(store.root), "--weights", str(checkpoint), "--pads=-60,-60,0,0"]
    assert main(arguments) == 2
    assert "less than 16 px of the face" in capsys.readouterr().err


def test_a_full_disk_is_one_sentence(
    store: AvatarStore, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(command, "check_avatar", full)
    assert main(["ann", "--store", str(store.root), "--weights", str(checkpoint)]) == 2
    assert capsys.readouterr().err == "lipstream weights check: the disk is full; nothing was changed\n"


def test_vowels_have_their_formants_and_open_and_close_the_mouth_of_the_built_in_weights() -> None:
    rate = 16000
    sound, spoken = vowels(rate)
    assert sound.dtype == np.float32
    assert 0.2 < np.abs(sound).max() <= 0.25

    def energies(middle_s: float) -> tuple[float, float]:
        """Below 500 Hz, where 'ee' and 'oo' have their first formant, and from 600 to 1200, where 'ah' has two."""
        around = sound[int((middle_s - 0.06) * rate) : int((middle_s + 0.06) * rate)]
        power = np.abs(np.fft.rfft(around * np.hanning(len(around)))) ** 2
        hz = np.fft.rfftfreq(len(around), 1 / rate)
        return power[hz < 500].sum(), power[(hz > 600) & (hz < 1200)].sum()

    ah, _, ee, oo = (energies(vowel.middle_s) for vowel in spoken)
    assert ah[1] > 3 * ah[0]
    assert ee[0] > 10 * ee[1]
    assert oo[0] > oo[1]

    ada = AvatarStore("none").load("ada")
    frame = next(decode_clip(ada.clip, ada.manifest)).copy()
    predictor = TorchPredictor(BUILT_IN_WEIGHTS, device="cpu")
    features = predictor.encode_faces(crop_face(frame, ada.manifest.boxes[0], 96)[None])
    offset = predictor.metadata.window_offset_samples
    jobs = decide_frames(vowels(48000)[0], ClipLoop(1, "seamless"), window_offset_samples=offset)
    windows = {job.frame: job.mel for job in jobs if job.mel is not None}
    mels = np.stack([windows[round(vowel.middle_s * 25)] for vowel in spoken])
    silence = np.full((1, 80, 16), -4, np.float32)
    rest, *mouths = predictor.predict(np.concatenate((silence, mels)), features, np.zeros(5, np.int64)).astype(int)
    moved = dict(zip(("ah", "mm", "ee", "oo"), (np.abs(mouth - rest).mean() for mouth in mouths), strict=True))
    assert moved["ah"] > 3 * moved["mm"]
    assert moved["ee"] > 1.5 * moved["mm"]
