"""Reads a WAV stream as it arrives. The length in the header is ignored, as its writer may not have known it."""

import struct

from lipstream.realtime.synthesis.synthesizer import SynthesisError

_PCM, _EXTENSIBLE = 1, 0xFFFE
_RIFF_BYTES, _CHUNK_BYTES, _FORMAT_BYTES = 12, 8, 16
_LONGEST_HEADER = 64 * 1024


class WaveStream:
    """Extracts the sound of a WAV file that arrives in chunks.

    Attributes:
        rate_hz: Sample rate, Hz; 0 until the header has been read.
    """

    def __init__(self) -> None:
        self.rate_hz = 0
        self._header = b""
        self._in_data = False

    def push(self, data: bytes) -> bytes:
        """Take in a chunk; return its sound: s16le, mono.

        Raises:
            SynthesisError: If the data is no WAV file or has another format.
        """
        if self._in_data:
            return data
        self._header += data
        if b"RIFF"[: len(self._header)] != self._header[:4]:
            raise SynthesisError("the engine's answer is not a WAV file")
        at = _RIFF_BYTES
        while len(self._header) >= at + _CHUNK_BYTES:
            name, size = struct.unpack_from("<4sI", self._header, at)
            at += _CHUNK_BYTES
            if name == b"data":
                return self._begin(at)
            if at + size > _LONGEST_HEADER:
                raise SynthesisError("the engine's WAV file has no sound after its header")
            if len(self._header) < at + size:
                break
            if name == b"fmt ":
                self._read_format(self._header[at : at + size])
            at += size + size % 2
        return b""

    def _begin(self, at: int) -> bytes:
        if not self.rate_hz:
            raise SynthesisError("the engine's WAV file has sound before its format")
        self._in_data, sound, self._header = True, self._header[at:], b""
        return sound

    def _read_format(self, chunk: bytes) -> None:
        if len(chunk) < _FORMAT_BYTES:
            raise SynthesisError("the engine's WAV file has a broken header")
        kind, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
        if kind not in (_PCM, _EXTENSIBLE) or channels != 1 or bits != 16:
            raise SynthesisError(f"the engine's WAV file has {channels} channels of {bits} bits: one of 16 is needed")
        self.rate_hz = rate_hz
