"""The place of the lips: a network of the published kind is fitted to a detector's crops and driven by the server.

A fit that draws a mouth takes minutes. So the tests fit for a few steps, and put a stand-in in the network's place
where the lips matter.
"""

from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lipstream.realtime.audio.mel import SILENCE_LEVEL
from lipstream.realtime.errors import SettingsError, WeightsError
from lipstream.realtime.lipsync.alignment import PUBLISHED_OFFSET_SAMPLES
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS, NO_PADS, Pads, published_region
from lipstream.realtime.lipsync.network import Wav2Lip
from lipstream.realtime.lipsync.weights import load_weights, save_weights
from lipstream.realtime.workers.render_worker import WorkerSettings
from tests.realtime.speech import silence, voice
from tests.training.toy_faces import HEIGHT, JAW, ToyFace, write_faces
from training.codes import code_channels, mouth_to_code
from training.export import export
from training.fit import fit, new_network
from training.pairs import CROP, TARGETS, Pictures, decoded, draw_batch
from training.place import Lips, Way, figures_of, find_lips, measure, with_crop
from training.visemes import MOUTH_ACTIONS
from training.windows import windows_of

pytestmark = pytest.mark.timeout(900)
WIDTH, STEPS = 0.125, 6
SOUND = voice(1.4, 48000)


def _listen(network: Wav2Lip) -> None:
    """Let both audio encoders hear that loud means open, by the least squares of their last layers."""
    windows = windows_of(voice(2.0), PUBLISHED_OFFSET_SAMPLES)
    windows = np.concatenate([windows, np.full_like(windows[:8], SILENCE_LEVEL)])
    loud = windows[:, :, 3:6].mean(axis=(1, 2))
    mouths = np.zeros((len(windows), len(MOUTH_ACTIONS)), np.float32)
    mouths[:, JAW] = np.clip((loud - loud.min()) / np.ptp(loud), 0, 1)
    said = mouth_to_code(torch.from_numpy(mouths), code_channels(network)).numpy()[:, JAW]
    for kind in ("published", "sliding"):
        *body, last = network.eval().audio_encoder.get_submodule(kind).children()
        with torch.no_grad():
            heard = torch.nn.Sequential(*body)(torch.from_numpy(windows)[:, None])[:, :, 0, 0].numpy()
            told = np.linalg.lstsq(np.column_stack([heard, np.ones(len(heard))]), said, rcond=1e-5)[0]
            weight, bias = (last.get_parameter(f"conv_block.0.{name}") for name in ("weight", "bias"))
            weight.zero_(), bias.zero_()
            weight[JAW, :, 0, 0] = torch.from_numpy(told[:-1])
            bias[JAW] = float(told[-1])


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network fitted to toy faces for a number of steps, however long they take."""
    folder = tmp_path_factory.mktemp("fit")
    write_faces(folder, 4, 5, np.random.default_rng(1))
    ticks = iter(range(10**6))
    kind = {"head": "paint", "crop": "detector", "width": WIDTH}
    size = {"minutes": STEPS / 600, "batch_size": 2 * TARGETS}
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.run.time", SimpleNamespace(monotonic=lambda: 0.1 * next(ticks)))
        for _ in range(2):
            fit(folder, folder / "fit.pt", **kind, **size, progress=said.append)  # type: ignore[arg-type]
    assert f"from step {STEPS}," in said[-1], "a fit that is done goes on from its checkpoint and adds nothing"
    torch.manual_seed(2)
    ear = new_network(head="paint", width=WIDTH)
    _listen(ear)
    heard = folder / "ear.safetensors"
    save_weights(ear, heard, window_offset_samples=PUBLISHED_OFFSET_SAMPLES, licence="CC0-1.0", name="ear")
    export(heard, folder / "fit.pt", folder / "toy.safetensors", **kind)  # type: ignore[arg-type]
    return folder / "toy.safetensors"


def test_what_is_exported_is_of_the_published_kind(weights: Path) -> None:
    network, metadata = load_weights(weights)
    assert (metadata.head, metadata.crop, metadata.pads) == ("paint", "detector", NO_PADS)
    assert metadata.decoded_region == published_region(CROP)
    assert metadata.window_offset_samples == PUBLISHED_OFFSET_SAMPLES
    assert [type(layer).__name__ for layer in network.output_block] == ["Conv2d", "Conv2d", "Sigmoid"]


def test_lips_lie_where_they_should_and_not_where_the_wrong_crop_puts_them(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = partial(WorkerSettings, predictor="tests.training.toy_faces:Painter")
    monkeypatch.setattr("training.place.WorkerSettings", stand_in)
    plain, wrong = tmp_path / "plain.safetensors", tmp_path / "wrong.safetensors"
    with_crop(weights, plain, "detector")
    with_crop(weights, wrong, "lipstream")
    models = [ToyFace(np.random.default_rng(100 + number)) for number in range(2)]
    seen = measure(models, weights, SOUND, tmp_path / "store", {"right": Way(plain), "wrong": Way(wrong)})
    right, missed = (figures_of([sight.lips for sight in seen[way]]) for way in ("right", "wrong"))
    assert right["place, median error (px of 96)"] < 1
    assert right["opening, median error (px)"] < 1
    assert right["opening, correlation"] > 0.9
    assert right["frames"] == 24
    assert missed["too low by, median (px)"] > 8


def test_the_fitted_network_itself_is_driven_and_measured(weights: Path, tmp_path: Path) -> None:
    model = ToyFace(np.random.default_rng(100))
    ways = {"right": Way(weights), "with pads": Way(weights, Pads(bottom=30))}
    seen = measure([model], weights, SOUND, tmp_path / "store", ways, frames=4)
    for sight, padded in zip(seen["right"], seen["with pads"], strict=True):
        rows = np.flatnonzero((sight.drawn != padded.drawn).any(axis=(1, 2)))
        assert rows.size, "the wider box is drawn otherwise"
        assert rows[0] > 0.4 * HEIGHT, "the upper half is the clip's own"
        assert np.array_equal(sight.truth, padded.truth)


def test_lips_are_found_where_they_were_put() -> None:
    face = ToyFace(np.random.default_rng(3))
    mouths = np.zeros((4, len(MOUTH_ACTIONS)), np.float32)
    mouths[:, JAW] = 0, 0.3, 0.6, 0.9
    truths = [face.truth(0, mouth) for mouth in mouths]
    scale = (0.5, 0.5)
    for opening, (picture, points) in zip((0.3, 0.6), truths[1:], strict=False):
        drawn = np.roll(picture, (6, -4), axis=(0, 1))
        lips = find_lips(drawn, truths, scale)
        assert lips.down == pytest.approx(3, abs=0.1)
        assert lips.aside == pytest.approx(-2, abs=0.1)
        gap = float(points[66, 1] - points[62, 1]) * scale[1]
        assert lips.opening == pytest.approx(gap, abs=0.5), opening
        assert lips.likeness > 0.95
        assert lips.true_opening == pytest.approx(float(truths[2][1][66, 1] - truths[2][1][62, 1]) * scale[1])


def test_figures_say_how_far_and_which_way() -> None:
    lips = [Lips(3, 4, 2.0, 1.0, 0.9), Lips(0, 5, 5.0, 4.0, 0.8), Lips(0, 6, 3.0, 2.0, 0.7)]
    figures = figures_of(lips)
    assert figures["place, median error (px of 96)"] == 5
    assert figures["too low by, median (px)"] == 5
    assert figures["opening, median error (px)"] == 1
    assert figures["opening, correlation"] == pytest.approx(1)


def test_weights_with_another_crop_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"takes the crop 'lipstream'; a detector's is measured"):
        measure([], BUILT_IN_WEIGHTS, SOUND, tmp_path, {})


def test_sound_without_speech_is_refused(weights: Path, tmp_path: Path) -> None:
    model = ToyFace(np.random.default_rng(1))
    with pytest.raises(SettingsError, match="the sound has 0 frames of speech; at least 12 are needed"):
        measure([model], weights, silence(1.0, 48000), tmp_path, {})


def test_a_fit_goes_on_only_with_weights_of_its_kind(tmp_path: Path) -> None:
    write_faces(tmp_path, 2, 5, np.random.default_rng(1))
    with pytest.raises(WeightsError, match=r"has head 'copy', crop 'lipstream' and 96 px; the fit is of head 'copy'"):
        fit(tmp_path, tmp_path / "fit.pt", minutes=0.01, weights=BUILT_IN_WEIGHTS, head="copy", crop="detector")


def test_a_painting_network_begins_with_all_but_the_last_layer_of_a_copying_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_faces(tmp_path, 2, 5, np.random.default_rng(1))
    monkeypatch.setattr("training.run.time", SimpleNamespace(monotonic=count(step=10).__next__))  # one step
    kind = {"head": "paint", "crop": "detector", "batch_size": 2 * TARGETS}
    fit(tmp_path, tmp_path / "fit.pt", minutes=0.01, weights=BUILT_IN_WEIGHTS, progress=str, **kind)  # type: ignore[arg-type]
    begun = torch.load(tmp_path / "fit.pt", weights_only=True)["network"]
    known = load_weights(BUILT_IN_WEIGHTS)[0].state_dict()
    last = "output_block.1."
    parts = [name for name in begun if name.startswith(("face_", "output_block.0.")) and name.endswith(".0.weight")]
    assert len(parts) > 30
    assert all(torch.allclose(begun[name], known[name], atol=1e-3) for name in parts), "the first step is small"
    assert begun[f"{last}weight"].shape[0] == 3 != known[f"{last}weight"].shape[0]


def test_references_of_a_painting_network_are_moved_and_all_else_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_faces(tmp_path, 6, 5, np.random.default_rng(1))
    monkeypatch.setattr("training.pairs._REBOXED", 0.0)
    pictures = Pictures(tmp_path, "faces", "detector")
    still, moved = (draw_batch(pictures, 4, np.random.default_rng(2), moved=moved) for moved in (0.0, 0.12))
    for part in ("reference", "target"):
        assert torch.allclose(getattr(still, part), getattr(moved, part), atol=1e-5)
    assert torch.allclose(still.face[:, :3], moved.face[:, :3], atol=1e-5)
    assert torch.equal(still.face[:, 3:], still.chosen)
    assert ((moved.face[:, 3:] - still.chosen).abs().flatten(1).mean(dim=1) > 0.01).all()
    assert still.target.shape[-2:] == (pictures.region.height, pictures.region.width)


def test_boxes_of_a_painting_network_vary_and_cut_a_whole_scene_alike(tmp_path: Path) -> None:
    write_faces(tmp_path, 6, 5, np.random.default_rng(1))
    pictures = Pictures(tmp_path, "faces", "detector")
    pictures.images[:] = pictures.images[:, :1]
    still, moved = (draw_batch(pictures, 4, np.random.default_rng(2), moved=moved) for moved in (0.0, 0.12))
    assert ((moved.chosen - still.chosen).abs().flatten(1).mean(dim=1) > 1e-3).all()
    assert torch.equal(moved.target, decoded(moved.reference, pictures.region))
    assert torch.equal(moved.face[:, :3, : CROP // 2], moved.chosen[:, :, : CROP // 2])
