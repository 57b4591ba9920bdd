"""What programs send as sound beside plain samples: a rate in many spellings, files, base64 in text."""

import re

from lipstream.realtime.audio.pcm_queue import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, PcmQueue
from lipstream.realtime.errors import BadRequestError
from lipstream.realtime.synthesis.sound_kind import container_of
from lipstream.realtime.synthesis.synthesizer import SynthesisError
from lipstream.realtime.synthesis.wave_stream import WaveStream

BASE64_REFUSED = "Sound is sent in binary frames of s16le samples, not as base64 in text."
_RATE = re.compile(r"(\d{1,8})(?:\.0*)?")
_MOST_EXAMINED = 400
"""Bytes of an utterance that are looked at for base64 in a binary frame."""
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{200}")
"""No word and no address of a text that is to be said is as long."""


def parse_rate(text: str) -> int:
    """Return the rate that a program names, Hz; a whole number may have decimals that are 0.

    Raises:
        BadRequestError: If it is no rate that is read.
    """
    found = _RATE.fullmatch(text) if text.isascii() else None
    rate_hz = int(found[1]) if found else 0
    if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
        raise BadRequestError(f"rate: {text[:20]!r} is not a number from {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ}")
    return rate_hz


def holds_base64(text: str) -> bool:
    """Return whether a text frame that is no message seems to hold sound."""
    return _BASE64.search(text) is not None


def _fault(data: bytes, container: str) -> str:
    """Return why the first bytes of an utterance are no samples; empty if they may be."""
    if holds_base64(data[:_MOST_EXAMINED].decode("ascii", errors="replace")):
        return BASE64_REFUSED
    if container in ("", "wav"):
        return ""
    return f"The program sends a file ({container}), not samples: decode it to s16le mono at the rate of its address."


class ProgramSound:
    """Puts a program's sound into its queue. An utterance that begins with a WAV header is read as WAV."""

    def __init__(self, queue: PcmQueue) -> None:
        self._queue = queue
        self._wave: WaveStream | None = None
        self._is_first, self._is_dropped = True, False

    def push(self, data: bytes) -> str:
        """Take in a binary frame; return a warning for the program, empty if there is none.

        Raises:
            BadRequestError: If it is no sound that is read; the utterance is dropped.
        """
        warning = ""
        container = container_of(data) if self._is_first else ""
        if fault := self._is_first and _fault(data, container):
            self._is_first, self._is_dropped = False, True
            raise BadRequestError(fault)
        if container == "wav":
            self._wave = WaveStream(self._queue.rate_hz)
            warning = "The sound begins with a WAV header: it is read as a WAV file. Plain samples need no header."
        self._is_first = self._is_first and not data
        if self._is_dropped:
            return ""
        try:
            self._queue.push(self._wave.push(data) if self._wave else data)
        except SynthesisError as error:
            self._wave, self._is_dropped = None, True
            raise BadRequestError(str(error).replace("the engine's", "The program's", 1)) from error
        return warning

    def end(self) -> None:
        """End the utterance: the next one may begin with a header again."""
        if self._wave:
            self._queue.push(self._wave.flush())
        self._wave, self._is_first, self._is_dropped = None, True, False
