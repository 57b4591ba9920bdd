import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.avatar_cache.hdr import hlg_to_scene, pq_to_nits, to_standard
from lipstream.avatar_cache.media_reader import Limits, open_source
from lipstream.avatar_cache.photo import photo_size
from lipstream.realtime.errors import TooLargeError, UnsupportedTypeError
from tests.avatar_cache.clips import corners, set_display_matrix, write_clip

Colour = tuple[int, int, int]
RED, GREEN, BLUE, WHITE = (0, 0, 230), (0, 230, 0), (230, 0, 0), (230, 230, 230)
UPRIGHT = (RED, GREEN, BLUE, WHITE)


def read(path: Path, *, limits: Limits | None = None, side: int = 1280) -> list[np.ndarray]:
    return list(open_source(path, limits or Limits(), side=side).pictures())


def corner_colours(picture: np.ndarray) -> list[np.ndarray]:
    h, w = picture.shape[0] // 6, picture.shape[1] // 6
    return [picture[h, w], picture[h, -w], picture[-h, -w], picture[-h, w]]


def assert_corners(picture: np.ndarray, expected: tuple[Colour, ...] = UPRIGHT, tolerance: int = 6) -> None:
    for found, wanted in zip(corner_colours(picture), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=tolerance)


@pytest.mark.parametrize(
    ("name", "matrix", "expected", "shape"),
    [
        ("upright", (1, 0, 0, 1), UPRIGHT, (64, 96)),
        ("quarter", (0, 1, -1, 0), (WHITE, RED, GREEN, BLUE), (96, 64)),
        ("half", (-1, 0, 0, -1), (BLUE, WHITE, RED, GREEN), (64, 96)),
        ("three quarters", (0, -1, 1, 0), (GREEN, BLUE, WHITE, RED), (96, 64)),
        ("flipped", (-1, 0, 0, 1), (GREEN, RED, WHITE, BLUE), (64, 96)),
    ],
)
def test_clips_stand_upright(
    tmp_path: Path,
    name: str,
    matrix: tuple[int, int, int, int],
    expected: tuple[Colour, ...],
    shape: tuple[int, int],
) -> None:
    path = write_clip(tmp_path / f"{name}.mp4", [corners(96, 64)] * 3)
    set_display_matrix(path, matrix)
    pictures = read(path)
    assert len(pictures) == 3
    assert pictures[0].shape == (*shape, 3)
    assert_corners(pictures[0], expected)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"colour": (1, 1, 1, 1)}, "bt709.mp4"),
        ({"colour": (6, 6, 6, 1)}, "bt601.mp4"),
        ({"colour": (1, 1, 1, 2), "pix_fmt": "yuvj420p"}, "full.mp4"),
        ({"codec": "ffv1", "pix_fmt": "yuv444p", "colour": (1, 1, 1, 1)}, "yuv444.mkv"),
        ({"codec": "libvpx-vp9", "options": {"crf": "4", "b": "0", "cpu-used": "8"}}, "vp9.webm"),
    ],
)
def test_colours_are_the_same_whatever_the_matrix_and_range(
    tmp_path: Path, arguments: dict[str, Any], name: str
) -> None:
    path = write_clip(tmp_path / name, [corners(96, 64)] * 3, **arguments)
    assert_corners(read(path)[0], tolerance=9)


@pytest.mark.parametrize(("transfer", "grey"), [(18, 143), (16, 183)])
def test_hdr_becomes_standard(tmp_path: Path, transfer: int, grey: int) -> None:
    path = write_clip(
        tmp_path / "hdr.mp4",
        [corners(96, 64)] * 3,
        codec="libx265",
        pix_fmt="yuv420p10le",
        colour=(9, transfer, 9, 1),
        options={"crf": "5", "preset": "ultrafast", "x265-params": "log-level=none"},
    )
    picture = read(path)[0]
    np.testing.assert_allclose(picture[32, 48], grey, atol=4)
    for found, channel in zip(corner_colours(picture)[:3], (2, 1, 0), strict=True):
        assert found[channel] > 240
        assert sorted(found)[1] < 30


def test_hdr_curves_are_those_of_bt2100() -> None:
    np.testing.assert_allclose(hlg_to_scene(np.array([0, 0.5, 1], np.float32)), [0, 1 / 12, 1], atol=1e-4)
    np.testing.assert_allclose(pq_to_nits(np.array([0, 0.5, 0.58, 1], np.float32)), [0, 92.2, 201, 10_000], rtol=0.02)
    ramp = np.repeat(np.linspace(0, 65535, 256).astype(np.uint16)[None, :, None], 3, axis=2)
    for transfer in ("hlg", "pq"):
        grey = to_standard(ramp, transfer)[0].astype(int)
        assert np.abs(np.diff(grey, axis=1)).max() <= 1
        assert (np.diff(grey[:, 0]) >= 0).all()
        assert grey[0, 0] == 0
        assert grey[-1, 0] > 250


@pytest.mark.parametrize(
    ("rate", "frames", "expected"), [(60, 60, 25), (24, 48, 50), (25, 7, 7), (30, 30, 25), (50, 1, 1)]
)
def test_rates_become_25(tmp_path: Path, rate: int, frames: int, expected: int) -> None:
    pictures = read(write_clip(tmp_path / "clip.mp4", [corners(96, 64)] * frames, rate=rate))
    assert len(pictures) == expected


def test_a_variable_rate_keeps_its_times(tmp_path: Path) -> None:
    shades = [40, 80, 120, 160, 200]
    times = [0.0, 0.01, 0.2, 0.21, 0.6]
    clip = [np.full((64, 96, 3), shade, np.uint8) for shade in shades]
    means = [float(picture.mean()) for picture in read(write_clip(tmp_path / "vfr.mkv", clip, times=times))]
    assert len(means) in (16, 17)
    np.testing.assert_allclose(means[:16], [80] * 5 + [160] * 10 + [200], atol=4)


def test_odd_sizes_lose_a_row_and_transparency_turns_grey(tmp_path: Path) -> None:
    assert read(write_clip(tmp_path / "odd.mkv", [corners(97, 67)], codec="ffv1", pix_fmt="yuv444p"))[0].shape == (
        64,
        96,
        3,
    )
    clear = np.dstack([corners(96, 64), np.zeros((64, 96), np.uint8)])
    path = write_clip(tmp_path / "a.mov", [clear] * 2, codec="qtrle", pix_fmt="argb", frame_format="bgra")
    assert (read(path)[0] == 190).all()
    cv2.imwrite(str(tmp_path / "a.png"), clear)
    assert (read(tmp_path / "a.png")[0] == 190).all()


def test_large_pictures_are_scaled_down(tmp_path: Path) -> None:
    assert read(write_clip(tmp_path / "big.mp4", [corners(640, 360)]), side=160)[0].shape == (88, 160, 3)
    cv2.imwrite(str(tmp_path / "big.png"), corners(640, 360))
    assert_corners(read(tmp_path / "big.png", side=160)[0])


def exif_turned(jpeg: bytes, orientation: int) -> bytes:
    tiff = b"MM\x00*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    segment = b"Exif\x00\x00" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


@pytest.mark.parametrize(
    ("orientation", "expected"), [(1, UPRIGHT), (3, (BLUE, WHITE, RED, GREEN)), (6, (WHITE, RED, GREEN, BLUE))]
)
def test_photographs_are_turned_as_exif_says(tmp_path: Path, orientation: int, expected: tuple[Colour, ...]) -> None:
    jpeg = cv2.imencode(".jpg", corners(96, 64), [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
    (tmp_path / "p.jpg").write_bytes(exif_turned(jpeg, orientation))
    assert_corners(read(tmp_path / "p.jpg")[0], expected)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_photographs_of_every_kind_are_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"p.{suffix}"
    cv2.imwrite(str(path), corners(96, 64))
    source = open_source(path, Limits(), side=1280)
    assert source.is_photo
    assert_corners(next(source.pictures()))


def noise(count: int) -> list[np.ndarray]:
    return [np.random.default_rng(i).integers(0, 255, (64, 96, 3), dtype=np.uint8) for i in range(count)]


def test_a_truncated_clip_is_read_as_far_as_it_goes_and_says_so(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", noise(50))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = open_source(path, Limits(), side=1280)
    assert 15 < len(list(source.pictures())) < 40
    assert "cut short" in source.notes[0]


def test_a_clip_goes_on_behind_damage(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", noise(50))
    whole = path.read_bytes()
    at = whole.index(b"mdat") + 4 + len(whole) // 3
    path.write_bytes(whole[:at] + bytes(1500) + whole[at + 1500 :])
    source = open_source(path, Limits(), side=1280)
    assert 40 < len(list(source.pictures())) <= 50
    assert "damaged" in source.notes[0]


def test_a_last_picture_that_stays_is_no_end_cut_short(tmp_path: Path) -> None:
    source = open_source(write_clip(tmp_path / "slow.mp4", noise(3), rate=1), Limits(), side=1280)
    assert len(list(source.pictures())) >= 50
    assert not source.notes


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("zero.mp4", b"", "is empty"),
        ("text.mp4", b"It was a dark and stormy night. " * 100, "not a video or photograph"),
        ("header.mp4", b"\x00\x00\x00\x20ftypisom" + bytes(2000), "the index of its pictures is missing"),
        ("half.png", png_header(200, 200), "cannot be decoded"),
        ("playlist.mp4", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n", "not a video or photograph"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_sentence(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnsupportedTypeError, match=message) as caught:
        read(tmp_path / name)
    assert "\n" not in caught.value.message


def test_limits_are_named_before_anything_is_decoded(tmp_path: Path) -> None:
    (tmp_path / "huge.png").write_bytes(png_header(20_000, 20_000))
    with pytest.raises(TooLargeError, match="20000x20000; at most 64,000,000 pixels"):
        open_source(tmp_path / "huge.png", Limits(), side=1280)
    clip = write_clip(tmp_path / "long.mp4", [corners(96, 64)] * 60)
    with pytest.raises(TooLargeError, match=r"lasts 2\.4 s or more; at most 2 s"):
        open_source(clip, Limits(seconds=2), side=1280)
    with pytest.raises(TooLargeError, match="bytes; at most 100"):
        open_source(clip, Limits(bytes=100), side=1280)
    with pytest.raises(TooLargeError, match="96x64; at most 5,000 pixels"):
        open_source(clip, Limits(pixels=5000), side=1280)
    with pytest.raises(UnsupportedTypeError):
        open_source(clip, Limits(formats="matroska,webm"), side=1280)
    assert len(read(clip, limits=Limits(formats="mov,mp4,m4a,3gp,3g2,mj2"))) == 60


@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF0000WEBPVP8X", b"RIFF0000WEBPVP8L"]),
)
def test_any_bytes_have_a_size_or_none(data: bytes, head: bytes) -> None:
    size = photo_size(head + data)
    assert size is None or min(size) >= 0


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(["jpg", "png", "webp"]))
def test_sizes_are_read_from_headers(width: int, height: int, suffix: str) -> None:
    data = cv2.imencode(f".{suffix}", np.zeros((height, width, 3), np.uint8))[1].tobytes()
    assert photo_size(data) == (width, height)
