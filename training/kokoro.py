# ruff: noqa: RUF001 (phonetic letters look like other letters)
"""Kokoro-82M, a neural synthesiser with 54 voices, run by ONNX Runtime: from phonetic symbols to sound.

Hexgrad, Kokoro-82M 1.0, Apache-2.0: StyleTTS 2 with an iSTFTNet decoder. A voice is a table of style vectors, one per
sentence length; a mean of two tables is a voice too.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

FOLDER = Path("/usr/share/kokoro")
"""Folder with ``model.onnx``, ``vocab.json`` and ``voices/*.bin``."""
RATE_HZ = 24000
_STYLES = (510, 1, 256)
_ENGLISH = {
    "eɪ": "A", "aɪ": "I", "aʊ": "W", "ɔɪ": "Y", "oʊ": "O", "əʊ": "Q", "dʒ": "ʤ", "tʃ": "ʧ", "ɜː": "ɜɹ", "ɚ": "əɹ",
    "ɐ": "ə", "r": "ɹ", "ɾ": "T",
}  # fmt: skip
"""Kokoro writes English diphthongs and affricates as single symbols."""


def _there(name: str) -> Path:
    path = FOLDER / name
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}; training/README.md says how to get it")
    return path


@cache
def _model() -> tuple[Any, dict[str, int]]:
    import onnxruntime  # noqa: PLC0415 (needed only here)

    numbers = json.loads(_there("vocab.json").read_text())["vocab"]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # several processes speak at once
    return onnxruntime.InferenceSession(str(_there("model.onnx")), options), numbers


@cache
def voice_names() -> tuple[str, ...]:
    """Return the names of all voices; the first letter is the language, the second ``f`` or ``m``.

    Raises:
        FileNotFoundError: If Kokoro is not installed.
    """
    return tuple(sorted(path.stem for path in _there("voices").glob("*.bin")))


@cache
def _styles(voice: str) -> Floats:
    return np.fromfile(_there(f"voices/{voice}.bin"), np.float32).reshape(_STYLES)


def speak(ipa: str, voices: tuple[str, str], share: float, *, english: bool, speed: float = 1.0) -> Floats:
    """Speak phonetic symbols, ``float32[n]`` at `RATE_HZ`.

    Args:
        ipa: Symbols as from espeak-ng, with stress and punctuation; symbols that Kokoro lacks are left out.
        voices: Two of `voice_names`, or the same one twice.
        share: Share of the second voice, 0..1.
        english: Whether the symbols are English.
        speed: Factor on the speed; faster above 1.

    Raises:
        FileNotFoundError: If Kokoro is not installed.
    """
    model, numbers = _model()
    if english:
        for written, symbol in _ENGLISH.items():
            ipa = ipa.replace(written, symbol)
    tokens = [numbers[symbol] for symbol in ipa if symbol in numbers][: len(_styles(voices[0]))]
    first, second = (_styles(voice)[len(tokens) - 1] for voice in voices)
    inputs = {
        "tokens": np.array([[0, *tokens, 0]]),
        "style": first + np.float32(share) * (second - first),
        "speed": np.array([speed], np.float32),
    }
    samples: Floats = model.run(None, inputs)[0].ravel()
    return samples
