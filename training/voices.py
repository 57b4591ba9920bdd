"""Synthetic voices, with the times of their phones."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from training import espeak, kokoro
from training.aligner import align, as_word
from training.phones import from_japanese, from_russian
from training.visemes import Phone

Floats = NDArray[np.float32]

RATE_HZ = 16000
_PICO_HZ = 170.0
"""Approximate pitch of Pico's female voices by default."""
_JTALK_HZ = {"mei": 200.0, "nitech": 120.0}
"""Approximate pitch of Open JTalk's voices, by the beginning of their names."""
_RHVOICE_HZ = {"clb": 175.0, "bdl": 120.0}
_JTALK_WORDS = "/var/lib/mecab/dic/open-jtalk/naist-jdic"
_JTALK_TICK_S = 1e-7
_RHVOICE_RATE_HZ = 24000
HTS_VOICES, RHVOICE = Path("/usr/share/hts-voice"), Path("/usr/share/rhvoice")


class Spoken(NamedTuple):
    """Speech of a voice: ``float32[n]`` at 16 kHz, and its phones."""

    samples: Floats
    phones: list[Phone]


class Manner(NamedTuple):
    """How to speak.

    Attributes:
        stretch: Factor on durations; slower above 1.
        pitch_hz: Mean fundamental frequency, Hz, for engines that can set it.
        size: Factor on all frequencies, as of a smaller speaker, by faster playback.
    """

    stretch: float = 1.0
    pitch_hz: float = 110.0
    size: float = 1.0


def read_audio(path: Path) -> Floats:
    """Decode any sound file to mono 16 kHz, ``float32[n]`` in -1..1."""
    with av.open(str(path)) as container:
        return _to_16_khz(container.decode(audio=0))


def _to_16_khz(frames: Any) -> Floats:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
    pieces = [piece for frame in frames for piece in resampler.resample(frame)] + resampler.resample(None)
    return np.concatenate([piece.to_ndarray()[0] for piece in pieces]).astype(np.float32)


def _at_16_khz(samples: NDArray[Any], rate_hz: int) -> Floats:
    """Return samples, ``int16[n]`` or ``float32[n]`` in -1..1, resampled to 16 kHz."""
    kind = "s16" if samples.dtype == np.int16 else "flt"
    frame = av.AudioFrame.from_ndarray(samples[None], format=kind, layout="mono")
    frame.sample_rate = rate_hz
    return _to_16_khz([frame])


def parse_phones(printed: str) -> list[Phone]:
    """Parse the output of ``flite -psdur``: ``name:end_s`` separated by blanks."""
    return _ends_to_phones(re.findall(r"([a-z]+):([0-9.]+)", printed))


def _ends_to_phones(ends: list[tuple[str, str]]) -> list[Phone]:
    starts = [0.0, *(float(end) for _, end in ends)]
    return [Phone(name, start, float(end)) for (name, end), start in zip(ends, starts, strict=False)]


def speak_flite(text: str, voice: str, manner: Manner) -> Spoken:
    """Speak a text with one of flite's voices."""
    settings = (f"duration_stretch={manner.stretch * manner.size}", f"int_f0_target_mean={manner.pitch_hz}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "speech.wav")
        command = ["flite", "-voice", voice, "--setf", settings[0], "--setf", settings[1]]
        command += ["-t", text, "-o", str(path), "-psdur"]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return Spoken(read_audio(path), parse_phones(printed))


def speak_festival(text: str, voice: str, manner: Manner) -> Spoken:
    """Speak a text with one of festival's voices."""
    with tempfile.TemporaryDirectory() as folder:
        path, labels, script = (Path(folder, name) for name in ("speech.wav", "speech.lab", "say.scm"))
        quoted = text.replace('"', "")
        script.write_text(
            f"(voice_{voice})(Parameter.set 'Duration_Stretch {manner.stretch * manner.size:.3f})"
            f"(set! int_lr_params '((target_f0_mean {manner.pitch_hz:.0f}) (target_f0_std 14)"
            " (model_f0_mean 170) (model_f0_std 34)))"
            f'(set! said (utt.synth (Utterance Text "{quoted}")))'
            f'(utt.save.wave said "{path}" \'riff)(utt.save.segs said "{labels}")'
        )
        subprocess.run(["festival", "-b", str(script)], check=True, capture_output=True)
        ends = [(name, end) for end, _, name in (line.split() for line in labels.read_text().split("\n")[1:] if line)]
        phones = _ends_to_phones(ends)
        if "_ru_" in voice:
            phones = [Phone(from_russian(phone.name), phone.start_s, phone.end_s) for phone in phones]
        return Spoken(read_audio(path), phones)


def english_words(text: str) -> str:
    """Return the words of an English text as in the aligner's dictionary."""
    return " ".join(re.findall(r"[a-z']+", text.lower()))


def _as_words(text: str, voice: str) -> str:
    return " ".join(as_word(phones) for phones in espeak.pronounce(text, voice))


def speak_espeak(text: str, voice: str, manner: Manner) -> Spoken:
    """Speak a text with one of espeak-ng's voices, such as ``de+f3``.

    Its own times assign the silence of a stop to the phone before it and would shut the lips too late; the phones are
    therefore aligned.
    """
    words_a_minute = round(165 / (manner.stretch * manner.size))
    pitch = round(np.clip((manner.pitch_hz - 60) / 1.6, 10, 90))
    samples = _at_16_khz(espeak.speak(text, voice, words_a_minute=words_a_minute, pitch=pitch), espeak.RATE_HZ)
    return Spoken(samples, align(samples, _as_words(text, voice)))


def speak_pico(text: str, voice: str, manner: Manner) -> Spoken:
    """Speak a text with one of SVOX Pico's voices, such as ``en-GB``, which do not report their phones.

    English words are looked up in the aligner's dictionary; those of other languages are pronounced by espeak-ng.
    """
    from ttspico import TtsEngine  # noqa: PLC0415 (a compiled module, needed only here)

    engine = TtsEngine(voice)
    engine.rate = round(100 / (manner.stretch * manner.size))
    engine.pitch = round(100 * manner.pitch_hz / _PICO_HZ)
    samples = np.frombuffer(engine.speak(text), np.int16).astype(np.float32) * np.float32(1 / 32768)
    language = voice[:2]
    return Spoken(samples, align(samples, english_words(text) if language == "en" else _as_words(text, language)))


def speak_jtalk(text: str, voice: str, manner: Manner) -> Spoken:
    """Speak a Japanese text with Open JTalk.

    Args:
        text: Japanese text.
        voice: Name of an ``.htsvoice`` file in Debian's folder for such voices.
        manner: Speed, pitch and size.

    Raises:
        FileNotFoundError: If the voice is not installed.
    """
    model = HTS_VOICES / f"{voice}.htsvoice"
    if not model.exists():
        raise FileNotFoundError(f"there is no {model}; training/README.md says where to get it")
    usual_hz = next(hz for begins, hz in _JTALK_HZ.items() if voice.startswith(begins))
    with tempfile.TemporaryDirectory() as folder:
        written, path, trace = (Path(folder, name) for name in ("text", "speech.wav", "trace"))
        written.write_text(text)
        command = ["open_jtalk", "-x", _JTALK_WORDS, "-m", str(model), "-ow", str(path), "-ot", str(trace)]
        command += ["-r", str(1 / (manner.stretch * manner.size))]
        command += ["-fm", str(12 * np.log2(manner.pitch_hz / usual_hz)), str(written)]
        subprocess.run(command, check=True, capture_output=True)
        labels = re.findall(r"^(\d+) (\d+) \S*?-(\w+)\+", trace.read_text(), re.MULTILINE)
        names = from_japanese([name for _, _, name in labels])
        phones = [
            Phone(name, int(start) * _JTALK_TICK_S, int(end) * _JTALK_TICK_S)
            for (start, end, _), name in zip(labels, names, strict=True)
        ]
        return Spoken(read_audio(path), phones)


@cache
def _rhvoice() -> subprocess.Popen[bytes]:
    say, library, data = (str(RHVOICE / name) for name in ("say.exe", "RHVoice.dll", "data"))
    command = ["/usr/lib/wine/wine64", say, f"Z:{library}", f"Z:{data}"]
    quiet = {"stderr": subprocess.DEVNULL, "env": os.environ | {"WINEDEBUG": "-all"}}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **quiet)  # type: ignore[call-overload,no-any-return]


def speak_rhvoice(text: str, voice: str, manner: Manner) -> Spoken:
    """Speak an English text with RHVoice, which is available as a binary for Windows alone; its phones are aligned.

    Raises:
        FileNotFoundError: If RHVoice is not installed.
    """
    if not (RHVOICE / "say.exe").exists():
        raise FileNotFoundError(f"there is no {RHVOICE / 'say.exe'}; training/README.md says how to get it")
    child = _rhvoice()
    assert child.stdin
    assert child.stdout
    rate, pitch = 1 / (manner.stretch * manner.size), manner.pitch_hz / _RHVOICE_HZ[voice]
    child.stdin.write(f"{voice}\t{rate:.3f}\t{pitch:.3f}\t{text}\n".encode())
    child.stdin.flush()
    count = int(np.frombuffer(child.stdout.read(4), np.uint32)[0])
    samples = _at_16_khz(np.frombuffer(child.stdout.read(2 * count), np.int16), _RHVOICE_RATE_HZ)
    return Spoken(samples, align(samples, english_words(text)))


def speak_kokoro(text: str, voice: str, manner: Manner) -> Spoken:
    """Speak a text with Kokoro, in espeak-ng's pronunciation; its phones are aligned, and its pitch is the voice's own.

    Args:
        voice: espeak-ng's voice for the pronunciation, a voice, a second one, and its share, such as
            ``en-us af_heart am_puck 0.3``.
        manner: Speed, pitch and size.

    Raises:
        FileNotFoundError: If Kokoro is not installed.
    """
    said_as, first, second, share = voice.split()
    ipa, english = ", ".join(espeak.in_ipa(text, said_as)) + ".", said_as.startswith("en")
    speed = 1 / (manner.stretch * manner.size)
    spoken = kokoro.speak(ipa, (first, second), float(share), english=english, speed=speed)
    samples = _at_16_khz(spoken, kokoro.RATE_HZ)
    return Spoken(samples, align(samples, _as_words(text, said_as)))


ENGINES: dict[str, Callable[[str, str, Manner], Spoken]] = {
    "flite": speak_flite,
    "festival": speak_festival,
    "espeak": speak_espeak,
    "pico": speak_pico,
    "jtalk": speak_jtalk,
    "rhvoice": speak_rhvoice,
    "kokoro": speak_kokoro,
}


def speak(text: str, engine: str, voice: str, manner: Manner) -> Spoken:
    """Speak a text.

    Args:
        engine: A key of `ENGINES`.
        voice: Name of a voice of the engine.
        manner: Speed, pitch and size.
    """
    said = ENGINES[engine](text, voice, manner)
    if manner.size == 1.0:
        return said
    at = np.arange(0, len(said.samples) - 1, manner.size)
    samples = np.interp(at, np.arange(len(said.samples)), said.samples).astype(np.float32)
    return Spoken(samples, [Phone(p.name, p.start_s / manner.size, p.end_s / manner.size) for p in said.phones])
