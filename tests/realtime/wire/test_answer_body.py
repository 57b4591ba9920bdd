"""Bodies of other servers' answers, read as they arrive and never further than their bound."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.wire.answer_body import MOST_REDIRECTS, AnswerBodyError, read_body, refuse_elsewhere


class Pieces(httpx.AsyncByteStream):
    """A body in pieces; counts how many were taken."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces, self.taken = pieces, 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            self.taken += 1
            yield piece


def reply(pieces: Iterable[bytes], **headers: str) -> httpx.Response:
    return httpx.Response(200, headers=headers, stream=Pieces(pieces))


def endless(piece: bytes) -> Iterable[bytes]:
    while True:
        yield piece


@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(0, 200))
def test_a_body_is_read_up_to_its_bound(pieces: list[bytes], most: int) -> None:
    whole = b"".join(pieces)
    if len(whole) > most:
        with pytest.raises(AnswerBodyError, match="too long"):
            asyncio.run(read_body(reply(pieces), most))
    else:
        assert asyncio.run(read_body(reply(pieces), most)) == whole


async def test_an_endless_body_is_left_early() -> None:
    body = reply(endless(b"x" * 1000))
    with pytest.raises(AnswerBodyError, match="an answer that is too long"):
        await read_body(body, 64_000)
    assert isinstance(body.stream, Pieces)
    assert body.stream.taken == 65


async def test_a_compressed_body_is_not_unpacked() -> None:
    packed = gzip.compress(bytes(1 << 20))
    with pytest.raises(AnswerBodyError, match="compresses"):
        await read_body(reply([packed], **{"content-encoding": "gzip"}), 1 << 30)


@pytest.mark.parametrize(
    ("location", "is_followed"),
    [
        ("/v1/there/", True),
        ("https://api.example:443/v1/there/", True),
        ("https://api.example:8443/", False),
        ("http://api.example/", False),
        ("https://api.example.evil/", False),
        ("https://user@169.254.169.254/latest/meta-data", False),
        ("//127.0.0.1/", False),
        ("http://[", False),
    ],
)
async def test_a_redirect_is_followed_within_its_origin(location: str, is_followed: bool) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200) if len(asked) > 1 else httpx.Response(307, headers={"location": location})

    async with httpx.AsyncClient(
        transport=httpx.MockTransport(answer),
        follow_redirects=True,
        max_redirects=MOST_REDIRECTS,
        event_hooks={"response": [refuse_elsewhere]},
    ) as client:
        if is_followed:
            assert (await client.post("https://api.example/v1/here")).is_success
        else:
            with pytest.raises(httpx.HTTPError):
                await client.post("https://api.example/v1/here")
    assert len(asked) == 1 + is_followed
