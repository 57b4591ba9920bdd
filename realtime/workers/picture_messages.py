"""What a picture worker and the server say to each other.

A message is a line of JSON; behind an answer follow the bytes of its payloads. To the worker:
``{"memory": [name, region]}`` once, ``{"picture": [stream, index, [avatar, fingerprint, loaded, mark], clip frame,
slot of the mouth or null, spoken, [[codec, bitrate, key, every], ...]]}``, ``{"close": stream}``. From it:
``{"ready": true}``, ``{"encoded": stream, "pictures": [[key, bitrate, pixels, [bytes, ...]], ...], "seconds": s}``,
``{"failed": stream, "why": text}`` (s: processor time since the last answer).
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import astuple
from functools import lru_cache
from typing import Any

from lipstream.realtime.encoding.picture_backend import Encoded, EncodeRequest
from lipstream.realtime.picture.compositor import Origin, Painting
from lipstream.realtime.picture.watermark import MarkStyle


def picture_message(
    stream: int, index: int, painting: Painting, slot: int | None, requests: Sequence[EncodeRequest]
) -> dict[str, Any]:
    """Return the message that asks for a picture.

    Args:
        stream: Whose encoders to use.
        index: Of the picture.
        painting: What it shows; its compositor has an origin.
        slot: Where in the shared memory its mouth lies.
        requests: How it is encoded.
    """
    origin = painting.compositor.origin
    assert origin is not None
    return {
        "picture": [
            *(stream, index, _where(origin), painting.clip_frame, slot, painting.spoken),
            [(request.codec, request.bitrate, request.key, request.every) for request in requests],
        ]
    }


@lru_cache(maxsize=32)
def _where(origin: Origin) -> list[Any]:
    mark = astuple(origin.mark) if origin.mark else None
    return [origin.avatar, origin.fingerprint, origin.loaded, mark]


def origin_of(where: Sequence[Any]) -> Origin:
    """Return the origin that a message names."""
    avatar, fingerprint, loaded, mark = where
    return Origin(avatar, fingerprint, loaded, MarkStyle(*mark) if mark else None)


def pack(message: dict[str, Any], payloads: Sequence[bytes] = ()) -> bytes:
    """Return a message as it goes through the pipe."""
    return b"".join((json.dumps(message).encode(), b"\n", *payloads))


def unpack(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Return a message and the bytes behind it."""
    head, _, body = data.partition(b"\n")
    message: dict[str, Any] = json.loads(head)
    return message, body


def encoded_message(stream: int, pictures: Sequence[Encoded], seconds: float) -> bytes:
    """Return the answer to a picture that was encoded."""
    told = [[picture.key, picture.bitrate, picture.pixels, [len(p) for p in picture.payloads]] for picture in pictures]
    payloads = [payload for picture in pictures for payload in picture.payloads]
    return pack({"encoded": stream, "pictures": told, "seconds": seconds}, payloads)


def encoded_pictures(message: dict[str, Any], body: bytes) -> list[Encoded]:
    """Return what :func:`encoded_message` told."""
    pictures, at = [], 0
    for key, bitrate, pixels, sizes in message["pictures"]:
        edges = list(itertools.accumulate(sizes, initial=at))
        pictures.append(Encoded([body[a:b] for a, b in itertools.pairwise(edges)], key, bitrate, pixels))
        at = edges[-1]
    return pictures
