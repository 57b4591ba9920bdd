"""Bodies of other servers' answers, read as they arrive and never further than their bound."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.wire.answer_body import AnswerBodyError, body_lines, read_body


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


@given(st.lists(st.text("ab\r \n", max_size=12), max_size=8))
def test_lines_are_those_of_the_whole_however_it_is_cut(pieces: list[str]) -> None:
    async def lines() -> list[str]:
        return [line async for line in body_lines(reply([piece.encode() for piece in pieces]), 1000, 1000)]

    whole = "".join(pieces).split("\n")
    assert asyncio.run(lines()) == [line.rstrip("\r") for line in (whole if whole[-1] else whole[:-1])]


async def test_an_endless_body_or_line_is_left_early() -> None:
    body = reply(endless(b"x" * 1000))
    with pytest.raises(AnswerBodyError, match="an answer that is too long"):
        await read_body(body, 64_000)
    assert isinstance(body.stream, Pieces)
    assert body.stream.taken == 65
    with pytest.raises(AnswerBodyError, match="a line that is too long"):
        _ = [line async for line in body_lines(reply(endless(b"x" * 1000)), 1 << 30, 5000)]
    with pytest.raises(AnswerBodyError, match="an answer that is too long"):
        _ = [line async for line in body_lines(reply(endless(b"x\n" * 500)), 100_000, 5000)]


async def test_a_compressed_body_is_not_unpacked() -> None:
    packed = gzip.compress(bytes(1 << 20))
    with pytest.raises(AnswerBodyError, match="compresses"):
        await read_body(reply([packed], **{"content-encoding": "gzip"}), 1 << 30)
