"""Builds the speech set: sentences by many voices in many manners, through many lines."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipstream.realtime.audio.mel import mel_spectrogram
from training.aligner import is_known
from training.kokoro import voice_names
from training.sounds import unspoken, vary
from training.texts import OTHER_LANGUAGES, random_text
from training.visemes import FRAME_RATE_HZ, MOUTH_ACTIONS, Phone, is_closed, mouth_curve
from training.voices import RATE_HZ, Floats, Manner, Spoken, english_words, speak

HELD_OUT = (("flite", "slt", "en"),)
VOICES = (
    *[("flite", name, "en") for name in ("rms", "awb", "kal16")] * 5,
    ("festival", "ked_diphone", "en"),
    ("festival", "msu_ru_nsh_clunits", "ru"),
    ("pico", "en-US", "en"),
    ("pico", "en-GB", "en"),
    ("pico", "de-DE", "de"),
    ("pico", "es-ES", "es"),
    ("pico", "fr-FR", "fr"),
    ("pico", "it-IT", "it"),
    *[("jtalk", f"mei_{mood}", "ja") for mood in ("normal", "happy")],
    *[("jtalk", "nitech_jp_atr503_m001", "ja")] * 2,
    *[("rhvoice", name, "en") for name in ("bdl", "bdl", "clb", "clb")],
    ("espeak", "", ""),
    ("espeak", "", ""),
    ("espeak", "", "en"),
    *[("kokoro", "", "en")] * 12,
    *[("kokoro", "", language) for language in ("es", "fr", "it")] * 2,
)
"""Engine, voice and language of the training voices, repeated by their weight; for espeak-ng and Kokoro the voice is
drawn from all of theirs."""
VARIANTS = 3
"""Versions of each clip: the original, and others with changed level, noise, band and room."""

_ESPEAK_NAMED = (
    "Alex Alicia Andrea Andy Annie Denis Gene Jacky Lee Marco Mario Michael Mike Storm adam anika antonio aunty belinda"
    " benjamin boris caleb david ed edward grandma grandpa iven john linda max michel miguel pablo paul pedro quincy"
    " rob robert sandro shelby steph travis victor zac klatt klatt2 klatt3 klatt4"
)
_ESPEAK_VARIANTS = (
    *(f"{sex}{number}" for sex, most in (("m", 8), ("f", 5)) for number in range(1, most + 1)),
    *_ESPEAK_NAMED.split(),
)
_ESPEAK_LANGUAGES = tuple(language for language in OTHER_LANGUAGES if language != "ja")  # it cannot read kanji
_ENGLISH = ("en-us", "en-gb", "en-gb-scotland", "en-us-nyc")
_MIXED_SHARE = 0.5
"""Share of Kokoro's clips that are spoken by a mean of two voices."""
_DRAWLING = ("flite", "festival", "jtalk")
"""The engines that report the times of their phones themselves, at any speed."""
_DRAWLED_SHARE = 0.25
"""Share of their clips that are spoken slowly: without held vowels in training, the mouth is not still in them."""
_VOWELS = frozenset(("aa", "ae", "ah", "ao", "eh", "er", "ih", "iy", "uh", "uw"))
"""Vowels with a single shape."""
_VOWEL_EDGE_S = 0.06
"""Time at the ends of a vowel in which its neighbours still move the mouth."""
_PAUSE_S = 0.3
_UNSPOKEN_SHARE = 0.12
_QUIET = -4.0


@dataclass(frozen=True)
class Clip:
    """One utterance, or a stretch of other sound.

    Attributes:
        samples: ``float32[n]`` at 16 kHz.
        phones: Phones with their times; empty for sound without a voice.
        mouth: ``float32[frames, 13]``, see `mouth_curve`.
    """

    samples: Floats
    phones: tuple[Phone, ...]
    mouth: Floats


def make_clip(spoken: Spoken) -> Clip:
    """Return an utterance at a common level, padded with a pause on both sides, and its mouth."""
    loud = max(float(np.sqrt(np.mean(spoken.samples**2))), 1e-6)
    pause = np.zeros(int(_PAUSE_S * RATE_HZ), np.float32)
    samples = np.concatenate([pause, spoken.samples * np.float32(0.08 / loud), pause])
    phones = [Phone(p.name, p.start_s + _PAUSE_S, p.end_s + _PAUSE_S) for p in spoken.phones]
    return Clip(samples, tuple(phones), mouth_curve(phones, len(samples) / RATE_HZ))


def random_clip(rng: np.random.Generator, voices: tuple[tuple[str, str, str], ...]) -> Clip:
    """Draw a clip: sometimes without a voice, else with a random voice and manner."""
    if rng.random() < _UNSPOKEN_SHARE:
        samples = unspoken(rng)
        frames = int(np.ceil(len(samples) / RATE_HZ * FRAME_RATE_HZ))
        return Clip(samples, (), np.zeros((frames, len(MOUTH_ACTIONS)), np.float32))
    engine, voice, language = voices[rng.integers(len(voices))]
    if voices == HELD_OUT:
        manner = Manner(float(rng.uniform(0.85, 1.2)), 170.0)
    else:
        high = rng.random() < 0.55
        manner = Manner(
            float(rng.uniform(0.75, 1.35)),
            float(rng.uniform(140, 240) if high else rng.uniform(75, 150)),
            float(rng.uniform(1.05, 1.25) if high else rng.choice((1.0, rng.uniform(0.88, 1.08)))),
        )
        if engine in _DRAWLING and rng.random() < _DRAWLED_SHARE:
            manner = manner._replace(stretch=float(rng.uniform(1.35, 3.0)))
    if engine == "espeak":
        language = language or str(rng.choice(_ESPEAK_LANGUAGES))
        spoken_as = str(rng.choice(_ENGLISH)) if language == "en" else language
        voice = f"{spoken_as}+{rng.choice(_ESPEAK_VARIANTS)}"
    if engine == "kokoro":
        first, second = (str(name) for name in rng.choice(voice_names(), 2))
        share = float(rng.random()) if rng.random() < _MIXED_SHARE else 0.0
        voice = f"{rng.choice(_ENGLISH[:2]) if language == 'en' else language} {first} {second} {share}"
        manner = manner._replace(stretch=float(rng.uniform(0.8, 1.25)), size=float(rng.uniform(0.9, 1.1)))
    text = random_text(rng, language)
    if voice.startswith("mei") or engine == "pico" or voice == "clb":  # female voices
        manner = manner._replace(pitch_hz=float(rng.uniform(150, 260)), size=float(rng.uniform(0.86, 1.1)))
    elif engine in ("jtalk", "rhvoice"):
        manner = manner._replace(pitch_hz=float(rng.uniform(80, 160)), size=float(rng.uniform(0.95, 1.15)))
    if engine in ("pico", "rhvoice") and language == "en":  # aligned by words in the dictionary
        while not all(is_known(word) for word in english_words(text).split()):
            text = random_text(rng, language)
    return make_clip(speak(text, engine, voice, manner))


def closed_frames(phones: Sequence[Phone], frames: int) -> NDArray[np.bool_]:
    """Return the frames at the middle of a phone that shuts the lips, ``bool[frames]``."""
    shown_s = np.arange(frames) / FRAME_RATE_HZ
    shut = np.zeros(frames, bool)
    for phone in phones:
        if is_closed(phone.name):
            shut |= np.abs(shown_s - (phone.start_s + phone.end_s) / 2) <= 0.5 / FRAME_RATE_HZ
    return shut


def held_vowels(phones: Sequence[Phone], frames: int) -> NDArray[np.bool_]:
    """Return where a vowel is held, ``bool[frames - 1]``: element n is between frames n and n + 1."""
    shown_s = np.arange(frames) / FRAME_RATE_HZ
    held = np.zeros(frames - 1, bool)
    for phone in phones:
        if phone.name in _VOWELS:
            inside = (shown_s >= phone.start_s + _VOWEL_EDGE_S) & (shown_s <= phone.end_s - _VOWEL_EDGE_S)
            held |= inside[1:] & inside[:-1]
    return held


def _write_shard(task: tuple[Path, int, int, tuple[tuple[str, str, str], ...]]) -> str:
    path, seed, count, voices = task
    if path.exists():
        return f"{path.name} is there"
    rng = np.random.default_rng(seed)
    clips = [random_clip(rng, voices) for _ in range(count)]
    mels = []
    for clip in clips:
        versions = [clip.samples] + [vary(clip.samples, rng) for _ in range(VARIANTS - 1)]
        mels.append(np.stack([pack_mel(mel_spectrogram(version)) for version in versions]))
    part = path.with_suffix(".part.npz")
    np.savez(
        part,
        mel=np.concatenate(mels, axis=1),
        columns=[mel.shape[1] for mel in mels],
        mouth=np.concatenate([clip.mouth for clip in clips]),
        closed=np.concatenate([closed_frames(clip.phones, len(clip.mouth)) for clip in clips]),
        frames=[len(clip.mouth) for clip in clips],
        voiced=[bool(clip.phones) for clip in clips],
    )
    part.rename(path)
    return path.name


def build_speech(
    folder: Path,
    stem: str,
    *,
    shards: int,
    clips: int,
    seed: int,
    voices: tuple[tuple[str, str, str], ...] = VOICES,
    workers: int = 2,
    progress: Any = print,
) -> None:
    """Speak, vary and analyse clips, shard by shard; existing shards are kept.

    Each ``<stem>-*.npz`` holds, for `clips` clips end to end, ``mel uint8[VARIANTS, columns, 80]`` (see `pack_mel`),
    ``mouth float32[frames, 13]`` and ``closed bool[frames]`` (lips must touch), and for each clip its ``columns``,
    its ``frames`` and whether it is ``voiced``.
    """
    tasks = [(folder / f"{stem}-{i:04d}.npz", seed * 100_003 + i, clips, voices) for i in range(shards)]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for done, name in enumerate(pool.imap(_write_shard, tasks), 1):
            progress(f"{stem} {done}/{shards} {name}")


def shards_of(folder: Path, stem: str) -> list[Path]:
    """Return the complete shards, ``<stem>-0000.npz`` and so on."""
    return [path for path in sorted(folder.glob(f"{stem}-[0-9]*.npz")) if ".part" not in path.name]


def read_mouths(folder: Path, stem: str) -> Floats:
    """Return the mouths of all shards, ``float32[frames, 13]``."""
    return np.concatenate([np.load(path)["mouth"] for path in shards_of(folder, stem)])


def pack_mel(mel: Floats) -> NDArray[np.uint8]:
    """Return a spectrogram ``[80, T]`` in -4..4 as ``uint8[T, 80]``."""
    return np.round((mel.T + 4.0) * (255 / 8)).astype(np.uint8)


def unpack_mel(packed: NDArray[np.uint8]) -> Floats:
    """Undo `pack_mel` without swapping the axes back."""
    return packed.astype(np.float32) * np.float32(8 / 255) + np.float32(_QUIET)
