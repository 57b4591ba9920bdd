"""Mouths against rendered truth."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import rendered
from benchmarks.rendered import RenderedMouth, figures, rendered_mouths
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS
from lipstream.realtime.lipsync.mouth_code import SPREAD
from lipstream.realtime.lipsync.torch_backend import TorchPredictor
from lipstream.realtime.picture.i420 import Picture, planes


@pytest.fixture(scope="module")
def mouths() -> list[RenderedMouth]:
    return list(rendered_mouths())


def test_the_truth_differs_from_the_reference_in_the_mouth_alone(mouths: list[RenderedMouth]) -> None:
    assert len(mouths) == 32
    for mouth in mouths:
        before, truth = (planes(picture)[0].astype(int) for picture in (mouth.reference, mouth.truth))
        assert before.shape == mouth.inside.shape == (384, 384)
        assert mouth.inside.sum() >= 300
        away = np.abs(truth - before)
        np.testing.assert_array_equal(away[:192], 0)
        assert away[mouth.inside].mean() > 4 * away[~mouth.inside].mean()
        assert mouth.code.shape == (len(SPREAD),)
        assert mouth.code.max() > 0.5


def test_what_is_painted_as_fields_is_nearer_to_the_truth_than_pixels(
    mouths: list[RenderedMouth], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendered, "rendered_mouths", lambda _: mouths[::4])
    predictor = TorchPredictor(BUILT_IN_WEIGHTS, device="cpu")
    fields, pixels = (figures(predictor, pixels=kind) for kind in (False, True))
    assert fields["L1"] < pixels["L1"]
    assert fields["SSIM"] > pixels["SSIM"]
    assert fields["teeth SSIM"] > pixels["teeth SSIM"] + 0.03, "by the fine layers"
    assert fields["teeth slopes r"] > pixels["teeth slopes r"] + 0.05


def test_the_truth_itself_has_perfect_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = TorchPredictor(BUILT_IN_WEIGHTS, device="cpu")

    def perfect(_: TorchPredictor, mouth: RenderedMouth, *, pixels: bool) -> Picture:
        assert not pixels
        return mouth.truth

    monkeypatch.setattr(rendered, "paint", perfect)
    found = figures(predictor, pixels=False)
    assert found.pop("sharpness") == rendered.truth_sharpness(predictor.metadata)[0]
    assert found == {"L1": 0, "SSIM": 1, "teeth SSIM": 1, "teeth slopes r": 1}


def test_the_file_is_small() -> None:
    assert Path(rendered.RENDERED).stat().st_size < 1_000_000
