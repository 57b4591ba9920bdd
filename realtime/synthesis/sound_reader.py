"""Reads the body of a speech endpoint's answer, whatever sound it is."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from lipstream.realtime.synthesis.container_decoder import decode_container
from lipstream.realtime.synthesis.pcm_decoder import PcmDecoder
from lipstream.realtime.synthesis.sound_kind import container_of, needs_more, raw_sound
from lipstream.realtime.synthesis.synthesizer import SpokenPcm, SynthesisError
from lipstream.realtime.synthesis.wave_stream import WaveStream


async def read_sound(pieces: AsyncGenerator[bytes], content_type: str, *, default_hz: int) -> AsyncGenerator[SpokenPcm]:
    """Yield the sound of a body that arrives in pieces.

    Containers are recognised by their first bytes. Other bytes are raw samples, of which the content type may name the
    coding, the rate and the number of channels.

    Args:
        default_hz: Rate of raw samples whose type names none, Hz.

    Raises:
        SynthesisError: If the body is a text, or cannot be decoded.
    """
    async with aclosing(pieces):
        head = b""
        async for piece in pieces:
            head += piece
            if not needs_more(head):
                break
        container = container_of(head)
        if container == "text":
            raise SynthesisError("the speech endpoint answered with a text, not with sound")
        body = _chain(head, pieces)
        if container in ("", "wav"):
            sound = _read_samples(body, WaveStream() if container else _raw_decoder(content_type, default_hz))
        else:
            sound = decode_container(body, container)
        async with aclosing(sound):
            async for part in sound:
                yield part


def _raw_decoder(content_type: str, default_hz: int) -> PcmDecoder:
    raw = raw_sound(content_type, default_hz)
    return PcmDecoder(raw.codec, raw.rate_hz, raw.channels)


async def _read_samples(pieces: AsyncGenerator[bytes], decoder: WaveStream | PcmDecoder) -> AsyncGenerator[SpokenPcm]:
    async for piece in pieces:
        if pcm := decoder.push(piece):
            yield SpokenPcm(decoder.rate_hz, pcm)
    if pcm := decoder.flush():
        yield SpokenPcm(decoder.rate_hz, pcm)


async def _chain(head: bytes, pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    yield head
    async for piece in pieces:
        yield piece
