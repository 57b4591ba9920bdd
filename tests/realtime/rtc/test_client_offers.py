"""Offers of real clients, each answered by the rules of JSEP (RFC 9429) and of bundling (RFC 9143)."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lipstream.realtime.encoding.broadcast import Broadcast
from lipstream.realtime.rtc.h264_formats import h264_formats
from lipstream.realtime.rtc.offer_terms import PUBLISHING, SPEAKING, WATCHING, Terms
from lipstream.realtime.rtc.peer import Peer
from lipstream.realtime.rtc.sdp_sections import MediaSection, split_sections
from tests.realtime.rtc.loopback import QUICK, TonePlayout

OFFERS = sorted((Path(__file__).parent / "offers").glob("*.sdp"))
ANSWERED_DIRECTION = {"sendrecv": {"sendrecv", "sendonly", "recvonly"}, "sendonly": {"recvonly"},
                      "recvonly": {"sendonly"}, "inactive": {"inactive"}}  # fmt: skip


def terms_of(name: str) -> Terms:
    if "call" in name:
        return SPEAKING
    return WATCHING if "player" in name else PUBLISHING


async def answered(offer: str, terms: Terms) -> tuple[list[str], list[MediaSection]]:
    peer = Peer(Broadcast(TonePlayout()), terms=terms, settings=QUICK, on_gone=lambda _: None)
    try:
        return split_sections((await peer.answer(offer)).splitlines())
    finally:
        await peer.close()


def port(section: MediaSection) -> int:
    return int(section.lines[0].split()[1])


def assert_h264_fits(answered: MediaSection, offered: MediaSection) -> None:
    """Fail unless H.264 is answered as section 8.2.2 of RFC 6184 says."""
    known = {one.number: one for one in h264_formats(offered)}
    formats = h264_formats(answered)
    usable = [one for one in known.values() if one.parameters.get("packetization-mode") == "1"]
    assert len(formats) == min(1, len(usable)), "one format, if there is one that can be sent"
    for one in formats:
        asked = known[one.number]
        assert one.profile == asked.profile
        assert one.parameters["packetization-mode"] == asked.parameters["packetization-mode"]
        assert one.asymmetric == asked.asymmetric
        assert one.level == asked.level, "the picture needs no other"


@pytest.mark.parametrize("path", OFFERS, ids=lambda path: path.stem)
async def test_a_client_is_answered_by_the_standard(path: Path) -> None:
    offer, terms = path.read_text(), terms_of(path.stem)  # noqa: ASYNC240 (a small file of the test)
    head, offered = split_sections(offer.splitlines())
    answer_head, sections = await answered(offer, terms)
    assert [section.kind for section in sections] == [section.kind for section in offered], "RFC 9429, 5.3.1"
    assert [section.name for section in sections] == [section.name for section in offered]
    taken = [section for section in sections if port(section)]
    for section, asked in zip(sections, offered, strict=True):
        formats, known = section.lines[0].split()[3:], asked.lines[0].split()[3:]
        assert section.lines[0].split()[2] == asked.lines[0].split()[2], "the same protocol"
        assert set(formats) <= set(known) or section.kind == "application", "no format that was not offered"
        if not port(section):
            continue
        assert any(line.startswith("a=setup:") and "actpass" not in line for line in section.lines)
        if section.kind != "application":
            assert section.direction(answer_head) in ANSWERED_DIRECTION[asked.direction(head)]
            assert "a=rtcp-mux" in section.lines
        ours = {line.split()[1] for line in section.lines if line.startswith("a=extmap:")}
        theirs = {line.split()[1] for line in (*head, *asked.lines) if line.startswith("a=extmap:")}
        assert ours <= theirs, "no extension that was not offered"
        assert not any(line.startswith(("a=rid:", "a=simulcast:")) for line in section.lines), "one layer is taken"
        assert_h264_fits(section, asked)
    (bundle,) = [line for line in answer_head if line.startswith("a=group:BUNDLE")]
    assert sorted(bundle.split()[1:]) == sorted(section.name for section in taken), "rejected ones leave the bundle"
    kinds = [section.kind for section in taken]
    assert len(set(kinds)) == len(kinds), "one section of a kind"
    assert "audio" in kinds
    assert "video" in kinds or terms is PUBLISHING
    assert ("application" in kinds) == (terms is SPEAKING and any(one.kind == "application" for one in offered))


def written(pattern: str, by: str | Callable[["re.Match[str]"], str]) -> Callable[[str], str]:
    return lambda offer: re.sub(pattern, by, offer)


def at_the_head(*prefixes: str) -> Callable[[str], str]:
    """Return a change that moves lines of all sections before the first one, where they hold for all."""

    def moved(offer: str) -> str:
        head, sections = split_sections(offer.splitlines())
        lines = [line for section in sections for line in section.lines]
        shared = dict.fromkeys(line for line in lines if line.startswith(prefixes))
        return "\r\n".join([*head, *shared, *(line for line in lines if line not in shared)]) + "\r\n"

    return moved


WRITTEN = {
    "line feeds alone": written("\r\n", "\n"),
    "no direction": written("a=sendrecv\r\n", ""),
    "the direction for all": at_the_head("a=sendrecv"),
    "the transport for all": at_the_head("a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:"),
    "no role": written("a=setup:actpass\r\n", ""),
    "a settled role": written("setup:actpass", "setup:active"),
    "names of codecs in capitals": written("opus/48000", "OPUS/48000"),
    "names with marks": written(
        r"a=mid:(.*)\r|BUNDLE 0 1 2", lambda at: f"a=mid:-{{{at[1]}~\r" if at[1] else "BUNDLE -{0~ -{1~ -{2~"
    ),
    "older profiles": written("UDP/TLS/RTP/SAVPF", "RTP/SAVPF"),
    "profiles in lower case": written("UDP/TLS/RTP/SAVPF", "udp/tls/rtp/savpf"),
    "TCP": written("UDP/", "TCP/"),
    "two ports": written(r"m=(\w+) 9 ", r"m=\1 9/2 "),
    "extensions with directions": written(r"a=extmap:(\d+) (\S+)", r"a=extmap:\1/recvonly \2"),
    "extensions with parameters": written(r"a=extmap:(\d+) (\S+)", r"a=extmap:\1 \2 short=1"),
    "parameters of a format that is not there": written(
        r"a=rtcp-mux\r\n", "a=rtcp-mux\r\na=fmtp:17 x=1\r\na=rtcp-fb:17 nack\r\n"
    ),
    "a mapping of a format that is not there": written(r"a=rtcp-mux\r\n", "a=rtcp-mux\r\na=rtpmap:77 VP8/90000\r\n"),
    "parameters that end with a semicolon": written(r"(a=fmtp:\d+ [^\r]+)", r"\1;flag;"),
    "feedback for all formats": written(r"a=rtcp-mux\r\n", "a=rtcp-mux\r\na=rtcp-fb:* nack pli\r\n"),
    "sources without attributes": written(r"a=rtcp-mux\r\n", "a=rtcp-mux\r\na=ssrc:7\r\na=ssrc:7 cname\r\n"),
    "the older way of data channels": written(r"UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 5000"),
    "other digests beside": written(r"(a=fingerprint:.*\r\n)", "a=fingerprint:sha-1 AA:BB\r\n\\1"),
    "a digest's name in capitals": written("sha-256", "SHA-256"),
    "bandwidth, lengths, sizes": written(
        r"(c=IN.*\r\n)", "\\1b=AS:500\r\na=ptime:20\r\na=imageattr:* send *\r\na=content:main\r\n"
    ),
    "lines of telephony": written(r"(t=0 0\r\n)", "i=x\r\ne=a@b.c\r\n\\1r=7d 1h 0 25h\r\nz=0 0\r\n"),
}


@pytest.mark.parametrize("change", WRITTEN.values(), ids=WRITTEN)
async def test_the_same_offer_written_in_another_way_is_answered_alike(change: Callable[[str], str]) -> None:
    offer = (Path(__file__).parent / "offers" / "chromium-call.sdp").read_text().replace("\n", "\r\n")
    changed = change(offer)
    assert changed != offer
    head, sections = await answered(changed, SPEAKING)
    assert [(one.kind, one.direction(head)) for one in sections if port(one)] == [
        ("audio", "sendrecv"), ("video", "sendonly"), ("application", "sendrecv"),
    ]  # fmt: skip
    for section, asked in zip(sections, split_sections(changed.splitlines())[1], strict=True):
        assert section.name == asked.name
        assert section.lines[0].split()[2] == asked.lines[0].split()[2].upper()
        assert set(section.lines[0].split()[3:]) <= set(asked.lines[0].split()[3:]) or section.kind == "application"
        assert "a=setup:passive" in section.lines or "a=setup:active" in section.lines


def test_there_are_offers_of_many_clients() -> None:
    clients = {path.stem.partition("-")[0] for path in OFFERS}
    assert clients >= {"chromium", "firefox", "safari", "gstreamer", "obs", "mediamtx", "srs", "pion", "libdatachannel",
                       "livekit", "pipecat"}  # fmt: skip
