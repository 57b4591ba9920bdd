"""Where pictures are painted and encoded: in threads of the server, or wherever else something does it as these do."""

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
"""Paints a picture, in any thread: ``uint8[H * 3 // 2, W]``, I420, BT.601 limited."""


@dataclass(frozen=True, slots=True)
class EncodeRequest:
    """How a picture is to be encoded.

    Attributes:
        codec: MIME type.
        bitrate: To aim at from now on, bit/s; ``None`` for the one before, or what fits the size of the picture.
        key: Whether it must be a key frame.
        every: How many frames there are to each that is encoded, those whose index it divides.
    """

    codec: str
    bitrate: int | None
    key: bool
    every: int = 1


@dataclass(frozen=True, slots=True)
class Encoded:
    """A picture as it was encoded.

    Attributes:
        payloads: Of its RTP packets; none if it was left out.
        key: Whether it can be decoded alone.
        bitrate: That the encoder aims at, bit/s.
        pixels: Its size.
    """

    payloads: Sequence[bytes]
    key: bool
    bitrate: int
    pixels: int


class PictureBackend(Protocol):
    """Where the pictures of one broadcast are made, one after the other; its encoders begin with it."""

    async def encode(self, index: int, paint: Paint, requests: Sequence[EncodeRequest]) -> list[Encoded]:
        """Paint a picture and encode it as ordered; an encoder that is ordered no more is let go of."""

    def close(self) -> None:
        """Let go of the encoders; what is under way is of no use any more."""


class Encoders:
    """The encoders of one broadcast, by codec."""

    def __init__(self) -> None:
        self._encoders: dict[str, PictureEncoder] = {}

    def encode(self, index: int, picture: npt.NDArray[np.uint8], requests: Sequence[EncodeRequest]) -> list[Encoded]:
        """Encode picture ``index`` as ordered; an encoder that is ordered no more is let go of.

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
    """Makes pictures in the event loop's executor."""

    def __init__(self) -> None:
        self._encoders = Encoders()

    async def encode(self, index: int, paint: Paint, requests: Sequence[EncodeRequest]) -> list[Encoded]:
        """Paint a picture and encode it as ordered."""

        def make() -> list[Encoded]:
            return self._encoders.encode(index, paint(), requests)

        return await asyncio.get_running_loop().run_in_executor(None, make)

    def close(self) -> None:
        """Let go of the encoders: a thread may still be at work with one, and drops it when it is done."""
        self._encoders = Encoders()
