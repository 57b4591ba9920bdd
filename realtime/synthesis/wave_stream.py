"""Reads a WAV stream as it arrives.

Writers that do not know the length in advance write any length, and some send a header with each of their chunks. So
sound goes on behind its stated length unless a known chunk follows, and a header within the sound begins a new part.
"""

import struct

from lipstream.realtime.synthesis.pcm_decoder import PcmDecoder
from lipstream.realtime.synthesis.synthesizer import SynthesisError

_CODECS = {
    (1, 8): "pcm_u8",
    (1, 16): "pcm_s16le",
    (1, 24): "pcm_s24le",
    (1, 32): "pcm_s32le",
    (3, 32): "pcm_f32le",
    (3, 64): "pcm_f64le",
    (6, 8): "pcm_alaw",
    (7, 8): "pcm_mulaw",
}
"""FFmpeg's names by the format tag and the bits of a sample (RFC 2361)."""
_EXTENSIBLE, _SUBFORMAT_AT = 0xFFFE, 24
_RIFF_BYTES, _CHUNK_BYTES, _FORMAT_BYTES = 12, 8, 16
_LONGEST_HEADER = 64 * 1024
_UNKNOWN, _ENDLESS = (0, 0xFFFFFFFF), 1 << 62
_BEHIND_SOUND = (b"LIST", b"id3 ", b"ID3 ", b"cue ", b"smpl", b"bext", b"fact", b"JUNK", b"junk", b"PAD ")
_MAGICS = (b"RIFF", b"RF64")


def begins_wave(head: bytes | bytearray) -> bool:
    """Return whether bytes are the beginning of a WAV file, RIFF or RF64."""
    return head[:4] in _MAGICS and head[8:12] == b"WAVE"


class WaveStream:
    """Extracts the sound of a WAV file that arrives in chunks, as s16le, mono.

    Args:
        rate_hz: Sample rate that the sound is brought to, Hz; 0 for the file's own.

    Attributes:
        rate_hz: Sample rate of the sound, Hz; 0 until the header has been read.
    """

    def __init__(self, rate_hz: int = 0) -> None:
        self.rate_hz = rate_hz
        self._buffer = bytearray()
        self._decoder: PcmDecoder | None = None  # None while a header is expected
        self._left = 0  # bytes of sound by the header
        self._skip = 0  # bytes of a chunk behind the sound

    def push(self, data: bytes) -> bytes:
        """Take in a chunk; return its sound.

        Raises:
            SynthesisError: If the data is no WAV file, or has a format that is not read.
        """
        self._buffer += data
        found = []
        while (sound := self._take()) is not None:
            found.append(sound)
        return b"".join(found)

    def flush(self) -> bytes:
        """Return the rest of the sound at the end of the data."""
        if self._decoder is None:
            return b""
        rest = b"" if self._skip else bytes(self._buffer)
        self._buffer.clear()
        return self._decoder.push(rest) + self._decoder.flush()

    def _take(self) -> bytes | None:
        """Take one part of the buffer; return its sound, or ``None`` if more data is needed."""
        if self._decoder is None:
            return b"" if self._read_header() else None
        if self._skip:
            passed = min(self._skip, len(self._buffer))
            del self._buffer[:passed]
            self._skip -= passed
            return b"" if passed else None
        end, is_header = _sound_end(self._buffer)
        if is_header and not end:
            rest, self._decoder = self._decoder.flush(), None
            return rest
        if not self._left:
            return self._end_sound(is_header=is_header)
        end = min(end, self._left)
        sound = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._left -= end
        return self._decoder.push(sound) if end else None

    def _end_sound(self, *, is_header: bool) -> bytes | None:
        """Decide what follows the stated end of the sound: a chunk, or more sound."""
        if len(self._buffer) <= _CHUNK_BYTES and not is_header:
            return None
        at = next((at for at in (0, 1) if self._buffer[at : at + 4] in _BEHIND_SOUND), -1)  # after a byte of padding
        if at < 0:
            self._left = _ENDLESS
        else:
            (size,) = struct.unpack_from("<I", self._buffer, at + 4)
            self._skip = at + _CHUNK_BYTES + size + size % 2
        return b""

    def _read_header(self) -> bool:
        """Read the header if it is whole; return whether it is."""
        head, at, size64 = self._buffer, _RIFF_BYTES, 0
        if not any(magic[: len(head)] == head[:4] for magic in _MAGICS):
            raise SynthesisError("the engine's answer is not a WAV file")
        form: bytes | None = None
        while len(head) >= at + _CHUNK_BYTES:
            name, size = struct.unpack_from("<4sI", head, at)
            at += _CHUNK_BYTES
            if name == b"data":
                self._begin(form, size64 if size in _UNKNOWN else size)
                del head[:at]
                return True
            if at + size > _LONGEST_HEADER:
                raise SynthesisError("the engine's WAV file has no sound after its header")
            if len(head) < at + size:
                break
            if name == b"fmt ":
                form = bytes(head[at : at + size])
            elif name == b"ds64" and size >= 16:  # the sizes of RF64 (EBU Tech 3306)
                (size64,) = struct.unpack_from("<Q", head, at + 8)
            at += size + size % 2
        return False

    def _begin(self, form: bytes | None, size: int) -> None:
        if form is None:
            raise SynthesisError("the engine's WAV file has sound before its format")
        if len(form) < _FORMAT_BYTES:
            raise SynthesisError("the engine's WAV file has a broken header")
        kind, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", form)
        if kind == _EXTENSIBLE:
            kind = int.from_bytes(form[_SUBFORMAT_AT : _SUBFORMAT_AT + 2], "little") or 1
        if (kind, bits) not in _CODECS:
            raise SynthesisError(
                f"the engine's WAV file has samples of {bits} bits in format {kind}, which is not read"
            )
        self._decoder = PcmDecoder(_CODECS[kind, bits], rate_hz, channels, self.rate_hz)
        self.rate_hz = self._decoder.rate_hz
        self._left = size or _ENDLESS


def _sound_end(data: bytearray) -> tuple[int, bool]:
    """Return how many bytes are surely sound, and whether a header follows them."""
    ends = []
    for magic in _MAGICS:
        at = data.find(magic)
        while at >= 0:
            if begins_wave(data[at : at + _RIFF_BYTES]) or at > len(data) - _RIFF_BYTES:
                ends.append(at)
                break
            at = data.find(magic, at + 1)
        ends += [len(data) - size for size in (3, 2, 1) if data[-size:] == magic[:size]]
    end = min(ends, default=len(data))
    return end, begins_wave(data[end : end + _RIFF_BYTES])
