"""Speech timing and sounds, and the synthesisers that are installed."""

import shutil
from importlib.util import find_spec

import numpy as np
import pytest

from training import kokoro, speech
from training.aligner import align, as_word
from training.espeak import pronounce
from training.motion import idle_clip
from training.phones import from_ipa, from_japanese, from_russian
from training.sounds import coloured_noise, unspoken, vary
from training.speech import HELD_OUT, closed_frames, held_vowels, make_clip, pack_mel, random_clip, unpack_mel
from training.texts import OTHER_LANGUAGES, SENTENCES, random_text
from training.visemes import MOUTH_ACTIONS, Phone
from training.voices import HTS_VOICES, RATE_HZ, RHVOICE, Manner, Spoken, parse_phones, speak

needs_aligner = pytest.mark.skipif(find_spec("pocketsphinx") is None, reason="needs the training extra")
needs_pico = pytest.mark.skipif(find_spec("ttspico") is None, reason="needs the training extra")
needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")
needs_kokoro = pytest.mark.skipif(
    not (kokoro.FOLDER / "model.onnx").exists() or find_spec("onnxruntime") is None, reason="needs Kokoro"
)
needs_rhvoice = pytest.mark.skipif(not (RHVOICE / "say.exe").exists(), reason="needs RHVoice")
needs_jtalk = pytest.mark.skipif(
    shutil.which("open_jtalk") is None or not (HTS_VOICES / "mei_normal.htsvoice").exists(),
    reason="needs Open JTalk and Mei",
)


def test_phones_are_read_with_their_starts() -> None:
    phones = parse_phones("pau:0.136 p:0.234 l:0.293 iy:0.377 \n")
    assert [p.name for p in phones] == ["pau", "p", "l", "iy"]
    assert phones[1] == Phone("p", 0.136, 0.234)


def test_closed_frames_are_those_shown_in_the_middle_of_the_closure() -> None:
    phones = (Phone("aa", 0.0, 0.4), Phone("m", 0.4, 0.5), Phone("aa", 0.5, 1.0))
    assert np.flatnonzero(closed_frames(phones, 25)).tolist() == [11]


@pytest.mark.parametrize(
    ("voices", "slow"),
    [((("flite", "rms", "en"),), True), ((("espeak", "", "en"),), False), (HELD_OUT, False)],
    ids=["tells its times", "is aligned", "held out"],
)
def test_some_clips_are_slow_where_the_phones_times_are_told(
    voices: tuple[tuple[str, str, str], ...], slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stretches: list[float] = []

    def say(_text: str, _engine: str, _voice: str, manner: Manner) -> Spoken:
        stretches.append(manner.stretch)
        return Spoken(np.ones(1600, np.float32), [Phone("aa", 0.0, 0.1)])

    monkeypatch.setattr(speech, "speak", say)
    rng = np.random.default_rng(0)
    for _ in range(60):
        random_clip(rng, voices)
    share = np.mean(np.array(stretches) > 1.35)
    assert 0.1 < share < 0.5 if slow else share == 0


def test_a_long_vowel_is_held_between_its_edges_and_nothing_else_is() -> None:
    phones = [
        Phone("m", 0.0, 0.4),
        Phone("uw", 0.4, 0.8),  # frames 12 (0.48 s) to 18 (0.72 s) lie 60 ms inside
        Phone("n", 0.8, 1.0),
        Phone("ay", 1.0, 1.4),  # two shapes: it moves
        Phone("ih", 1.4, 1.5),  # too short
    ]
    assert np.flatnonzero(held_vowels(phones, 40)).tolist() == list(range(12, 18))


def test_other_alphabets_become_phones_that_share_their_time() -> None:
    assert from_ipa("m", 0.0, 0.1) == [Phone("m", 0.0, 0.1)]
    assert [p.name for p in from_ipa("aʊ", 0.0, 0.2)] == ["aa", "uh"]
    assert from_ipa("aʊ", 0.0, 0.2)[1].start_s == pytest.approx(0.1)
    assert from_ipa("", 0.0, 0.1) == [Phone("pau", 0.0, 0.1)]
    assert [from_russian(name) for name in ("bb", "m", "sch", "oo", "#")] == ["b", "m", "sh", "ao", "pau"]


def test_the_japanese_nasal_and_doubling_shut_the_lips_where_the_next_phone_does() -> None:
    said = ["sil", "k", "a", "N", "p", "a", "N", "k", "a", "cl", "p", "a", "cl", "t", "o", "N", "pau"]
    assert " ".join(from_japanese(said)) == "pau k aa m p aa n k aa p p aa t t ow n pau"


def test_a_clip_begins_and_ends_at_rest() -> None:
    clip = make_clip(Spoken(np.full(RATE_HZ, 0.5, np.float32), [Phone("aa", 0.0, 1.0)]))
    assert clip.samples.std() > 0
    assert len(clip.mouth) == int(np.ceil(len(clip.samples) / 640))
    assert clip.mouth.shape[1] == len(MOUTH_ACTIONS)
    assert clip.mouth[0].max() < 0.01 < clip.mouth[len(clip.mouth) // 2].max()


def test_every_language_has_sentences() -> None:
    rng = np.random.default_rng(0)
    for language in ("en", *OTHER_LANGUAGES):
        assert all(random_text(rng, language) for _ in range(20))


def test_packing_a_mel_loses_little() -> None:
    mel = np.random.default_rng(0).uniform(-4, 4, (80, 30)).astype(np.float32)
    assert np.abs(unpack_mel(pack_mel(mel)).T - mel).max() < 8 / 255
    assert (unpack_mel(pack_mel(np.full((80, 2), -4, np.float32))) == -4).all()


def test_sounds_without_a_voice_are_finite_and_not_loud() -> None:
    rng = np.random.default_rng(1)
    for _ in range(24):
        samples = unspoken(rng)
        assert np.isfinite(samples).all()
        assert samples.std() < 0.1
        assert np.isfinite(vary(samples, rng)).all()


def test_noise_has_unit_power() -> None:
    assert coloured_noise(16000, np.random.default_rng(2), 0.5).std() == pytest.approx(1, abs=0.01)


def test_idle_motion_closes_its_loop() -> None:
    poses, actions = idle_clip(200, 25, np.random.default_rng(3))
    head = np.array([pose.head for pose in poses])
    seam = np.abs(head[0] - head[-1]).max()
    assert seam <= np.abs(np.diff(head, axis=0)).max() * 1.5
    assert actions[0]["eyeBlink"] == actions[-1]["eyeBlink"] == 0
    assert max(action["eyeBlink"] for action in actions) > 0.9


@needs_espeak
def test_words_of_other_languages_are_pronounced() -> None:
    assert pronounce("Mi mamá, por favor.", "es") == [
        ["m", "iy"],
        ["m", "aa", "m", "aa"],
        ["p", "ow", "d"],
        ["f", "aa", "v", "ow", "d"],
    ]


@needs_aligner
@pytest.mark.skipif(shutil.which("flite") is None, reason="needs flite")
def test_phones_are_aligned_to_where_they_sound() -> None:
    said = speak(SENTENCES[0], "flite", "rms", Manner())
    aligned = align(said.samples, " ".join(as_word([phone]) for phone in _names(said.phones)))
    true = [phone for phone in said.phones if phone.name != "pau"]
    found = [phone for phone in aligned if phone.name != "pau"]
    assert [phone.name for phone in found] == [_AS_HEARD.get(phone.name, phone.name) for phone in true]
    late = np.array([[f.start_s - t.start_s, f.end_s - t.end_s] for f, t in zip(found, true, strict=True)])
    assert np.abs(np.median(late)) < 0.010
    assert np.median(np.abs(late)) < 0.020


_AS_HEARD = {"ax": "ah"}


def _names(phones: list[Phone]) -> list[str]:
    return [phone.name for phone in phones if phone.name != "pau"]


@needs_aligner
@pytest.mark.parametrize(
    ("engine", "voice", "text"),
    [
        pytest.param("espeak", "es+m3", "Pepe pide papas y pan para papá.", marks=needs_espeak),
        pytest.param("pico", "es-ES", "Pepe pide papas y pan para papá.", marks=[needs_espeak, needs_pico]),
        pytest.param("rhvoice", "clb", "A pepper, a paper, a puppet, and a copper apple.", marks=needs_rhvoice),
        pytest.param(
            "kokoro",
            "en-gb bf_emma bm_george 0.5",
            "A pepper, a paper, a puppet, and a copper apple.",
            marks=[needs_espeak, needs_kokoro],
        ),
        pytest.param("jtalk", "mei_normal", "パパはパンとピーマンをいっぱい食べた。", marks=needs_jtalk),
    ],
)
def test_voices_are_hushed_in_the_middle_of_a_closure(engine: str, voice: str, text: str) -> None:
    said = speak(text, engine, voice, Manner(pitch_hz=180))
    level = np.sqrt(np.convolve(said.samples**2, np.ones(160) / 160, "same"))
    closures = [
        phone
        for before, phone in zip(said.phones, said.phones[1:], strict=False)
        if phone.name == "p" and before.name != "pau"
    ]
    middles = [int((phone.start_s + phone.end_s) / 2 * RATE_HZ) for phone in closures]
    hushed = np.median([level[middle] for middle in middles])
    beside = [level[middle + away] for middle in middles for away in (-1120, 1120)]  # 70 ms: in the vowels
    assert len(middles) >= 4
    assert hushed < 0.2 * np.median(beside)


@pytest.mark.parametrize(
    ("engine", "voice"),
    [
        pytest.param(engine, voice, marks=pytest.mark.skipif(shutil.which(program) is None, reason=f"needs {program}"))
        for engine, voice, program in (
            ("flite", "rms", "flite"),
            ("festival", "ked_diphone", "festival"),
        )
    ]
    + [
        pytest.param("espeak", "en-us+f3", marks=[needs_espeak, needs_aligner]),
        pytest.param("pico", "en-GB", marks=[needs_pico, needs_aligner]),
        pytest.param("rhvoice", "bdl", marks=[needs_rhvoice, needs_aligner]),
        pytest.param("kokoro", "en-us af_heart af_heart 0", marks=[needs_espeak, needs_kokoro, needs_aligner]),
    ],
)
@pytest.mark.parametrize("size", [1.0, 1.2])
def test_spoken_phones_line_up_with_the_sound(engine: str, voice: str, size: float) -> None:
    said = speak("mama papa, mama papa.", engine, voice, Manner(size=size))
    at = np.arange(len(said.samples)) / RATE_HZ
    sounding = np.zeros(len(at), bool)
    for phone in said.phones:
        if phone.name in ("aa", "ah", "ax", "ae", "m"):
            sounding |= (at >= phone.start_s) & (at < phone.end_s)
    assert np.abs(said.samples[sounding]).mean() > 2.5 * np.abs(said.samples[~sounding]).mean()
