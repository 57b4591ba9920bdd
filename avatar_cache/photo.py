"""Reads photographs, and their size from the first bytes of a file."""

import struct
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lipstream.realtime.errors import TooLargeError, UnsupportedTypeError

Bgr = npt.NDArray[np.uint8]

_BEHIND = 190
"""Grey behind transparent pictures."""
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1")


def photo_size(head: bytes) -> tuple[int, int] | None:
    """Return width and height of a JPEG, PNG or WebP from its first bytes, (0, 0) for HEIC, ``None`` for other data.

    Decoders allocate memory for a picture at once, so its size is checked before they see it.
    """
    try:
        if head.startswith(b"\x89PNG\r\n\x1a\n"):
            return struct.unpack(">II", head[16:24])
        if head.startswith(b"\xff\xd8\xff"):
            return _jpeg_size(head)
        if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
            return _webp_size(head)
    except (struct.error, IndexError):
        return None
    return (0, 0) if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS else None


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 < len(head):
        marker, length = head[at + 1], int.from_bytes(head[at + 2 : at + 4], "big")
        if head[at] != 0xFF or length < 2:
            return None
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a start of frame
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return width, height
        at += 2 + length
    return None


def _webp_size(head: bytes) -> tuple[int, int] | None:
    if head[12:16] == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if head[12:16] == b"VP8 ":
        width, height = struct.unpack("<HH", head[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None


def read_photo(path: Path, most_pixels: int) -> Bgr:
    """Return a photograph, rotated by its EXIF data.

    Raises:
        UnsupportedTypeError: If it cannot be decoded.
        TooLargeError: If it is HEIC with more than ``most_pixels``; other formats are checked before.
    """
    data = np.fromfile(path, np.uint8)
    if bytes(data[4:8]) == b"ftyp" and bytes(data[8:12]) in _HEIF_BRANDS:
        return _read_heif(path, most_pixels)
    decoded = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if decoded is not None and (decoded.ndim == 2 or decoded.shape[2] != 4):
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR_BGR)  # rotates, and converts to 8-bit BGR
    if decoded is None:
        raise UnsupportedTypeError(f"{path.name} is damaged: the photograph cannot be decoded")
    return over_grey(np.asarray(decoded if decoded.dtype == np.uint8 else decoded >> 8, np.uint8))


def _read_heif(path: Path, most_pixels: int) -> Bgr:
    try:
        import pi_heif  # type: ignore[import-not-found] # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise UnsupportedTypeError(
            f"{path.name} is HEIC: `pip install pi-heif` to read it, or save it as JPEG"
        ) from error
    try:
        heif = pi_heif.open_heif(str(path), bgr_mode=True)  # upright, 8 bits
        width, height = heif.size
        if width * height > most_pixels:
            raise TooLargeError(f"{path.name} is {width}x{height}; at most {most_pixels:,} pixels are taken")
        return over_grey(np.asarray(heif, np.uint8))
    except (OSError, ValueError, RuntimeError, SyntaxError) as error:
        raise UnsupportedTypeError(f"{path.name} is damaged: the photograph cannot be decoded") from error


def over_grey(picture: Bgr) -> Bgr:
    """Return BGR or BGRA as BGR, with transparent parts over grey."""
    if picture.shape[2] == 3:
        return picture
    cover = picture[..., 3:].astype(np.float32) / 255
    return np.rint(picture[..., :3] * cover + _BEHIND * (1 - cover)).astype(np.uint8)


def even(picture: Bgr) -> Bgr:
    """Crop up to three rows and one column, so that chroma planes are whole rows."""
    height, width = picture.shape[:2]
    return np.ascontiguousarray(picture[: height // 4 * 4, : width // 2 * 2])
