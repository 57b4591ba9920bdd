"""The interface to the place where pictures are painted and encoded, and its implementation with threads."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lipstream.realtime.encoding.encoder_choice import picture_encoder
from lipstream.realtime.encoding.encoders import PictureEncoder
from lipstream.realtime.encoding.pacing import picture_frame

Paint = Callable[[], npt.NDArray[np.uint8]]
"""Paints a picture: ``uint8[H * 3 // 2, W]``, I420, BT.601 limited. Callable in any thread."""


@dataclass(frozen=True, slots=True)
class EncodeRequest:
    """How one picture is to be encoded.

    Attributes:
        codec: MIME type, such as ``video/vp8``.
        bitrate: New target, bit/s; ``None`` keeps the last one or, at first, chooses one by the picture's size.
        every: Encode only frames with an index divisible by this, from 1.
    """

    codec: str
    bitrate: int | None
    key: bool
    every: int = 1


@dataclass(frozen=True, slots=True)
class Encoded:
    """One encoded picture.

    Attributes:
        payloads: Payloads of the RTP packets, in order; empty if the frame was left out.
        bitrate: Target of the encoder, bit/s.
        pixels: Width times height; 0 if the frame was left out.
    """

    payloads: Sequence[bytes]
    key: bool
    bitrate: int
    pixels: int


class PictureBackend(Protocol):
    """Paints and encodes the pictures of one broadcast, one after the other. Each backend opens encoders of its own."""

    async def encode(self, index: int, paint: Paint, requests: Sequence[EncodeRequest]) -> list[Encoded]:
        """Paint picture ``index`` and encode it once per request; drop the encoders of codecs without a request."""

    def close(self) -> None:
        """Drop the encoders. The result of an ``encode`` that still runs is not used."""


class Encoders:
    """The encoders of one broadcast, by codec."""

    def __init__(self) -> None:
        self._encoders: dict[str, PictureEncoder] = {}

    def encode(self, index: int, picture: npt.NDArray[np.uint8], requests: Sequence[EncodeRequest]) -> list[Encoded]:
        """Encode picture ``index`` once per request; drop the encoders of codecs without a request.

        Raises:
            ValueError: If there is no encoder for a codec.
        """
        codecs = [request.codec for request in requests]
        self._encoders = {codec: self._encoders.get(codec) or picture_encoder(codec) for codec in codecs}
        return [_encode(self._encoders[request.codec], index, picture, request) for request in requests]


def _encode(encoder: PictureEncoder, index: int, picture: npt.NDArray[np.uint8], request: EncodeRequest) -> Encoded:
    if request.bitrate is not None:
        encoder.target_bitrate = request.bitrate
    encoder.every = request.every
    if index % request.every:
        return Encoded((), key=False, bitrate=encoder.target_bitrate, pixels=0)
    payloads, _ = encoder.encode(picture_frame(index, picture), request.key)
    rows, width = picture.shape
    return Encoded(payloads, encoder.sent_key_frame, encoder.target_bitrate, rows * 2 // 3 * width)


class ThreadBackend:
    """Paints and encodes in the event loop's default executor."""

    def __init__(self) -> None:
        self._encoders = Encoders()

    async def encode(self, index: int, paint: Paint, requests: Sequence[EncodeRequest]) -> list[Encoded]:
        """Paint picture ``index`` and encode it once per request."""

        def make() -> list[Encoded]:
            return self._encoders.encode(index, paint(), requests)

        return await asyncio.get_running_loop().run_in_executor(None, make)

    def close(self) -> None:
        """Drop the encoders. A thread that still encodes keeps its encoder until it returns."""
        self._encoders = Encoders()
