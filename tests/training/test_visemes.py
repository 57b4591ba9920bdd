"""Mouth curves: times, closures, rest."""

import numpy as np
import pytest

from training.visemes import MOUTH_ACTIONS, Phone, mouth_curve, spread_actions

JAW, CLOSE = MOUTH_ACTIONS.index("jawOpen"), MOUTH_ACTIONS.index("mouthClose")


def test_silence_is_a_mouth_at_rest() -> None:
    curve = mouth_curve([Phone("pau", 0.0, 1.0)], 1.0)
    assert curve.shape == (25, len(MOUTH_ACTIONS))
    assert not curve.any()


def test_a_vowel_opens_the_jaw_at_its_own_time() -> None:
    curve = mouth_curve([Phone("pau", 0.0, 0.5), Phone("aa", 0.5, 0.7), Phone("pau", 0.7, 1.2)], 1.2)
    shown_s = np.arange(len(curve)) / 25
    assert 0.5 <= shown_s[curve[:, JAW].argmax()] <= 0.7
    assert curve[:8, JAW].max() < 0.01
    assert curve[-8:, JAW].max() < 0.01


@pytest.mark.parametrize("phone", ["p", "b", "m"])
@pytest.mark.parametrize("start_s", [0.50, 0.513, 0.527])
def test_lips_close_between_open_vowels_however_frames_fall(phone: str, start_s: float) -> None:
    end_s = start_s + 0.06
    phones = [Phone("aa", 0.2, start_s), Phone(phone, start_s, end_s), Phone("aa", end_s, 0.9)]
    curve = mouth_curve(phones, 1.0)
    apart = curve[:, JAW] - curve[:, CLOSE]
    assert apart[12:15].min() < 0.02
    assert apart.max() > 0.3


def test_unknown_phones_and_gaps_do_no_harm() -> None:
    curve = mouth_curve([Phone("brth", 0.1, 0.2), Phone("iy", 0.6, 0.7)], 1.0)
    assert np.isfinite(curve).all()
    assert (curve >= 0).all()
    assert (curve <= 1).all()


def test_paired_actions_move_both_sides() -> None:
    names: tuple[str, ...] = ("jawOpen", "mouthSmileLeft", "mouthSmileRight", *MOUTH_ACTIONS[1:8])
    names += tuple(
        a + s for a in ("mouthPress", "mouthUpperUp", "mouthLowerDown", "mouthStretch") for s in ("Left", "Right")
    )
    mouth = np.zeros(len(MOUTH_ACTIONS), np.float32)
    mouth[JAW], mouth[-1] = 0.3, 0.5
    spread = dict(zip(names, spread_actions(mouth, names), strict=True))
    assert spread["jawOpen"] == pytest.approx(0.3)
    assert spread["mouthSmileLeft"] == spread["mouthSmileRight"] == pytest.approx(0.5)
