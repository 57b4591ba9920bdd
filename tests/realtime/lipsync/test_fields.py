import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from lipstream.realtime.lipsync.fields import (
    FIELDS_BYTES,
    MAX_FLOW,
    PIXEL_BYTES,
    pack_fields,
    unpack_fields,
)
from lipstream.realtime.lipsync.graphs import FaceGraph, FieldGraph
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS, Region
from lipstream.realtime.lipsync.network import Wav2Lip, copy_and_paint
from lipstream.realtime.lipsync.predictor import draw_codes_with, draw_with
from lipstream.realtime.lipsync.torch_backend import TorchPredictor
from tests.realtime.fakes import FakePredictor, make_store, worker_settings

REGION = Region(48, 94, 10, 84)


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.sampled_from((1, 2)))
def test_fields_return_from_their_bytes_within_half_a_step(seed: int, height: int, width: int, scale: int) -> None:
    rng = np.random.default_rng(seed)
    flow = rng.uniform(-MAX_FLOW / 2, MAX_FLOW / 2, (height, width, 2)).astype(np.float32)
    paint = rng.uniform(0, 255, (scale * height, scale * width, 4)).astype(np.float32)
    mouth = pack_fields(flow, paint)
    assert mouth.shape == (height, width, FIELDS_BYTES[scale])
    assert mouth.dtype == np.uint8
    moved, laid = unpack_fields(mouth)
    assert np.abs(moved - flow).max() < 0.51 / 131068
    assert np.abs(laid - paint).max() <= 0.501
    np.testing.assert_array_equal(pack_fields(moved, laid), mouth)


def test_fields_out_of_range_are_clipped() -> None:
    mouth = pack_fields(np.array([[[9.0, -9.0]]], np.float32), np.array([[[300.0, -5.0, 12.4, 255.0]]], np.float32))
    flow, paint = unpack_fields(mouth)
    assert flow.ravel().tolist() == pytest.approx([MAX_FLOW / 2, -MAX_FLOW / 2])
    assert paint.ravel().tolist() == [255, 0, 12, 255]


@torch.inference_mode()
def test_the_fields_of_the_graph_compose_what_the_network_draws() -> None:
    torch.manual_seed(4)
    network = Wav2Lip(0.125, 96, "copy").eval()
    network.output_block[1].get_parameter("weight").mul_(40)
    crops = torch.from_numpy(np.random.default_rng(1).integers(0, 255, (2, 96, 96, 3), np.uint8))
    mel = torch.rand(2, 80, 16) * 8 - 4
    graph = FieldGraph(network, REGION)
    packed = graph(mel, crops, *FaceGraph(network, REGION)(crops))
    flow, paint = unpack_fields(np.ascontiguousarray(packed.numpy()).view(np.uint8))
    mask, colour = paint[..., :1] / 255, paint[..., 1:] / 255
    unmixed = np.where(mask > 0, colour / np.maximum(mask, 1e-6), 0)
    fields = np.concatenate((flow * 2 / MAX_FLOW, mask, unmixed), axis=-1)
    reference = crops.permute(0, 3, 1, 2).float() / 255
    composed = copy_and_paint(torch.from_numpy(fields).permute(0, 3, 1, 2), reference, REGION.top, REGION.left)
    face = torch.cat((reference * (torch.arange(96) < 48)[None, None, :, None], reference), 1)
    features = network.encode_face(face, REGION)
    drawn = network.decode(mel[:, None], features, reference, REGION)
    assert (composed - drawn).abs().max() < 2 / 255
    assert flow.std() * 96 > 0.3, "in px of the crop"
    assert 0.05 < mask.mean() < 0.95


def test_a_predictor_without_fields_draws_pixels(tmp_path_factory: pytest.TempPathFactory) -> None:
    store = make_store(tmp_path_factory.mktemp("pixels"), {})
    predictor = FakePredictor(worker_settings(store, "FakePredictor"))
    assert draw_with(predictor) == (predictor.predict, PIXEL_BYTES)


def test_fields_of_codes_are_those_of_the_windows() -> None:
    predictor = TorchPredictor(BUILT_IN_WEIGHTS, device="cpu")
    coded = draw_codes_with(predictor)
    assert coded is not None
    assert coded[1] == predictor.draw_fields
    rng = np.random.default_rng(2)
    mel = rng.uniform(-4, 4, (3, 80, 16)).astype(np.float32)
    features = predictor.encode_faces(rng.integers(0, 255, (2, 96, 96, 3), np.uint8))
    frames = np.array([0, 1, 0])
    whole = predictor.predict_fields(mel, features, frames)
    assert whole.shape[-1] == FIELDS_BYTES[predictor.metadata.paint_scale]
    for mouths in zip(whole, coded[1](predictor.encode_speech(mel), features, frames), strict=True):
        for a, b in zip(*map(unpack_fields, mouths), strict=True):
            np.testing.assert_allclose(a, b, atol=1.01 if a.shape[-1] == 4 else 1e-4)


@torch.inference_mode()
def test_fresh_fine_layers_enlarge_what_the_head_paints() -> None:
    torch.manual_seed(4)
    network = Wav2Lip(0.125, 96, "copy", paint_scale=2).eval()
    code, reference = torch.rand(1, network.code_channels, 1, 1), torch.rand(1, 6, 96, 96)
    features = network.encode_face(reference, REGION)
    coarse, fine = network.draw_fine_fields(code, features, REGION)
    assert torch.equal(coarse, network.draw_fields(code, features, REGION))
    enlarged = functional.interpolate(coarse[:, 2:].logit(), scale_factor=2.0, mode="bilinear").sigmoid()
    torch.testing.assert_close(fine, enlarged, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_fine_layers_correct_the_window_alone() -> None:
    torch.manual_seed(8)
    network = Wav2Lip(0.125, 96, "copy", paint_scale=2).eval()
    network.fine_paint.correct.weight.normal_(std=0.5)
    code = torch.rand(1, network.code_channels, 1, 1)
    features = network.encode_face(torch.rand(1, 6, 96, 96), REGION)
    window = Region(REGION.top + 4, REGION.top + 24, REGION.left + 12, REGION.left + 48)
    coarse, fine = network.draw_fine_fields(code, features, REGION, window)
    enlarged = functional.interpolate(coarse[:, 2:].logit(), scale_factor=2.0, mode="bilinear").sigmoid()
    rows, columns = slice(8, 48), slice(24, 96)
    around = torch.ones_like(fine, dtype=torch.bool)
    around[..., rows, columns] = False
    torch.testing.assert_close(fine[around], enlarged[around], atol=1e-4, rtol=0)
    assert (fine - enlarged)[~around].abs().mean() > 0.003
    whole = network.draw_fine_fields(code, features, REGION)[1]
    deep = ..., slice(rows.start + 16, rows.stop - 16), slice(columns.start + 16, columns.stop - 16)
    torch.testing.assert_close(fine[deep], whole[deep], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_fine_paint_lies_where_the_graph_packs_it() -> None:
    torch.manual_seed(6)
    network = Wav2Lip(0.125, 96, "copy", paint_scale=2).eval()
    network.fine_paint.correct.weight.normal_(std=0.5)
    crops = torch.from_numpy(np.random.default_rng(1).integers(0, 255, (1, 96, 96, 3), np.uint8))
    levels, code = FaceGraph(network, REGION)(crops), torch.rand(1, network.code_channels)
    packed = FieldGraph(network, REGION, of_codes=True)(code, crops, *levels)
    flow, paint = unpack_fields(np.ascontiguousarray(packed[0].numpy()).view(np.uint8))
    coarse, fine = network.draw_fine_fields(code[..., None, None], [level.float() for level in levels], REGION)
    mask, colour = fine[0, :1], fine[0, 1:]
    np.testing.assert_allclose(paint, torch.cat((mask, mask * colour)).permute(1, 2, 0) * 255, atol=0.51)
    np.testing.assert_allclose(flow, coarse[0, :2].permute(1, 2, 0) * MAX_FLOW / 2, atol=1e-4)
