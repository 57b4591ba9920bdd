"""Photographs and clips as people have them: every format, turned and transparent, with covers and changes of scene."""

import base64
import struct
import zlib
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition
from hypothesis import given
from hypothesis import strategies as st

from lipstream.avatar_cache.face_detector import DetectedFace
from lipstream.avatar_cache.face_track import BY_HAND, longest_run, thumbnail
from lipstream.avatar_cache.loop_finder import find_shots
from lipstream.avatar_cache.media_reader import Limits, open_source
from lipstream.avatar_cache.photo import photo_size
from lipstream.realtime.errors import AvatarError, TooLargeError, UnsupportedTypeError
from lipstream.realtime.server.avatar_builds import FORMATS
from tests.avatar_cache.clips import corners, write_clip
from tests.avatar_cache.test_media_reader import assert_corners, read

UPLOAD = Limits(pixels=96 * 64, formats=FORMATS)


def photograph(path: Path, picture: np.ndarray) -> Path:
    done, data = cv2.imencode(path.suffix, picture)
    assert done
    path.write_bytes(data.tobytes())
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".bmp", ".tiff", ".gif"])
def test_every_format_is_a_photograph_at_every_door(tmp_path: Path, suffix: str) -> None:
    path = photograph(tmp_path / f"a{suffix}", corners(96, 64))
    for limits in (Limits(), UPLOAD):
        (picture,) = read(path, limits=limits)
        assert picture.shape == (64, 96, 3)
        assert_corners(picture, tolerance=30)
    if suffix != ".gif":  # FFmpeg reads it, as a clip may be one
        assert photo_size(path.read_bytes()) == (96, 64)


def exif(orientation: int, order: str) -> bytes:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(f"{order}IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_transparent_picture_is_turned_as_its_exif_says(tmp_path: Path, orientation: int, order: str) -> None:
    stored = {
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: np.rot90(p, 1),
        7: lambda p: np.rot90(p[:, ::-1], -1),
        8: lambda p: np.rot90(p, -1),
    }
    opaque = np.dstack((corners(96, 64), np.full((64, 96), 255, np.uint8)))
    path = photograph(tmp_path / "a.png", np.ascontiguousarray(stored.get(orientation, lambda p: p)(opaque)))
    data, part = path.read_bytes(), b"eXIf" + exif(orientation, order)
    at = data.index(b"IDAT") - 4
    path.write_bytes(
        data[:at] + struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) + data[at:]
    )
    (picture,) = read(path)
    assert picture.shape == (64, 96, 3)
    assert_corners(picture)


TURNED_AVIF = (
    "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUIAAAD1bWV0YQAAAAAAAAAhaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAAAAAAAO"
    "cGl0bQAAAAAAAQAAAB5pbG9jAAAAAEQAAAEAAQAAAAEAAAEdAAAAOgAAAChpaW5mAAAAAAABAAAAGmluZmUCAAAAAAEAAGF2MDFDb2xvcgAA"
    "AAB0aXBycAAAAFRpcGNvAAAAFGlzcGUAAAAAAAAAMAAAAEAAAAAQcGl4aQAAAAADCAgIAAAADGF2MUOBAAwAAAAAE2NvbHJuY2x4AAEADQAG"
    "gAAAAAlpcm90AwAAABhpcG1hAAAAAAAAAAEAAQUBAoMEhQAAAEJtZGF0EgAKCRgVb/2yAhoNCDIrReHh4YhgABlAAAAAgNKYHU+XPmvbXaZG"
    "WEnsrFjUk/QwSLsz5C5asbrNow=="
)
MIRRORED_AVIF = (
    "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUIAAAD/bWV0YQAAAAAAAAAhaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAAAAAAAO"
    "cGl0bQAAAAAAAQAAAB5pbG9jAAAAAEQAAAEAAQAAAAEAAAEnAAAAOgAAAChpaW5mAAAAAAABAAAAGmluZmUCAAAAAAEAAGF2MDFDb2xvcgAA"
    "AAB+aXBycAAAAF1pcGNvAAAAFGlzcGUAAAAAAAAAMAAAAEAAAAAQcGl4aQAAAAADCAgIAAAADGF2MUOBAAwAAAAAE2NvbHJuY2x4AAEADQAG"
    "gAAAAAlpcm90AwAAAAlpbWlyAAAAABlpcG1hAAAAAAAAAAEAAQYBAoMEhYYAAABCbWRhdBIACgkYFW/9sgIaDQgyK0Xh4eGIYAAZQAAAAIDS"
    "mB1Plz5r212mRjqpA59ozJP0MEi7M+QuhDTq/qM="
)
"""Of the four corners' colours, stored as EXIF's orientations 6 and 7 mean, with the boxes of AVIF that say so."""


@pytest.mark.parametrize("file", [TURNED_AVIF, MIRRORED_AVIF])
def test_an_avif_is_turned_as_its_boxes_say(tmp_path: Path, file: str) -> None:
    path = tmp_path / "phone.avif"
    path.write_bytes(base64.b64decode(file))
    (picture,) = read(path)
    assert picture.shape == (48, 64, 3)
    assert_corners(picture, tolerance=20)


def test_photographs_of_floats_and_of_16_bits_are_read(tmp_path: Path) -> None:
    picture = corners(96, 64)
    deep = picture.astype(np.uint16) * 257
    for depth, name, full in ((picture.astype(np.float32) / 255, "float.tiff", 1), (deep, "deep.png", 65_535)):
        for pixels in (depth, np.dstack((depth, np.full_like(depth[..., :1], full)))):
            cv2.imwrite(str(tmp_path / name), pixels)
            assert_corners(read(tmp_path / name)[0])


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.tga", bytes([0, 0, 2, *bytes(9), 8, 0, 8, 0, 24, 0]) + bytes(192), "is a kind of picture that is not read"),
        ("a.svg", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "is not a video or photograph"),
        ("a.mp4", b"\0\0\0\x14ftypisom\0\0\0\0mp42\0\0\1\0mdat" + bytes(300), "the index of its pictures is missing"),
    ],
)
def test_what_is_not_read_is_called_so(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnsupportedTypeError, match=told):
        read(tmp_path / name)


def test_transparent_parts_turn_grey(tmp_path: Path) -> None:
    (picture,) = read(photograph(tmp_path / "a.png", np.zeros((64, 96, 4), np.uint8)))
    assert (picture == 190).all()


def test_a_large_photograph_is_scaled_where_clips_are_limited(tmp_path: Path) -> None:
    path = photograph(tmp_path / "a.jpg", np.full((256, 384, 3), 90, np.uint8))
    (picture,) = read(path, limits=UPLOAD, side=96)
    assert picture.shape == (64, 96, 3)
    with pytest.raises(TooLargeError, match="at most 98,304 pixels"):
        open_source(photograph(tmp_path / "b.jpg", np.zeros((260, 384, 3), np.uint8)), UPLOAD, side=96)


@given(st.binary(max_size=80), st.sampled_from([b"BM", b"II*\0", b"MM\0*", b"\0\0\0\x20ftypavif"]))
def test_any_head_has_a_size_or_none(tail: bytes, magic: bytes) -> None:
    size = photo_size(magic + tail)
    assert size is None or all(side >= 0 for side in size)


def test_a_cover_is_no_clip(tmp_path: Path) -> None:
    path = tmp_path / "covered.mp4"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=25)
        film = container.add_stream("libx264", rate=25)
        assert isinstance(cover, av.VideoStream)
        assert isinstance(film, av.VideoStream)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        film.width, film.height, film.pix_fmt = 96, 64, "yuv420p"
        container.mux(cover.encode(av.VideoFrame(32, 32, "yuvj420p")))
        for index in range(5):
            frame = av.VideoFrame.from_ndarray(corners(96, 64), format="bgr24")
            frame.pts = index
            container.mux(film.encode(frame))
        container.mux(film.encode(None))
    with av.open(str(path)) as container:
        assert any(stream.disposition & Disposition.attached_pic for stream in container.streams.video)
    pictures = read(path)
    assert pictures[0].shape == (64, 96, 3)
    assert len(pictures) == 5


def scene(seed: int, count: int) -> list[np.ndarray]:
    """Return pictures of one place in which something moves."""
    place = cv2.resize(np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8), (96, 64))
    pictures = []
    for index in range(count):
        picture = place.copy()
        picture[20:40, 2 * index % 80 : 2 * index % 80 + 12] = 255
        pictures.append(picture)
    return pictures


@given(st.lists(st.integers(12, 40), min_size=1, max_size=4))
def test_changes_of_scene_are_found(lengths: list[int]) -> None:
    looks = np.stack([thumbnail(one) for seed, length in enumerate(lengths) for one in scene(seed, length)])
    edges = np.cumsum([0, *lengths]).tolist()
    assert find_shots(looks) == list(pairwise(edges))


def test_light_and_movement_are_no_change_of_scene() -> None:
    pictures = [np.clip(one.astype(int) + 3 * at, 0, 255).astype(np.uint8) for at, one in enumerate(scene(1, 40))]
    assert find_shots(np.stack([thumbnail(one) for one in pictures])) == [(0, 40)]
    assert find_shots(thumbnail(pictures[0])[None]) == [(0, 1)]
    hidden = [*scene(1, 60)]
    hidden[20:25] = [np.full((64, 96, 3), 120, np.uint8)] * 5
    assert find_shots(np.stack([thumbnail(one) for one in hidden])) == [(0, 60)]


def test_a_refusal_says_what_may_cover_the_face() -> None:
    none: list[DetectedFace | None] = [None] * 3
    with pytest.raises(AvatarError, match="a mask, a hand, a microphone or sunglasses") as refused:
        longest_run(none)
    assert refused.value.message.endswith(BY_HAND)


def test_clips_with_two_scenes_are_read_whole(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "two.mp4", [*scene(0, 12), *scene(1, 12)])
    assert find_shots(np.stack([thumbnail(one) for one in read(path)])) == [(0, 12), (12, 24)]
