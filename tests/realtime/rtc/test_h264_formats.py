"""H.264 is answered by section 8.2.2 of RFC 6184: profile and mode as offered, a level that both sides can keep."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.encoding.h264_level import Pictures
from lipstream.realtime.errors import OfferError
from lipstream.realtime.rtc.h264_formats import H264Format, choose_format, h264_formats, with_one_format
from lipstream.realtime.rtc.offer_terms import PUBLISHING, WATCHING
from lipstream.realtime.rtc.sdp import check_offer
from lipstream.realtime.rtc.sdp_sections import MediaSection
from tests.realtime.rtc.test_sdp import AUDIO, HEAD, TRANSPORT

SMALL, LARGE = Pictures(512, 512, 25, 2_500_000), Pictures(910, 1136, 25, 2_500_000)
MODE = "packetization-mode=1"
BOTH = "level-asymmetry-allowed=1"


def section(*parameters: str, others: tuple[str, ...] = (), direction: str = "recvonly") -> str:
    """Return a section of pictures with one format of H.264 for each of the parameter lines."""
    numbers = [str(100 + 2 * place) for place in range(len(parameters))]
    lines = [f"m=video 9 UDP/TLS/RTP/SAVPF {' '.join([*others, *numbers])}", *TRANSPORT.splitlines(), "a=mid:1"]
    lines += [f"a={direction}", "a=rtcp-mux", *(f"a=rtpmap:{number} VP8/90000" for number in others)]
    for number, told in zip(numbers, parameters, strict=True):
        lines += [f"a=rtpmap:{number} H264/90000", f"a=rtcp-fb:{number} nack pli"]
        lines += [f"a=fmtp:{number} {told}"] if told else []
    return "".join(f"{line}\n" for line in lines)


def answered(*parameters: str, pictures: Pictures = SMALL, others: tuple[str, ...] = ()) -> str | None:
    """Return the parameters of H.264 in the answer; ``None`` if there are none."""
    lines = section(*parameters, others=others).splitlines()
    chosen = choose_format(h264_formats(MediaSection(tuple(lines))), pictures)
    return chosen.answer(pictures).partition(" ")[2] if chosen else None


@pytest.mark.parametrize(
    ("offered", "pictures", "answer"),
    [
        (f"{BOTH};{MODE};profile-level-id=42e01f", SMALL, f"{BOTH};{MODE};profile-level-id=42e01f"),
        (f"{BOTH};{MODE};profile-level-id=42e01f", LARGE, f"{BOTH};{MODE};profile-level-id=42e020"),  # 3.2 is sent
        (f"{MODE};profile-level-id=42e01f", SMALL, f"{MODE};profile-level-id=42e01f"),
        (f"{MODE};profile-level-id=42e01f", LARGE, None),  # the level is for both
        (f"{MODE}; profile-level-id=42E01E", SMALL, f"{MODE};profile-level-id=42E01E"),
        (f"{MODE};profile-level-id=42e00d", SMALL, None),
        (f"{MODE};profile-level-id=42e00d;max-mbps=40500;max-fs=1620;max-br=10000", SMALL,
         f"{MODE};profile-level-id=42e00d"),  # more than its level
        (f"{MODE};profile-level-id=42e00d;max-mbps=40500;max-fs=1620", SMALL, None),
        (f"level-asymmetry-allowed=0;{MODE};profile-level-id=42e028", LARGE, f"{MODE};profile-level-id=42e028"),
        (f"{BOTH};{MODE};profile-level-id=42e00c;max-recv-level=e028", LARGE, f"{BOTH};{MODE};profile-level-id=42e00c"),
        (f"{MODE};profile-level-id=42e00c;max-recv-level=e028", SMALL, None),  # means nothing without asymmetry
        (f"{MODE};profile-level-id=42001f", SMALL, f"{MODE};profile-level-id=42001f"),
        (f"{BOTH};{MODE};profile-level-id=64001f", LARGE, f"{BOTH};{MODE};profile-level-id=640020"),
        (f"{MODE};profile-level-id=640c1f", SMALL, f"{MODE};profile-level-id=640c1f"),
        (f"{MODE};profile-level-id=4d003e", LARGE, f"{MODE};profile-level-id=4d003e"),  # level 6.2
        (MODE, SMALL, MODE),
        ("profile-level-id=42e01f", SMALL, None),
        ("packetization-mode=0;profile-level-id=42e01f", SMALL, None),
        ("packetization-mode=2;profile-level-id=42e01f", SMALL, None),
        (f"{MODE};profile-level-id=000000", SMALL, None),
        (f"{MODE};profile-level-id=42e01f00", SMALL, None),
        (f"{MODE};profile-level-id=\\1", SMALL, None),
        ("", SMALL, None),
    ],
)  # fmt: skip
def test_one_format_is_answered(offered: str, pictures: Pictures, answer: str | None) -> None:
    assert answered(offered, pictures=pictures) == answer


def test_the_profile_next_to_what_is_sent_is_chosen() -> None:
    formats = [f"{MODE};profile-level-id={told}" for told in ("64001f", "4d001f", "42001f", "42e01f", "42e01f")]
    lines = section(*formats, others=("96",)).splitlines()
    chosen = choose_format(h264_formats(MediaSection(tuple(lines))), SMALL)
    assert chosen is not None
    assert chosen.number == "106", "the first of the constrained baselines"
    assert answered(f"{MODE};profile-level-id=42e01f", f"{MODE};profile-level-id=640028", pictures=LARGE) == (
        f"{MODE};profile-level-id=640028"
    ), "the one whose level is enough"


def test_what_is_not_chosen_goes_with_its_retransmission() -> None:
    lines = section(f"{MODE};profile-level-id=42001f", f"{MODE};profile-level-id=42e01f", others=("96",)).splitlines()
    lines[0] += " 101 103 97"
    for number, again in (("101", "100"), ("103", "102"), ("97", "96")):
        lines += [f"a=rtpmap:{number} rtx/90000", f"a=fmtp:{number} apt={again}"]
    whole = MediaSection(tuple(lines))
    kept = with_one_format(whole, choose_format(h264_formats(whole), SMALL))
    assert kept.lines[0].split()[3:] == ["96", "102", "103", "97"]
    assert not any(":100" in line or ":101" in line for line in kept.lines)
    none = with_one_format(whole, None)
    assert none.lines[0].split()[3:] == ["96", "97"]
    assert not any("H264" in line or ":102" in line or ":103" in line for line in none.lines)


@pytest.mark.parametrize(
    ("offered", "why"),
    [
        ("profile-level-id=42e01f", "packetization mode 0 instead of 1"),
        (f"{MODE};profile-level-id=42e00b", "level 1.1, where the pictures need 3"),
        (f"{MODE};profile-level-id=f00000", "an unknown profile"),
    ],
)
def test_a_refusal_says_what_is_wrong_with_the_h264(offered: str, why: str) -> None:
    offer = HEAD.replace(" 2", "").replace("0 1", "1") + section(offered)
    with pytest.raises(OfferError) as refused:
        check_offer(offer, WATCHING, pictures=SMALL)
    assert refused.value.message == (f"The video section offers H264; it needs H264 or VP8, and its H264 has {why}.")


def test_pictures_of_a_publisher_may_have_any_level() -> None:
    sound = AUDIO.replace("sendrecv", "sendonly")
    offer = HEAD.replace(" 2", "") + sound + section(f"{MODE};profile-level-id=42e00a", direction="sendonly")
    assert check_offer(offer, PUBLISHING).kinds == ("audio", "video")


PARAMETERS = st.dictionaries(
    st.sampled_from(["profile-level-id", "packetization-mode", "level-asymmetry-allowed", "max-fs", "max-recv-level"]),
    st.sampled_from(["1", "0", "42e01f", "64002a", "4d0015", "e028", "99999999", ""])
    | st.text("0189aefx;= ²", max_size=9),
)


@given(st.lists(PARAMETERS, max_size=4), st.sampled_from([SMALL, LARGE]))
def test_an_answer_keeps_profile_and_mode_and_never_promises_more_than_allowed(
    offered: list[dict[str, str]], pictures: Pictures
) -> None:
    lines = section(*(";".join(f"{name}={value}" for name, value in one.items()) for one in offered)).splitlines()
    formats = h264_formats(MediaSection(tuple(lines)))
    chosen = choose_format(formats, pictures)
    if chosen is None:
        assert all(one.fault(pictures) for one in formats)
        return
    number, _, told = chosen.answer(pictures).removeprefix("a=fmtp:").partition(" ")
    answer = H264Format(number, dict(pair.split("=") for pair in told.split(";")))
    assert answer.profile == chosen.profile
    assert answer.parameters["packetization-mode"] == "1"
    assert answer.asymmetric == chosen.asymmetric
    if not chosen.asymmetric:
        assert answer.level == chosen.level
        assert chosen.limits.allow(pictures)
