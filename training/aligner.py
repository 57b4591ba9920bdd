"""Times of the phones in spoken words, by forced alignment with pocketsphinx and its US-English model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.visemes import Phone

_RATE_HZ = 16000
_FRAME_S = 0.01
_FIRST_FRAME_S = 0.0078
"""Start of the first frame's own hundredth of a second: its window of 25.6 ms extends to both sides of it."""
_NAMES = {"sil": "pau", "+spn+": "pau", "+nsn+": "pau"}
_UNPRUNED = {"beam": 0.0, "wbeam": 0.0, "pbeam": 0.0}
_MODELLED_AS = {"ax": "ah"}


@cache
def _decoder() -> Any:
    from pocketsphinx import Decoder  # noqa: PLC0415 (slow to load, needed by few steps)

    return Decoder(samprate=_RATE_HZ, loglevel="FATAL", bestpath=False, **_UNPRUNED)


def is_known(word: str) -> bool:
    """Return whether a lower-case word is in the aligner's dictionary."""
    return _decoder().lookup_word(word) is not None


def as_word(phones: Sequence[str]) -> str:
    """Return a dictionary word with this pronunciation; add one if there is none.

    Sounds of other languages are mapped to the nearest English ones.

    Args:
        phones: Names as in `training.visemes.Phone`.
    """
    word = f"/{'-'.join(phones)}/"
    if not is_known(word):
        _decoder().add_word(word, " ".join(_MODELLED_AS.get(phone, phone).upper() for phone in phones), False)
    return word


def align(samples: NDArray[np.float32], words: str) -> list[Phone]:
    """Return the phones of the words with their times.

    Args:
        samples: ``float32[n]`` at 16 kHz.
        words: Spoken words, as words of the aligner's dictionary.

    Raises:
        RuntimeError: If the sound does not match the words.
    """
    decoder = _decoder()
    pcm = (np.clip(samples, -1, 1) * 32767).astype(np.int16).tobytes()
    decoder.set_align_text(words)
    for second_pass in (False, True):
        if second_pass:
            decoder.set_alignment()
        decoder.start_utt()
        decoder.process_raw(pcm, full_utt=True)
        decoder.end_utt()
    found = []
    for word in decoder.get_alignment():
        for phone in word:
            name = _NAMES.get(phone.name.lower(), phone.name.lower())
            start_s = _FIRST_FRAME_S + phone.start * _FRAME_S
            found.append(Phone(name, start_s, start_s + phone.duration * _FRAME_S))
    return found
