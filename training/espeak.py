"""espeak-ng's library: speech of its voices, and their pronunciation of a text."""

from __future__ import annotations

import ctypes
import re
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.phones import from_ipa

RATE_HZ = 22050
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
_SYNCHRONOUS, _UTF8, _IPA = 2, 1, 2
_SPEED, _PITCH, _PITCH_RANGE = 1, 3, 4


class _Espeak:
    """The library; there is one instance per process, and it speaks into one list."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL("libespeak-ng.so.1")
        self.pieces: list[NDArray[np.int16]] = []
        self._callback = _CALLBACK(self._receive)
        self.library.espeak_Initialize(_SYNCHRONOUS, 0, None, 0)
        self.library.espeak_SetSynthCallback(self._callback)
        self.library.espeak_TextToPhonemes.restype = ctypes.c_char_p

    def _receive(self, samples: Any, count: int, _events: Any) -> int:
        if samples and count:
            self.pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0


@cache
def _espeak() -> _Espeak:
    return _Espeak()


def speak(text: str, voice: str, *, words_a_minute: int, pitch: int) -> NDArray[np.int16]:
    """Return a text spoken by a voice such as ``de+f3``, ``int16[n]`` at `RATE_HZ`; pitch 0 to 99."""
    engine, encoded = _espeak(), text.encode() + b"\0"
    engine.pieces.clear()
    engine.library.espeak_SetVoiceByName(voice.encode())
    for parameter, value in ((_SPEED, words_a_minute), (_PITCH, pitch), (_PITCH_RANGE, 55)):
        engine.library.espeak_SetParameter(parameter, value, 0)
    engine.library.espeak_Synth(encoded, len(encoded), 0, 0, 0, _UTF8, None, None)
    return np.concatenate(engine.pieces)


def in_ipa(text: str, voice: str) -> list[str]:
    """Return the phonetic symbols of each clause of a text in a voice's pronunciation."""
    library, clauses = _espeak().library, []
    library.espeak_SetVoiceByName(voice.encode())
    rest = ctypes.c_char_p(text.encode())
    while rest.value:  # each call processes a clause
        clause = library.espeak_TextToPhonemes(ctypes.byref(rest), _UTF8, _IPA).decode()
        clauses.append(re.sub(r"\([a-z-]+\)", "", clause))  # marks around words of another language
    return clauses


def pronounce(text: str, voice: str) -> list[list[str]]:
    """Return the phones of each word of a text in a voice's pronunciation."""
    written = " ".join(in_ipa(text, voice)).split()
    words = [[phone.name for phone in from_ipa(word, 0, 1) if phone.name != "pau"] for word in written]
    return [word for word in words if word]
