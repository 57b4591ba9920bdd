"""Speech timing and sounds, without a synthesiser but where flite is installed."""

import shutil

import numpy as np
import pytest

from training.motion import idle_clip
from training.speech import (
    Clip,
    Phone,
    closed_frames,
    coloured_noise,
    pack_mel,
    parse_phones,
    speak,
    unpack_mel,
    unspoken,
    vary,
)
from training.visemes import mouth_curve


def test_phones_are_read_with_their_starts():
    phones = parse_phones("pau:0.136 p:0.234 l:0.293 iy:0.377 \n")
    assert [p.name for p in phones] == ["pau", "p", "l", "iy"]
    assert phones[1] == Phone("p", 0.136, 0.234)


def test_closed_frames_are_those_whose_middle_is_near_the_closure():
    phones = (Phone("aa", 0.0, 0.4), Phone("m", 0.4, 0.5), Phone("aa", 0.5, 1.0))
    clip = Clip("x", np.zeros(16000, np.float32), phones, mouth_curve(list(phones), 1.0))
    assert np.flatnonzero(closed_frames(clip)).tolist() == [11]


def test_packing_a_mel_loses_little():
    mel = np.random.default_rng(0).uniform(-4, 4, (80, 30)).astype(np.float32)
    assert np.abs(unpack_mel(pack_mel(mel)).T - mel).max() < 8 / 255
    assert (unpack_mel(pack_mel(np.full((80, 2), -4, np.float32))) == -4).all()


def test_sounds_without_a_voice_rest_and_are_finite():
    rng = np.random.default_rng(1)
    for _ in range(12):
        clip = unspoken(rng)
        assert np.isfinite(clip.samples).all()
        assert not clip.mouth.any()
        assert np.isfinite(vary(clip.samples, rng)).all()


def test_noise_has_unit_power():
    assert coloured_noise(16000, np.random.default_rng(2), 0.5).std() == pytest.approx(1, abs=0.01)


def test_idle_motion_closes_its_loop():
    poses, actions = idle_clip(200, 25, np.random.default_rng(3))
    head = np.array([pose.head for pose in poses])
    seam = np.abs(head[0] - head[-1]).max()
    assert seam <= np.abs(np.diff(head, axis=0)).max() * 1.5
    assert actions[0]["eyeBlink"] == actions[-1]["eyeBlink"] == 0
    assert max(action["eyeBlink"] for action in actions) > 0.9


@pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
def test_spoken_phones_line_up_with_the_sound():
    clip = speak("mama papa", "rms")
    at = np.arange(len(clip.samples)) / 16000
    sounding = np.zeros(len(at), bool)
    for phone in clip.phones:
        if phone.name in ("aa", "ah", "ax", "m"):
            sounding |= (at >= phone.start_s) & (at < phone.end_s)
    assert np.abs(clip.samples[sounding]).mean() > 3 * np.abs(clip.samples[~sounding]).mean()
    assert len(clip.mouth) == int(np.ceil(len(clip.samples) / 640))
