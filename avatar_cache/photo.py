"""Reads photographs, and their size from the first bytes of a file."""

import struct
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lipstream.extras import install_line
from lipstream.realtime.errors import TooLargeError, UnsupportedTypeError

Bgr = npt.NDArray[np.uint8]

_BEHIND = 190
"""Grey behind transparent pictures."""
_ORIENTATION, _WIDTH, _HEIGHT = 0x0112, 0x0100, 0x0101
"""Tags of TIFF 6.0."""
_TIFFS = (b"II*\0", b"MM\0*")
_BITMAP_HEADER_BYTES = 40
_HEAD_BYTES = 1 << 18
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1")


def photo_size(head: bytes) -> tuple[int, int] | None:
    """Return width and height of a photograph from its first bytes, (0, 0) for HEIC, ``None`` for other data.

    JPEG, PNG, WebP, AVIF, BMP and TIFF are known.

    Decoders allocate memory for a picture at once, so its size is checked before they see it.
    """
    try:
        size = _size(head)
    except (struct.error, IndexError, KeyError):
        return None
    if size is None and head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return 0, 0
    return size


def _size(head: bytes) -> tuple[int, int] | None:
    size: tuple[int, int] | None = None
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        size = struct.unpack(">II", head[16:24])
    elif head.startswith(b"\xff\xd8\xff"):
        size = _jpeg_size(head)
    elif head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        size = _webp_size(head)
    elif head.startswith(b"BM") and struct.unpack("<I", head[14:18])[0] >= _BITMAP_HEADER_BYTES:
        width, height = struct.unpack("<ii", head[18:26])
        size = abs(width), abs(height)
    elif head.startswith(_TIFFS):
        tags = _tiff_tags(head)
        size = tags[_WIDTH], tags[_HEIGHT]
    elif _is_avif(head):
        size = _avif_size(head)
    return size


def _is_avif(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and b"avif" in head[8 : min(64, int.from_bytes(head[:4], "big"))]


def _avif_size(head: bytes) -> tuple[int, int] | None:
    """Return the size in the box ``ispe`` (ISO/IEC 23008-12), of the largest item if there are several."""
    sizes, at = [], head.find(b"ispe")
    while at >= 0:
        sizes.append(struct.unpack(">II", head[at + 8 : at + 16]))
        at = head.find(b"ispe", at + 4)
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def _avif_turn(data: bytes) -> tuple[int, int | None]:
    """Return the quarter turns to the left and the axis of the mirror image after them, ``None`` for none.

    They stand in the boxes ``irot`` and ``imir`` (ISO/IEC 23008-12, section 6.5), in place of EXIF's orientation. The
    axis is 0 for top to bottom, 1 for left to right.
    """
    found = data.find(b"ipco")
    if found < 4:
        return 0, None
    at, end = found + 4, found - 4 + int.from_bytes(data[found - 4 : found], "big")
    turns, axis = 0, None
    while at + 8 < min(end, len(data)):
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if name == b"irot":
            turns = data[at + 8] & 3
        elif name == b"imir":
            axis = data[at + 8] & 1
        at += max(size, 8)
    return turns, axis


def _tiff_tags(data: bytes) -> dict[int, int]:
    """Return the short and long values of the first directory of TIFF data."""
    order = "<" if data.startswith(b"II") else ">"
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, at)
    tags = {}
    for entry in range(at + 2, at + 2 + 12 * min(count, 256), 12):
        tag, kind, values = struct.unpack_from(f"{order}HHI", data, entry)
        if values == 1 and kind in (3, 4):
            (tags[tag],) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", data, entry + 8)
    return tags


def _orientation(data: bytes) -> int:
    """Return the orientation in the EXIF data of a PNG or WebP, 1..8."""
    for name in (b"eXIf", b"EXIF"):
        at = data.find(name)
        part = data[at + 4 : at + 4 + 4096] if at >= 0 else b""
        begins = min((start for mark in _TIFFS if 0 <= (start := part.find(mark)) <= 16), default=-1)
        if begins >= 0:
            try:
                return _tiff_tags(part[begins:]).get(_ORIENTATION, 1)
            except struct.error:
                return 1
    return 1


def _upright(picture: Bgr, orientation: int) -> Bgr:
    """Return a picture as its orientation in EXIF says; 5 and 7 are 8 and 6 of its mirror image."""
    if orientation in (2, 5, 7):
        picture = picture[:, ::-1]
    quarters = {3: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    return np.ascontiguousarray(np.rot90(picture[::-1] if orientation == 4 else picture, quarters))


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
    if bytes(data[4:8]) == b"ftyp" and bytes(data[8:12]) in _HEIF_BRANDS and not _is_avif(data[:64].tobytes()):
        return _read_heif(path, most_pixels)
    decoded = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if decoded is not None and decoded.dtype.kind == "f":
        decoded = np.rint(np.clip(np.nan_to_num(decoded), 0, 1) * 255).astype(np.uint8)
        decoded = cv2.cvtColor(decoded, cv2.COLOR_GRAY2BGR) if decoded.ndim == 2 else decoded
    elif decoded is not None and (decoded.ndim == 2 or decoded.shape[2] != 4):
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR_BGR)  # rotates, and converts to 8-bit BGR
    if decoded is None:
        fault = "is damaged: the photograph cannot be decoded"
        if photo_size(data[:_HEAD_BYTES].tobytes()) is None:
            fault = "is a kind of picture that is not read: save it as JPEG or PNG"
        raise UnsupportedTypeError(f"{path.name} {fault}")
    picture = np.asarray(decoded if decoded.dtype == np.uint8 else decoded >> 8, np.uint8)
    if _is_avif(data[:64].tobytes()):
        turns, axis = _avif_turn(data[:_HEAD_BYTES].tobytes())
        turned = np.rot90(over_grey(picture), turns)
        return np.ascontiguousarray(turned if axis is None else np.flip(turned, axis))
    return _upright(over_grey(picture), _orientation(data.tobytes()) if picture.shape[2] == 4 else 1)


def _read_heif(path: Path, most_pixels: int) -> Bgr:
    try:
        import pi_heif  # type: ignore[import-not-found] # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise UnsupportedTypeError(
            f"{path.name} is HEIC: `{install_line('pi_heif')}` to read it, or save it as JPEG"
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
