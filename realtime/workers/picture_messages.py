"""What the server and a picture worker say to each other. The bytes of encoded pictures follow their message."""

import itertools
from collections.abc import Sequence
from dataclasses import astuple
from functools import lru_cache
from typing import Any, NamedTuple

from lipstream.realtime.encoding.picture_backend import Encoded, EncodeRequest
from lipstream.realtime.picture.compositor import Origin, Painting
from lipstream.realtime.picture.watermark import MarkStyle
from lipstream.realtime.workers.messages import by_name, pack

# To the worker.


class UseMemory(NamedTuple):
    """Open the shared memory of this name; sent once.

    Attributes:
        name: Of the memory.
        region: The decoded region: top, bottom, left, right.
    """

    name: str
    region: list[int]


class MakePicture(NamedTuple):
    """Paint a picture and encode it.

    Attributes:
        stream: Whose encoders to use.
        number: Of the picture, from 0.
        origin: Avatar, its fingerprint, when it was loaded, and its mark, if it has one.
        clip_frame: Frame of the avatar's clip.
        slot: Where in the shared memory its mouth lies; ``None`` for a mouth at rest.
        spoken: How much of the mouth is a spoken one, 0..1.
        requests: For each encoding: codec, bitrate, key frame or not, every how many pictures.
    """

    stream: int
    number: int
    origin: list[Any]
    clip_frame: int
    slot: int | None
    spoken: float
    requests: list[tuple[str, int | None, bool, int]]


class CloseStream(NamedTuple):
    """Close a stream's encoders."""

    stream: int


# From the worker.


class PicturesReady(NamedTuple):
    """The worker takes pictures."""


class PictureEncoded(NamedTuple):
    """A picture was encoded.

    Attributes:
        stream: Whose.
        pictures: For each encoding: key frame or not, bitrate, pixels, sizes of its payloads in bytes.
        cpu_s: Processor time since the last of these messages.
    """

    stream: int
    pictures: list[tuple[bool, int, int, list[int]]]
    cpu_s: float


class PictureNotMade(NamedTuple):
    """A picture could not be made, and why."""

    stream: int
    why: str


TO_WORKER = by_name(UseMemory, MakePicture, CloseStream)
FROM_WORKER = by_name(PicturesReady, PictureEncoded, PictureNotMade)


def picture_message(
    stream: int, index: int, painting: Painting, slot: int | None, requests: Sequence[EncodeRequest]
) -> MakePicture:
    """Return the message that asks for a picture; its compositor has an origin."""
    origin = painting.compositor.origin
    assert origin is not None
    encodings = [(request.codec, request.bitrate, request.key, request.every) for request in requests]
    return MakePicture(stream, index, _as_list(origin), painting.clip_frame, slot, painting.spoken, encodings)


@lru_cache(maxsize=32)
def _as_list(origin: Origin) -> list[Any]:
    mark = astuple(origin.mark) if origin.mark else None
    return [origin.avatar, origin.fingerprint, origin.loaded, mark]


def origin_of(values: Sequence[Any]) -> Origin:
    """Return the origin that a message names."""
    avatar, fingerprint, loaded, mark = values
    return Origin(avatar, fingerprint, loaded, MarkStyle(*mark) if mark else None)


def encoded_message(stream: int, pictures: Sequence[Encoded], cpu_s: float) -> bytes:
    """Return the answer to a picture that was encoded."""
    told = [(picture.key, picture.bitrate, picture.pixels, [len(p) for p in picture.payloads]) for picture in pictures]
    payload = b"".join(payload for picture in pictures for payload in picture.payloads)
    return pack(PictureEncoded(stream, told, cpu_s), payload)


def encoded_pictures(message: PictureEncoded, payload: bytes) -> list[Encoded]:
    """Return what :func:`encoded_message` told."""
    pictures, at = [], 0
    for key, bitrate, pixels, sizes in message.pictures:
        edges = list(itertools.accumulate(sizes, initial=at))
        pictures.append(Encoded([payload[a:b] for a, b in itertools.pairwise(edges)], key, bitrate, pixels))
        at = edges[-1]
    return pictures
