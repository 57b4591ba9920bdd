"""Server-sent events by the standard, however they are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.wire.event_stream import EventStream


def data_of(*pieces: bytes) -> list[str]:
    stream = EventStream(1_000)
    return [data for piece in pieces for data in stream.push(piece)] + stream.flush()


@pytest.mark.parametrize(
    ("body", "data"),
    [  # the first five are the standard's own examples
        ("data: YHOO\ndata: +2\ndata: 10\n\n", ["YHOO\n+2\n10"]),
        (": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\n", ["first event", "second event"]),
        ("data\n\ndata\ndata\n\n", ["", "\n"]),
        ("data:test\n\ndata: test\n\n", ["test", "test"]),
        ("data:  third event\n\n", [" third event"]),
        ("\ufeffdata: a\r\rdata: b\r\n\r\ndata: c", ["a", "b", "c"]),
        ("event: data\n\ndatum: x\nDATA: y\n data: z\n\n", []),
        ("data: a:b: c\n\n", ["a:b: c"]),
        ("\n\n\n", []),
        ("", []),
    ],
)
def test_events(body: str, data: list[str]) -> None:
    assert data_of(body.encode()) == data
    assert data_of(*(bytes([byte]) for byte in body.encode())) == data


@given(
    st.lists(st.sampled_from(["data:", "data: ", "x", "é", ":", "\n", "\r", "\r\n", "\ufeff", "id: 1"]), max_size=30),
    st.lists(st.integers(0, 200), max_size=8),
)
def test_cuts_change_nothing(parts: list[str], cuts: list[int]) -> None:
    body = "".join(parts).encode()
    edges = sorted(min(cut, len(body)) for cut in (0, *cuts, len(body)))
    assert data_of(*(body[at:end] for at, end in pairwise(edges))) == data_of(body)


@pytest.mark.parametrize("piece", [b"data: x\n", b"x" * 100, b"data:" + b"x" * 1100 + b"\n\n"])
def test_an_event_has_a_limit(piece: bytes) -> None:
    stream = EventStream(1_000)
    with pytest.raises(ValueError, match="too long"):
        _ = [stream.push(piece) for _ in range(200)]


def test_comments_may_go_on() -> None:
    stream = EventStream(1_000)
    assert all(stream.push(b": still there\n") == [] for _ in range(1_000))
    assert stream.push(b"data: x\n\n") == ["x"]
