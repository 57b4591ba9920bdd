"""Addresses of streams as services and manuals write them: keys are kept as written, odd options do no harm."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.errors import BadRequestError
from lipstream.realtime.sinks.stream_address import StreamAddress, srt_options

MANUALS = {  # of SRS, MediaMTX, OBS, Wowza, and what FFmpeg takes
    "srt://host:10080?streamid=#!::r=live/livestream,m=publish": "#!::r=live/livestream,m=publish",
    "srt://host:10080?streamid=#!::h=example.org,r=live/x,m=publish&latency=20": "#!::h=example.org,r=live/x,m=publish",
    "srt://host:8890?streamid=publish:mystream&pkt_size=1316": "publish:mystream",
    "srt://host:8890?mode=caller&streamid=publish:a:user:pa+ss": "publish:a:user:pa+ss",
    "srt://host:9?latency=2000&transtype=live&rcvlatency=120&streamid=a%20b%23%26c": "a b#&c",
    "srt://host:9?StreamID=x": "x",
    "srt://host:9?mode=caller&": None,
}


@pytest.mark.parametrize(("url", "stream_id"), MANUALS.items())
def test_stream_ids_are_sent_as_they_are_written(url: str, stream_id: str | None) -> None:
    address = StreamAddress.parse(url)
    assert dict(srt_options(address.parts.query)).get("streamid") == stream_id
    again = StreamAddress.parse(address.parts.geturl())  # as the child process reads it
    assert srt_options(again.parts.query) == srt_options(address.parts.query)
    assert address.parts.port == again.parts.port


@pytest.mark.parametrize("key", ["a#b", "#", "k?token=1#x", "a%23b", "user@key", "a+b=c"])
def test_rtmp_keys_are_sent_as_they_are_written(key: str) -> None:
    parts = StreamAddress.parse(f"rtmp://host/app/{key}").parts
    assert parts.path + (f"?{parts.query}" if parts.query else "") == f"/app/{key}"


def test_options_without_effect_are_named_and_unknown_ones_counted() -> None:
    address = StreamAddress.parse("srt://host:9?pkt_size=1316&maxbw=0&latency=9&s3cret&tlpktdrop=1&x=y")
    assert address.ignored_options == "maxbw, pkt_size, tlpktdrop, 2 unknown"
    assert StreamAddress.parse("srt://host:9?latency=9").ignored_options == ""
    assert StreamAddress.parse("rtmp://host/app/key?pkt_size=1").ignored_options == ""


@pytest.mark.parametrize(
    ("url", "told"),
    [("srt://host:9?transtype=file", "transtype=live"), ("srt://host:9?mode=rendezvous", "mode=caller"),
     ("srt://host:9?rcvlatency=1s", "rcvlatency"), ("srt://host?streamid=#!::r=a:9", "a port")],
)  # fmt: skip
def test_what_cannot_be_sent_is_refused_by_name(url: str, told: str) -> None:
    with pytest.raises(BadRequestError, match=told):
        StreamAddress.parse(url)


@given(st.text(string.ascii_letters + string.digits + "#!:,=+-_/~.@ ", min_size=1, max_size=60))
def test_any_stream_id_comes_back(stream_id: str) -> None:
    address = StreamAddress.parse(f"srt://host:9?streamid={stream_id.strip() or 'x'}&latency=1")
    assert dict(srt_options(address.parts.query))["streamid"] == (stream_id.strip() or "x")
