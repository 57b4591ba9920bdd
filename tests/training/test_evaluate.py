"""The table's bounds: what the decoder reaches with true mouths, and an aligner with the words."""

import numpy as np
import pytest
import torch

pytest.importorskip("moderngl")
pytest.importorskip("matplotlib")

from training.bounds import aperture_r
from training.clips import SpokenClip
from training.codes import code_channels, mouth_to_code
from training.evaluate import clip_figures, draw
from training.figures import mouth_error
from training.fit import new_network
from training.heads import HeadSet
from training.pairs import CROP, DECODED_REGION
from training.visemes import MOUTH_ACTIONS

FRAMES = 6


def _clip() -> SpokenClip:
    rng = np.random.default_rng(0)
    return SpokenClip(
        truth=rng.integers(0, 256, (FRAMES, CROP, CROP, 3), dtype=np.uint8),
        rest=rng.integers(0, 256, (1, CROP, CROP, 3), dtype=np.uint8),
        lips_m=rng.uniform(0, 0.02, (FRAMES, 2)).astype(np.float32),
        mouths=rng.uniform(0, 1, (FRAMES, len(MOUTH_ACTIONS))).astype(np.float32),
    )


def test_the_bound_of_the_error_is_that_of_the_true_mouths() -> None:
    torch.manual_seed(0)
    network, clip = new_network(width=0.125).eval(), _clip()
    windows = np.random.default_rng(1).uniform(-4, 4, (FRAMES, 80, 16)).astype(np.float32)
    figures = clip_figures(network, clip, windows, None)
    codes = mouth_to_code(torch.from_numpy(clip.mouths), code_channels(network)).numpy()
    drawn = draw(network, codes, clip.rest, clip.rest)
    assert figures["mouth L1, true mouths"] == pytest.approx(mouth_error(drawn, clip.truth))
    assert figures["mouth L1, true mouths"] != figures["mouth L1"]
    kept = np.ones((CROP, CROP), bool)
    kept[DECODED_REGION.top : DECODED_REGION.bottom, DECODED_REGION.left : DECODED_REGION.right] = False
    assert (drawn[:, kept] == clip.rest[:, kept]).all()


def test_openings_that_agree_correlate_whatever_their_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.bounds.wanted_opening", lambda heads, mouths: mouths[:, 0])
    curve = np.random.default_rng(2).uniform(0, 1, (30, len(MOUTH_ACTIONS))).astype(np.float32)
    heads: HeadSet = None  # type: ignore[assignment]
    assert aperture_r(heads, curve, curve[:-1]) == pytest.approx(1)
    assert aperture_r(heads, curve, np.roll(curve, 3, axis=0)) < 0.6
