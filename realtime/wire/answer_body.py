"""Reads the bodies of other servers' answers with a bound, while they arrive.

A request must ask for no compression (:data:`UNCOMPRESSED`): a compressed piece may become a thousand times as large.
"""

import asyncio
from collections.abc import AsyncGenerator

import httpx

UNCOMPRESSED = {"Accept-Encoding": "identity"}
"""Header for a request whose answer is read here."""
_LINES_AT_ONCE = 64
"""Lines between two turns of the event loop, which also sends media."""


class AnswerBodyError(ValueError):
    """A body is compressed, or too long; the message is the rest of a sentence that begins with "the server"."""


async def body_pieces(reply: httpx.Response, most: int) -> AsyncGenerator[bytes]:
    """Yield the body of a streamed answer as it arrives.

    Args:
        most: Most bytes of the body.

    Raises:
        AnswerBodyError: If the body is compressed or longer.
        httpx.HTTPError: If the connection breaks.
    """
    if reply.headers.get("content-encoding", "identity").lower() != "identity":
        raise AnswerBodyError("compresses its answer")
    received = 0
    async for piece in reply.aiter_raw():
        received += len(piece)
        if received > most:
            raise AnswerBodyError("sends an answer that is too long")
        yield piece


async def read_body(reply: httpx.Response, most: int) -> bytes:
    """Return the body of a streamed answer.

    Raises:
        AnswerBodyError: If it is compressed, or longer than ``most`` bytes.
        httpx.HTTPError: If the connection breaks.
    """
    return b"".join([piece async for piece in body_pieces(reply, most)])


async def body_lines(reply: httpx.Response, most: int, most_line: int) -> AsyncGenerator[str]:
    """Yield the lines of a streamed answer as they arrive, UTF-8, without their ends.

    Args:
        most: Most bytes of the body.
        most_line: Most bytes of a line.

    Raises:
        AnswerBodyError: If the body is compressed, or it or a line is longer.
        httpx.HTTPError: If the connection breaks.
    """
    rest, count = bytearray(), 0
    async for piece in body_pieces(reply, most):
        *lines, last = piece.split(b"\n")
        for line in lines:
            rest += line
            if len(rest) > most_line:
                break
            yield rest.rstrip(b"\r").decode(errors="replace")
            rest.clear()
            count += 1
            if count % _LINES_AT_ONCE == 0:
                await asyncio.sleep(0)
        else:
            rest += last
        if len(rest) > most_line:
            raise AnswerBodyError("sends a line that is too long")
    if rest:
        yield rest.rstrip(b"\r").decode(errors="replace")
