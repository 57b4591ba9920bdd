"""The fit of the fine layers alone, on made-up pictures of twice the crop's size."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lipstream.realtime.errors import WeightsError
from lipstream.realtime.lipsync.fields import MAX_FLOW
from lipstream.realtime.lipsync.folding import fold
from lipstream.realtime.lipsync.network import Wav2Lip
from lipstream.realtime.lipsync.weights import load_weights, save_weights
from lipstream.realtime.picture.field_motion import FLOW_SOFTNESS, HOLD_PX, settle
from training.fine_fit import drawn, fine_fit, learn_from, settled, strayed, with_fine_paint
from training.fit import loss_of
from training.pairs import CROP, DECODED_REGION, FINE_CROP, Pictures
from training.visemes import MOUTH_ACTIONS


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (4, 5, 24, 24, 3)).astype(np.uint8)
    side = (FINE_CROP, FINE_CROP)
    images = np.stack([[cv2.resize(image, side, interpolation=cv2.INTER_CUBIC) for image in scene] for scene in small])
    mouths = rng.uniform(0, 0.3, (4, 5, len(MOUTH_ACTIONS))).astype(np.float32)
    np.savez(tmp_path / "fine-faces-0000.npz", images=images, mouths=mouths, identity=np.zeros(4, int))
    return tmp_path


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(2)
    network, path = Wav2Lip(0.125, CROP, "copy"), tmp_path / "coarse.safetensors"
    save_weights(
        network, path, window_offset_samples=-2440, decoded_region=DECODED_REGION, licence="CC0-1.0", name="coarse",
        code="mouth",
    )  # fmt: skip
    return path


def test_only_the_fine_layers_learn(data: Path, weights: Path) -> None:
    out = data / "fine.safetensors"
    fine_fit(data, weights, out, minutes=0.02, count=24, batch_size=6, progress=lambda _: None)
    before, _ = load_weights(weights)
    after, metadata = load_weights(out)
    assert metadata.paint_scale == 2
    for name, tensor in before.state_dict().items():
        assert torch.equal(tensor, after.state_dict()[name]), name
    assert after.fine_paint.correct.weight.abs().max() > 0, "it has left its start"


def test_steps_down_the_loss_come_nearer_to_the_truth(data: Path, weights: Path) -> None:
    network = with_fine_paint(load_weights(weights)[0])
    layers, pictures = network.fine_paint.train(), Pictures(data, "faces", size=FINE_CROP)
    lessons = learn_from(fold(network), pictures, 24, np.random.default_rng(5), progress=lambda _: None)
    batch, errors = lessons.batch(np.arange(24)), []
    optimizer = torch.optim.Adam(layers.requires_grad_(requires_grad=True).parameters(), 0.02)
    for _ in range(20):
        output = drawn(layers, batch)
        errors.append(float((output - batch.target).abs().mean().detach()))
        optimizer.zero_grad()
        loss_of(output, batch.target, batch.reference, batch.counts).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert errors[-1] < 0.9 * errors[0]


def test_pictures_stray_by_brightness_and_not_by_detail(data: Path, weights: Path) -> None:
    network = with_fine_paint(load_weights(weights)[0])
    pictures = Pictures(data, "faces", size=FINE_CROP)
    lessons = learn_from(fold(network), pictures, 24, np.random.default_rng(7), progress=lambda _: None)
    batch = lessons.batch(np.arange(24))
    with torch.no_grad():
        of_the_head = drawn(network.fine_paint, batch)
        chequered = (torch.arange(56)[:, None] + torch.arange(80)) % 2 * 0.2 - 0.1
        distances = [float(strayed(of_the_head + change, batch)) for change in (0.0, chequered, 0.1)]
    assert distances[0] < 1e-4
    assert distances[1] < 1e-3
    assert distances[2] == pytest.approx(0.1 * float(batch.counts.mean()), rel=0.1)


def test_a_fit_goes_on_from_its_checkpoint(data: Path, weights: Path) -> None:
    out, lines = data / "fine.safetensors", list[str]()
    for minutes in (0.02, 0.04):
        fine_fit(data, weights, out, minutes=minutes, critical=True, count=24, batch_size=6, progress=lines.append)
    starts = [line for line in lines if line.startswith("from step")]
    assert starts[0] == "from step 0"
    assert int(starts[1].split()[-1]) > 0


def test_other_weights_are_refused_in_one_sentence(data: Path) -> None:
    path = data / "paint.safetensors"
    save_weights(Wav2Lip(0.125, CROP), path, window_offset_samples=-640, licence="CC0-1.0", name="paint")
    with pytest.raises(WeightsError, match=r"paint.safetensors has head 'paint', crop 'lipstream' and 96 px"):
        fine_fit(data, path, data / "out.safetensors", minutes=1)


def test_flows_settle_as_the_painter_settles_them() -> None:
    rng = np.random.default_rng(1)
    flow = cv2.resize(rng.uniform(-0.05, 0.05, (5, 7, 2)).astype(np.float32), (72, 48))
    flow[:, 36:] += np.float32(0.02)  # a jump
    wanted = settle(flow, HOLD_PX / CROP)
    found = settled(torch.from_numpy(flow).permute(2, 0, 1)[None] * 2 / MAX_FLOW)[0] * MAX_FLOW / 2
    assert FLOW_SOFTNESS < 1, "the blur's taps reach far enough"
    np.testing.assert_allclose(found, wanted, atol=2e-4)


def test_lessons_are_parts_of_the_region_at_three_sizes(data: Path, weights: Path) -> None:
    network = fold(with_fine_paint(load_weights(weights)[0]))
    pictures = Pictures(data, "faces", size=FINE_CROP)
    lessons = learn_from(network, pictures, 20, np.random.default_rng(3), progress=lambda _: None)
    assert lessons.target.shape == lessons.moved.shape == lessons.reference.shape == (24, 3, 56, 80), "whole batches"
    assert lessons.counts.shape == (24, 1, 56, 80)
    assert lessons.output.shape == (24, 6, 28, 40)
    assert (lessons.below.shape[2:], lessons.last.shape[2:]) == ((14, 20), (28, 40))
    still = lessons.output[:, :2].float().tanh().abs().amax(dim=(1, 2, 3)) * CROP * MAX_FLOW / 2 < HOLD_PX / 2
    assert still.any()
    away = (lessons.moved.float() - lessons.reference.float()).abs().mean(dim=(1, 2, 3))
    assert away[still].max() < 1, "a fresh head moves nothing"
