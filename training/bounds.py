"""What a figure of the table can reach at most, whatever network is fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.aligner import align, is_known
from training.figures import correlation
from training.heads import Floats, HeadSet
from training.photograph import wanted_opening
from training.speech import HELD_OUT, make_clip
from training.texts import SENTENCES
from training.visemes import mouth_curve
from training.voices import RATE_HZ, Manner, english_words, speak

_MANNER = Manner(pitch_hz=170.0)


def aligner_figures(folder: Path, *, sentences: int = 12) -> dict[str, float]:
    """Return how well the opening follows when an aligner is told the words.

    The held-out voice speaks written sentences. It tells the times of its phones, which make the true mouth; the
    aligner has to find them in the sound. An audio encoder is not told the words, and waits 60 ms where the aligner has
    the whole sentence.

    Args:
        folder: Dataset; its ``heads.npz`` gives the opening of a mouth.
        sentences: Number of sentences; those with a word that is not in the aligner's dictionary are passed over.
    """
    heads, ((engine, voice, _),) = HeadSet.load(folder / "heads.npz"), HELD_OUT
    known = [text for text in SENTENCES if all(is_known(word) for word in english_words(text).split())]
    rs = []
    for text in known[:sentences]:
        said = make_clip(speak(text, engine, voice, _MANNER))
        told = mouth_curve(align(said.samples, english_words(text)), len(said.samples) / RATE_HZ)
        rs.append(aperture_r(heads, told, said.mouth))
    return {"aperture r, an aligner that is told the words": float(np.mean(rs))}


def aperture_r(heads: HeadSet, a: Floats, b: Floats) -> float:
    """Return the correlation of the lips' opening in two curves of mouths, ``float32[T, 13]``, of nearly one length."""
    frames = min(len(a), len(b))
    return correlation(wanted_opening(heads, a[:frames]), wanted_opening(heads, b[:frames]))
