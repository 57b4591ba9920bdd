"""Recognises what a body of sound is: by its first bytes, and raw samples by its content type."""

from dataclasses import dataclass
from email.message import Message

from lipstream.realtime.synthesis.wave_stream import begins_wave

_MAGICS = (
    (0, b"ID3", "mp3"),
    (0, b"fLaC", "flac"),
    (0, b"OggS", "ogg"),
    (4, b"ftyp", "mov"),
    (0, b"\x1aE\xdf\xa3", "matroska"),
    (0, b"FORM", "aiff"),
    (0, b"caff", "caf"),
    (0, b"RIFX", "rifx"),
    (0, b"riff\x2e\x91\xcf\x11", "w64"),
    (0, b".snd", "au"),
    (0, b"#!AMR", "amr"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
)
CONTAINERS = frozenset({"", "wav", "text", "aac", *(name for _, _, name in _MAGICS)})
"""All that :func:`container_of` returns."""
_LONGEST_MAGIC = 16
_TEXTS = (b"<!doctype", b"<html", b'{"error"', b'{"detail"', b'{"message"', b"data:")
_RAW = {
    "audio/pcm": "pcm_s16le",
    "audio/l16": "pcm_s16le",
    "audio/raw": "pcm_s16le",
    "audio/basic": "pcm_mulaw",
    "audio/pcmu": "pcm_mulaw",
    "audio/pcma": "pcm_alaw",
}
_TELEPHONE = ("pcm_mulaw", "pcm_alaw")
_MP3_KBPS = {  # MPEG-1 and -2, layer III (ISO/IEC 11172-3, 13818-3)
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MP3_HZ = (44_100, 48_000, 32_000)


@dataclass(frozen=True, slots=True)
class RawSound:
    """Samples without a container.

    Attributes:
        codec: FFmpeg's name of their coding.
    """

    codec: str
    rate_hz: int
    channels: int


def raw_sound(content_type: str, default_hz: int) -> RawSound:
    """Return what a content type says about raw samples, such as ``audio/L16;rate=16000;channels=1``.

    Samples of ``audio/L16`` are read as little-endian, as speech endpoints send them; RFC 2586 says otherwise.

    Args:
        default_hz: Rate if the type names none, Hz.
    """
    message = Message()
    message["Content-Type"] = content_type
    codec = _RAW.get(message.get_content_type(), "pcm_s16le")
    default_hz = 8_000 if codec in _TELEPHONE else default_hz
    return RawSound(codec, _number(message, "rate", default_hz), _number(message, "channels", 1))


def _number(message: Message, name: str, default: int) -> int:
    value = str(message.get_param(name, "")).strip()
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 8 else default


def container_of(head: bytes) -> str:
    """Return FFmpeg's name of the container that begins with some bytes.

    Returns:
        ``wav``, ``text`` for a message instead of sound, or empty if the bytes may be raw samples.
    """
    if begins_wave(head):
        return "wav"
    for at, magic, name in _MAGICS:
        if head[at : at + len(magic)] == magic:
            return name
    if head[:_LONGEST_MAGIC].lstrip().lower().startswith(_TEXTS):
        return "text"
    for size, name in ((_mp3_frame, "mp3"), (_aac_frame, "aac")):
        first = size(head)
        if first and size(head[first:]):
            return name
    return ""


def needs_more(head: bytes) -> bool:
    """Return whether more bytes may show a kind that these do not."""
    return len(head) < _LONGEST_MAGIC or any(len(head) < size(head) + 7 for size in (_mp3_frame, _aac_frame))


def _mp3_frame(head: bytes) -> int:
    """Return the length of the frame of layer III that begins here, bytes; 0 if none does."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return 0
    version, kbps, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or kbps in (0, 15) or rate == 3:
        return 0
    rate_hz = _MP3_HZ[rate] >> (3 - version if version else 2)
    per_kbit = 144 if version == 3 else 72
    return per_kbit * 1000 * _MP3_KBPS[3 if version == 3 else 2][kbps] // rate_hz + (head[2] >> 1 & 1)


def _aac_frame(head: bytes) -> int:
    """Return the length of the ADTS frame that begins here, bytes; 0 if none does (ISO/IEC 13818-7)."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return 0
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return length if length > 7 else 0
