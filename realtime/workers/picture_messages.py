"""Messages between the server and a picture worker. The bytes of encoded pictures follow their message."""

import itertools
from collections.abc import Sequence
from dataclasses import astuple
from functools import lru_cache
from typing import Any, NamedTuple

from lipstream.realtime.encoding.picture_backend import Encoded, EncodeRequest
from lipstream.realtime.lipsync.fields import PIXEL_BYTES
from lipstream.realtime.picture.compositor import Origin, Painting
from lipstream.realtime.picture.mark_style import MarkStyle
from lipstream.realtime.workers.messages import by_name, pack

# To the worker.


class UseMemory(NamedTuple):
    """Open the shared memory of this name; sent once.

    Attributes:
        region: The decoded region, px: top, bottom, left, right.
        pixel_bytes: Bytes of one pixel of a mouth: 3 for BGR, 8 or 20 for fields.
    """

    name: str
    region: list[int]
    pixel_bytes: int = PIXEL_BYTES


class MakePicture(NamedTuple):
    """Paint a picture and encode it.

    Attributes:
        number: Number of the picture, from 0.
        origin: Id of the avatar, fingerprint, time of loading, and watermark or ``None``.
        clip_frame: Frame of the avatar's clip, from 0.
        slot: Slot of the mouth in the shared memory; ``None`` for a mouth at rest.
        spoken: Weight of the spoken mouth over the resting one, 0..1.
        requests: For each encoding: codec, bitrate (bit/s), whether to make a key frame, interval in pictures.
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
        pictures: For each encoding: whether it is a key frame, bitrate (bit/s), pixels, sizes of its payloads (bytes).
        cpu_s: Processor time since the last such message, s.
    """

    stream: int
    pictures: list[tuple[bool, int, int, list[int]]]
    cpu_s: float


class PictureNotMade(NamedTuple):
    """A picture could not be painted or encoded; ``why`` gives the reason."""

    stream: int
    why: str


TO_WORKER = by_name(UseMemory, MakePicture, CloseStream)
FROM_WORKER = by_name(PicturesReady, PictureEncoded, PictureNotMade)


def picture_message(
    stream: int, index: int, painting: Painting, slot: int | None, requests: Sequence[EncodeRequest]
) -> MakePicture:
    """Return the message that requests a picture. The painting's compositor must have an origin."""
    origin = painting.compositor.origin
    assert origin is not None
    encodings = [(request.codec, request.bitrate, request.key, request.every) for request in requests]
    return MakePicture(stream, index, _as_list(origin), painting.clip_frame, slot, painting.spoken, encodings)


@lru_cache(maxsize=32)
def _as_list(origin: Origin) -> list[Any]:
    mark = astuple(origin.mark) if origin.mark else None
    return [origin.avatar, origin.fingerprint, origin.loaded, mark]


def origin_of(values: Sequence[Any]) -> Origin:
    """Return the origin from the list in a message."""
    avatar, fingerprint, loaded, mark = values
    return Origin(avatar, fingerprint, loaded, MarkStyle(*mark) if mark else None)


def encoded_message(stream: int, pictures: Sequence[Encoded], cpu_s: float) -> bytes:
    """Return the answer for an encoded picture as bytes."""
    told = [(picture.key, picture.bitrate, picture.pixels, [len(p) for p in picture.payloads]) for picture in pictures]
    payload = b"".join(payload for picture in pictures for payload in picture.payloads)
    return pack(PictureEncoded(stream, told, cpu_s), payload)


def encoded_pictures(message: PictureEncoded, payload: bytes) -> list[Encoded]:
    """Return the pictures that :func:`encoded_message` packed."""
    pictures, at = [], 0
    for key, bitrate, pixels, sizes in message.pictures:
        edges = list(itertools.accumulate(sizes, initial=at))
        pictures.append(Encoded([payload[a:b] for a, b in itertools.pairwise(edges)], key, bitrate, pixels))
        at = edges[-1]
    return pictures
