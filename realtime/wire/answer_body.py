"""Reads the bodies of other servers' answers with a bound, while they arrive.

A request must ask for no compression (:data:`UNCOMPRESSED`): a compressed piece may become a thousand times as large.
"""

from collections.abc import AsyncGenerator

import httpx

UNCOMPRESSED = {"Accept-Encoding": "identity"}
"""Header for a request whose answer is read here."""
MOST_REDIRECTS = 3
"""Redirects that are followed, within the origin that was asked (:func:`refuse_elsewhere`)."""


class AnswerBodyError(ValueError):
    """A body is compressed, or too long; the message is the rest of a sentence that begins with "the server"."""


async def refuse_elsewhere(reply: httpx.Response) -> None:
    """Refuse a redirect to another origin: no setting and no request names it. A hook for each response of httpx.

    Raises:
        httpx.TooManyRedirects: If the answer redirects to another scheme, host or port.
    """
    if not reply.has_redirect_location:
        return
    try:
        there = reply.request.url.join(reply.headers["location"])
    except httpx.InvalidURL:
        there = httpx.URL()
    if origin_of(there) != origin_of(reply.request.url):
        raise httpx.TooManyRedirects("the answer redirects to another origin", request=reply.request)


def origin_of(url: httpx.URL) -> tuple[str, str, int | None]:
    """Return scheme, host and port; httpx leaves out a scheme's own port."""
    return url.scheme, url.host, url.port


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
