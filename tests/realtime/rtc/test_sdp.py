from itertools import permutations

import pytest
from aiortc.sdp import SessionDescription
from hypothesis import given, settings
from hypothesis import strategies as st

from lipstream.realtime.errors import OfferError, SettingsError, TooLargeError
from lipstream.realtime.rtc.candidates import read_fragment
from lipstream.realtime.rtc.offer_terms import MAX_CANDIDATES, PUBLISHING, SPEAKING, WATCHING, Terms
from lipstream.realtime.rtc.sdp import MAX_OFFER_BYTES, MAX_SECTIONS, check_answer, check_offer
from lipstream.realtime.rtc.sdp_sections import split_sections
from lipstream.realtime.settings import read_settings

HEAD = """v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1 2
a=msid-semantic: WMS *
"""
TRANSPORT = """c=IN IP4 0.0.0.0
a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=fingerprint:sha-256 AA:BB
a=setup:actpass
"""
AUDIO = f"m=audio 9 UDP/TLS/RTP/SAVPF 111\n{TRANSPORT}a=mid:0\na=sendrecv\na=rtcp-mux\na=rtpmap:111 opus/48000/2\n"
VIDEO = f"m=video 9 UDP/TLS/RTP/SAVPF 96\n{TRANSPORT}a=mid:1\na=recvonly\na=rtcp-mux\na=rtpmap:96 VP8/90000\n"
DATA = f"m=application 9 UDP/DTLS/SCTP webrtc-datachannel\n{TRANSPORT}a=mid:2\na=sctp-port:5000\n"
OFFER = HEAD + AUDIO + VIDEO + DATA


def candidate(address: str = "192.168.1.2", *, port: object = 5000, transport: str = "udp") -> str:
    return f"a=candidate:1 1 {transport} 2122260223 {address} {port} typ host\n"


def kept(*candidates: str, allow_loopback: bool = True) -> list[str]:
    """Return the addresses that stay in each section."""
    offer = check_offer(HEAD + AUDIO + "".join(candidates) + VIDEO + DATA, allow_loopback=allow_loopback)
    parsed = SessionDescription.parse(offer.sdp)
    addresses = [[c.ip for c in media.ice_candidates] for media in parsed.media]
    assert all(section == addresses[0] for section in addresses)
    return addresses[0]


def test_a_good_offer_passes_whole() -> None:
    checked = check_offer(OFFER).sdp
    assert sorted(checked.split()) == sorted(OFFER.split())
    assert check_offer(checked).sdp == checked


def test_usable_candidates_stay() -> None:
    assert kept(candidate(), candidate("2001:db8::1"), candidate("127.0.0.1"), candidate(transport="UDP")) == [
        "192.168.1.2",
        "2001:db8::1",
        "127.0.0.1",
        "192.168.1.2",
    ]


@pytest.mark.parametrize(
    "bad",
    [
        candidate(transport="tcp"),
        candidate("f7ad6b3c-5a0e.local"),
        candidate("localhost"),
        candidate("169.254.169.254"),
        candidate("169.254.3.4"),
        candidate("fe80::1"),
        candidate("fe80::1%eth0"),
        candidate("::ffff:169.254.169.254"),
        candidate("fd00:ec2::254"),
        candidate("168.63.129.16"),
        candidate("100.100.100.200"),
        candidate("192.0.0.192"),
        candidate("::ffff:192.0.0.192"),
        candidate("64:ff9b::a00:1"),
        candidate("64:ff9b:1::808:808"),
        candidate("2002:a9fe:a9fe::1"),
        candidate("2002:a00:1::1"),
        candidate("224.0.0.251"),
        candidate("ff02::fb"),
        candidate("0.0.0.0"),
        candidate("::"),
        candidate("255.255.255.255"),
        candidate(port=0),
        candidate(port=70000),
        candidate(port="²"),
        candidate(port="x"),
        "a=candidate:1 1 udp\n",
        "a=candidate:\n",
    ],
)
def test_unusable_candidates_go(bad: str) -> None:
    assert kept(candidate(), bad) == ["192.168.1.2"]


@pytest.mark.parametrize(
    ("networks", "left"),
    [
        ("", ["192.168.1.2", "10.1.2.3", "8.8.8.8", "2606:4700::1", "fd00::2"]),
        ("public", ["8.8.8.8", "2606:4700::1"]),
        ("public, 10.0.0.0/8", ["10.1.2.3", "8.8.8.8", "2606:4700::1"]),
        ("192.168.1.2,fd00::/8", ["192.168.1.2", "fd00::2"]),
    ],
)
def test_candidates_of_other_networks_than_the_operator_s_go(networks: str, left: list[str]) -> None:
    everyone = ("192.168.1.2", "10.1.2.3", "8.8.8.8", "2606:4700::1", "fd00::2", "64:ff9b::808:808", "127.0.0.1")
    allowed = read_settings(["--peer-networks", networks], {}).peer_networks
    lines = "".join(map(candidate, everyone))
    for loopback in (True, False):
        offer = check_offer(HEAD + AUDIO + lines + VIDEO + DATA, allow_loopback=loopback, networks=allowed)
        fragment = f"a=ice-ufrag:u\na=ice-pwd:{'p' * 22}\nm=audio 9 UDP/TLS/RTP/SAVPF 0\na=mid:0\n{lines}"
        trickled = read_fragment(fragment, allow_loopback=loopback, networks=allowed).candidates
        expected = left + (["127.0.0.1"] if loopback else [])
        assert [one.split()[4] for one in trickled] == expected
        assert [c.ip for c in SessionDescription.parse(offer.sdp).media[0].ice_candidates] == expected


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="peer_networks"):
        read_settings(["--peer-networks", "private"], {})


def test_no_end_of_candidates_is_passed_on() -> None:
    for told in ("", candidate(), candidate("fd00::2"), candidate("f7ad6b3c-5a0e.local")):
        assert "end-of-candidates" not in check_offer(HEAD + AUDIO + told + "a=end-of-candidates\n" + VIDEO + DATA).sdp


def test_a_public_server_sends_nothing_to_itself() -> None:
    assert kept(candidate("127.0.0.1"), candidate("::1"), candidate(), allow_loopback=False) == ["192.168.1.2"]


def test_the_candidates_of_the_bundles_section_stand_for_all() -> None:
    head = HEAD.replace("0 1 2", "1 0 2")
    offer = head + AUDIO + candidate("10.0.0.1") + VIDEO + candidate("10.0.0.2") + DATA + candidate("10.0.0.3")
    parsed = SessionDescription.parse(check_offer(offer).sdp)
    assert [[c.ip for c in media.ice_candidates] for media in parsed.media] == [["10.0.0.2"]] * 3


def test_a_bundle_led_by_a_later_section_is_led_by_the_first_with_the_same_transport() -> None:
    head = HEAD.replace("0 1 2", "1 0 2")
    video = VIDEO.replace("abcd", "dcba").replace("AA:BB", "CC:DD")
    parsed = SessionDescription.parse(check_offer(head + AUDIO + video + DATA).sdp)
    assert [group.items for group in parsed.group] == [["0", "1", "2"]]
    assert [media.rtp.muxId for media in parsed.media] == ["0", "1", "2"]
    assert {media.ice and media.ice.usernameFragment for media in parsed.media} == {"dcba"}
    assert {fingerprint.value for media in parsed.media if media.dtls for fingerprint in media.dtls.fingerprints} == {
        "CC:DD"
    }


@pytest.mark.parametrize(
    "offer",
    [
        "",
        HEAD,
        HEAD + AUDIO,
        HEAD + VIDEO,
        OFFER + AUDIO,
        OFFER + VIDEO,
        OFFER + DATA,
        OFFER + "m=text 9 UDP/TLS/RTP/SAVPF 98\n" * MAX_SECTIONS,
        OFFER.replace("a=group:BUNDLE 0 1 2\n", ""),
        OFFER.replace("BUNDLE 0 1 2", "BUNDLE 0 2"),
        OFFER.replace("BUNDLE 0 1 2", "BUNDLE 0 1 2 3"),
        OFFER.replace("BUNDLE 0 1 2", "BUNDLE"),
        OFFER.replace("BUNDLE 0 1 2", "BUNDLE 0 1 2 2"),
        OFFER.replace("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 0\na=group:BUNDLE 0 1 2"),
        OFFER.replace("a=mid:1", "a=mid:0"),
        OFFER.replace("a=mid:1", "a=mid:1\na=mid:7"),
        OFFER.replace("a=mid:1\n", ""),
        HEAD + AUDIO + VIDEO.replace("a=fingerprint", "a=finger") + DATA,
        HEAD + AUDIO + candidate() * (MAX_CANDIDATES + 1) + VIDEO + DATA,
        OFFER + "a=x\n" * 500,
        OFFER + "a=x\x0by\n",
        OFFER.replace("a=mid:2", "a=mid:2\u2028m=audio 9 x 1"),
    ],
)
def test_wrong_offers_are_refused(offer: str) -> None:
    with pytest.raises(OfferError):
        check_offer(offer)


def names(sdp: str) -> list[str]:
    return [line for line in sdp.splitlines() if line.startswith(("m=", "a=mid:", "a=group"))]


@pytest.mark.parametrize("order", list(permutations((AUDIO, VIDEO, DATA))))
@pytest.mark.parametrize("led", ["0 1 2", "1 0 2", "2 1 0"])
def test_an_offer_in_any_order_is_read_in_one_order_and_answered_in_its_own(order: tuple[str, ...], led: str) -> None:
    checked = check_offer(HEAD.replace("0 1 2", led) + "".join(order))
    assert checked.kinds == ("audio", "video", "application")
    assert [line[2:7] for line in names(checked.sdp) if line.startswith("m=")] == ["audio", "video", "appli"]
    assert names(checked.answer(checked.sdp)) == [f"a=group:BUNDLE {led}", *names("".join(order))]


TEXT = "m=text 9 UDP/TLS/RTP/SAVPF 98 99\na=mid:7\n"
SCREEN = VIDEO.replace("a=mid:1", "a=mid:5")


@pytest.mark.parametrize(
    ("sections", "terms", "rejected"),
    [
        ([TEXT, AUDIO, VIDEO, DATA], SPEAKING, ["7"]),
        ([SCREEN.replace("recvonly", "sendonly"), VIDEO, AUDIO], SPEAKING, ["5"]),
        ([VIDEO, SCREEN, AUDIO], SPEAKING, ["5"]),
        ([VIDEO.replace("recvonly", "inactive"), SCREEN, AUDIO], SPEAKING, ["1"]),
        ([VIDEO.replace("m=video 9", "m=video 0"), SCREEN, AUDIO], SPEAKING, ["1"]),
        ([DATA, VIDEO, AUDIO], WATCHING, ["2"]),
        ([VIDEO, AUDIO.replace("sendrecv", "sendonly")], WATCHING, ["0"]),
        ([AUDIO, VIDEO, DATA], PUBLISHING, ["1", "2"]),
    ],
)
def test_sections_that_are_not_wanted_are_rejected_in_the_answer(
    sections: list[str], terms: Terms, rejected: list[str]
) -> None:
    offered = [section[section.index("a=mid:") + 6 :].splitlines()[0] for section in sections]
    offer = HEAD.replace("0 1 2", " ".join(offered)) + "".join(sections)
    checked = check_offer(offer, terms)
    answer = checked.answer(checked.sdp)
    head, answered = split_sections(answer.splitlines())
    assert [section.name for section in answered] == offered
    assert [section.name for section in answered if section.lines[0].split()[1] == "0"] == rejected
    kept = [name for name in offered if name not in rejected]
    assert f"a=group:BUNDLE {' '.join(kept)}" in head
    for section in answered:
        if section.name in rejected:
            assert section.lines[1:] == ("c=IN IP4 0.0.0.0", f"a=mid:{section.name}", "a=inactive")
            media, _, *formats = sections[offered.index(section.name)].splitlines()[0].split()
            assert section.lines[0].split() == [media, "0", *formats]


def test_a_section_outside_the_bundle_is_rejected_and_one_without_a_name_is_too() -> None:
    checked = check_offer(HEAD.replace("0 1 2", "0 1") + AUDIO + VIDEO + DATA + "m=text 9 RTP/SAVPF 98\n")
    answer = checked.answer(checked.sdp).split("m=")
    assert answer[3].split("\r\n")[0] == "application 0 UDP/DTLS/SCTP webrtc-datachannel"
    assert answer[4].split("\r\n") == ["text 0 RTP/SAVPF 98", "c=IN IP4 0.0.0.0", "a=inactive", ""]


def test_a_section_that_has_a_port_by_its_bundle_alone_is_taken() -> None:
    video = VIDEO.replace("m=video 9", "m=video 0") + "a=bundle-only\n"
    checked = check_offer(HEAD + AUDIO + video + DATA)
    assert checked.kinds == ("audio", "video", "application")
    assert "m=video 9" in checked.sdp


def test_a_second_section_of_a_kind_refuses_what_a_publisher_offers() -> None:
    offer = HEAD.replace("0 1 2", "0 7") + AUDIO + AUDIO.replace("a=mid:0", "a=mid:7")
    with pytest.raises(OfferError, match="more than one audio"):
        check_offer(offer, PUBLISHING)


PCMU = AUDIO.replace("SAVPF 111", "SAVPF 0 8 101").replace("a=rtpmap:111 opus/48000/2", "a=rtpmap:101 G726-32/8000")
AV1 = VIDEO.replace("VP8/90000", "AV1/90000")


@pytest.mark.parametrize(
    ("sections", "terms", "told"),
    [
        (PCMU + VIDEO, SPEAKING, "The audio section offers PCMU, PCMA, G726-32; it needs opus."),
        (AUDIO + AV1, SPEAKING, "The video section offers AV1; it needs H264 or VP8."),
        (PCMU + AV1, WATCHING, "The audio section offers PCMU, PCMA, G726-32; it needs opus."),
        (AUDIO.replace("opus/48000/2", "opus/16000") + VIDEO, SPEAKING, "offers opus/16000; it needs opus."),
        (AUDIO.replace("a=rtcp-mux\n", "") + VIDEO, SPEAKING, "does not multiplex RTP and RTCP (a=rtcp-mux)."),
        (AUDIO + VIDEO.replace("UDP/TLS/RTP/SAVPF", "UDP"), SPEAKING, "sent by UDP, not by UDP/TLS/RTP/SAVPF."),
        ((AUDIO + VIDEO).replace("sha-256", "sha-1"), SPEAKING, "a fingerprint (a=fingerprint) by SHA-256"),
        ((AUDIO + VIDEO).replace("a=ice-pwd", "a=ice-word"), SPEAKING, "without ICE credentials"),
        ((AUDIO + VIDEO).replace("actpass", "holdconn"), SPEAKING, "a DTLS role that is none"),
        (AUDIO.replace("a=rtpmap:111 opus/48000/2\n", "") + VIDEO, SPEAKING, "offers no codec by name; it needs opus."),
    ],
)
def test_a_refusal_names_the_codecs(sections: str, terms: Terms, told: str) -> None:
    sections = sections.replace("a=sendrecv", "a=recvonly") if terms is WATCHING else sections
    with pytest.raises(OfferError) as refused:
        check_offer(HEAD.replace("0 1 2", "0 1") + sections, terms)
    assert told in refused.value.message


def test_a_section_without_our_codecs_is_rejected_beside_one_that_has_them() -> None:
    watched = HEAD.replace("0 1 2", "0 1") + PCMU.replace("sendrecv", "recvonly") + VIDEO
    assert check_offer(watched, WATCHING).kinds == ("video",)
    checked = check_offer(HEAD.replace("0 1 2", "0 1 5") + AUDIO + AV1 + SCREEN)
    assert checked.kinds == ("audio", "video")
    assert "m=video 0" in checked.answer(checked.sdp)


def test_a_full_house_of_candidates_passes() -> None:
    assert len(kept(*[candidate(port=5000 + n) for n in range(MAX_CANDIDATES)])) == MAX_CANDIDATES


def test_a_large_offer_is_refused_before_it_is_read() -> None:
    with pytest.raises(TooLargeError):
        check_offer(OFFER + "a" * 65536)
    with pytest.raises(TooLargeError):
        check_offer("ä" * 40_000)


def passes_or_is_refused(text: str) -> None:
    try:
        filtered = check_offer(text).sdp
    except (OfferError, TooLargeError):
        return
    lines = text.replace("\r", "\n").split("\n")
    written = {line.strip() for line in lines}
    made = {line for line in filtered.split("\r\n") if line and line not in written}
    defaults = ("a=setup:actpass", "a=sendrecv")
    assert all(line.startswith(("a=group:BUNDLE ", "m=", "a=rtpmap:", "a=extmap:", *defaults)) for line in made)


@given(st.text())
def test_any_text_passes_or_is_refused(text: str) -> None:
    passes_or_is_refused(text)


LINES = [*OFFER.splitlines(), candidate().strip(), candidate("x.local").strip()]


@settings(max_examples=200)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(LINES),
            st.sampled_from(LINES).flatmap(lambda line: st.integers(0, len(line)).map(lambda n: line[:n])),
            st.text(max_size=20).map(lambda tail: "a=candidate:" + tail),
            st.text(max_size=20).map(lambda tail: "a=candidate:1 1 udp 1 " + tail + " 1 typ host"),
        ),
        max_size=60,
    ),
    st.booleans(),
)
def test_shuffled_offers_pass_or_are_refused(extra: list[str], whole: bool) -> None:
    passes_or_is_refused("\n".join([*(LINES if whole else []), *extra]))


def test_an_answers_candidates_are_those_that_are_allowed() -> None:
    places = ("8.8.8.8", "10.0.0.1", "169.254.169.254", "name.local", "8.8.4.4")
    candidates = [f"a=candidate:1 1 udp 1 {place} 5000 typ host" for place in places]
    answer = "\r\n".join(["v=0", "m=audio 9 UDP/TLS/RTP/SAVPF 96", *candidates, "a=mid:0"]) + "\r\n"
    checked = check_answer(answer, lambda ip: ip.startswith("8.")).split("\r\n")
    assert checked == ["v=0", "m=audio 9 UDP/TLS/RTP/SAVPF 96", candidates[0], candidates[4], "a=mid:0", ""]
    many = [f"a=candidate:{n} 1 udp 1 8.8.8.8 {5000 + n} typ host" for n in range(MAX_CANDIDATES + 5)]
    kept = check_answer("\n".join(["v=0", *many]), lambda _: True).split("\r\n")
    assert kept == ["v=0", *many[:MAX_CANDIDATES], ""]
    with pytest.raises(TooLargeError):
        check_answer("a" * (MAX_OFFER_BYTES + 1), lambda _: True)
