"""Terms for an offer, and the choice of the sections that meet them."""

import re
from dataclasses import dataclass

from lipstream.realtime.encoding.h264_level import Pictures
from lipstream.realtime.errors import OfferError
from lipstream.realtime.rtc.candidates import is_candidate
from lipstream.realtime.rtc.h264_formats import choose_format, h264_formats
from lipstream.realtime.rtc.sdp_sections import DIRECTIONS, FINGERPRINT_PREFIX, MediaSection

MAX_CANDIDATES = 32
"""Limit per section; a browser without bundling repeats its candidates in each section."""
_MOST_NAMES, _LONGEST_NAME = 8, 20
"""Codecs that a refusal names, and the characters of each."""

CODECS = {"audio": ("opus",), "video": ("H264", "VP8")}
"""Names of the codecs of which a section must offer one, by its kind."""
_RATES = {"opus": "48000", "h264": "90000", "vp8": "90000"}
"""Their clock rates, Hz."""

FINGERPRINTS = tuple(f"{FINGERPRINT_PREFIX}sha-{bits} " for bits in (256, 384, 512))
ICE_PREFIXES = ("a=ice-ufrag:", "a=ice-pwd:")
ROLES = ("a=setup:actpass", "a=setup:active", "a=setup:passive")
_USUAL = {"audio": "UDP/TLS/RTP/SAVPF", "video": "UDP/TLS/RTP/SAVPF", "application": "UDP/DTLS/SCTP"}
_RTP = re.compile(r"(?:[A-Z]+/)*RTP/S?AVPF?")
_PROTOCOLS = {"audio": _RTP, "video": _RTP, "application": re.compile("(?:UDP/|TCP/)?DTLS/SCTP")}
"""Protocols that an offer may name (RFC 9429, section 5.1.2); encryption is needed whatever it says."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Requirements for an offer, and the choice of its sections.

    Attributes:
        required: Kinds of media section without which an offer is refused.
        known: Kinds of which one section each is accepted: ``audio``, ``video`` or ``application``.
        directions: Accepted directions of sound and picture, the best first; default all four.
        multiplexed: Whether each accepted section must multiplex RTP and RTCP on one port; default false.
        one_of_a_kind: Whether a second section of a kind refuses the offer (RFC 9725, section 4.4.2); default false:
            the answer rejects the second section.
    """

    required: tuple[str, ...]
    known: tuple[str, ...]
    directions: tuple[str, ...] = ("sendrecv", "recvonly", "sendonly", "inactive")
    multiplexed: bool = False
    one_of_a_kind: bool = False


SPEAKING = Terms(("audio", "video"), ("audio", "video", "application"))
"""A call: the peer speaks and watches. The answer's directions are checked afterwards."""
WATCHING = Terms((), ("audio", "video"), ("recvonly", "sendrecv"), multiplexed=True)
"""A WHEP player."""
PUBLISHING = Terms(("audio",), ("audio", "video"), ("sendonly", "sendrecv"), multiplexed=True, one_of_a_kind=True)
"""A WHIP client."""


def take_sections(
    head: list[str],
    sections: list[MediaSection],
    bundle: tuple[str, ...],
    terms: Terms,
    pictures: Pictures | None,
) -> list[MediaSection]:
    """Return the accepted section of each kind, sound first; at least one of them is sound or picture.

    Args:
        head: Lines of the offer before its first section.
        bundle: Names of the sections in its bundle; empty if it has none.
        pictures: The pictures to send, for which a format must be there; ``None`` if they come from the client.

    Raises:
        OfferError: If the offer does not meet the terms.
    """
    taken, faults, missing = [], [], []
    for kind in terms.known:
        offered = [section for section in sections if section.kind == kind and not section.is_disabled]
        if terms.one_of_a_kind and len(offered) > 1:
            raise OfferError(f"The offer has more than one {kind} section.")
        best = min(offered, key=lambda section: _rank(section, head, bundle, terms, pictures), default=None)
        fault = _fault(best, head, bundle, terms, pictures) if best else f"The offer has no {kind} section."
        if fault and kind in terms.required:
            raise OfferError(fault)
        if best is None:
            missing.append(fault)
        elif fault:
            faults.append(fault)
        else:
            taken.append(best)
    if not any(section.kind in ("audio", "video") for section in taken):
        raise OfferError([*faults, *missing][0])
    if not bundle and len(taken) > 1:
        raise OfferError("The offer does not bundle its sections.")
    for section in taken:
        _check(section, head)
    return taken


def _rank(
    section: MediaSection, head: list[str], bundle: tuple[str, ...], terms: Terms, pictures: Pictures | None
) -> tuple[bool, bool, int]:
    """Return the sort key of a section among its kind: bundled ones first, those with our codecs, then by direction."""
    direction = section.direction(head)
    known = direction in terms.directions
    place = terms.directions.index(direction) if known else len(DIRECTIONS)
    return bool(bundle) and section.name not in bundle, not _has_codec(section, pictures), place


def _fault(
    section: MediaSection, head: list[str], bundle: tuple[str, ...], terms: Terms, pictures: Pictures | None
) -> str:
    """Return why a section cannot be accepted; empty if it can."""
    if bundle and section.name not in bundle:
        return "The offer does not bundle its sections."
    if section.kind != "application" and section.direction(head) not in terms.directions:
        return f"The {section.kind} section is {section.direction(head)}, not {terms.directions[0]}."
    if section.kind in _PROTOCOLS and not _PROTOCOLS[section.kind].fullmatch(section.protocol):
        return (
            f"The {section.kind} section is sent by {section.protocol[:_LONGEST_NAME]}, not by {_USUAL[section.kind]}."
        )
    if not _has_codec(section, pictures):
        offered = ", ".join(_codec_names(section)[:_MOST_NAMES]) or "no codec by name"
        why = "; ".join(dict.fromkeys(one.fault(pictures) for one in h264_formats(section)))
        wanted = " or ".join(CODECS[section.kind]) + (f", and its H264 has {why}" if why else "")
        return f"The {section.kind} section offers {offered}; it needs {wanted}."
    return ""


def _codec_names(section: MediaSection) -> list[str]:
    """Return the names of the offered codecs, with the clock rate where it is not the codec's own."""
    names = {}
    for name, rate in section.encodings:
        is_own = _RATES.get(name.lower(), rate) == rate
        names[name[:_LONGEST_NAME] if is_own else f"{name}/{rate}"[:_LONGEST_NAME]] = True
    return list(names)


def _has_codec(section: MediaSection, pictures: Pictures | None) -> bool:
    wanted = {name.lower() for name in CODECS.get(section.kind, ())}
    offered = {name.lower() for name, rate in section.encodings if _RATES.get(name.lower()) == rate}
    if choose_format(h264_formats(section), pictures) is None:
        offered.discard("h264")
    return not wanted or bool(wanted & offered)


def _check(section: MediaSection, head: list[str]) -> None:
    """Raise OfferError if an accepted section cannot be read or connected to."""
    if not section.name:
        raise OfferError("The offer has a section without a name (a=mid), or with several.")
    lines = (*head, *section.lines)
    if not any(line.lower().startswith(FINGERPRINTS) for line in lines):  # aiortc takes it and then cannot connect
        raise OfferError(
            "The offer has a section without a fingerprint (a=fingerprint) by SHA-256, SHA-384 or SHA-512."
        )
    if not all(any(line.startswith(prefix) for line in lines) for prefix in ICE_PREFIXES):
        raise OfferError("The offer has a section without ICE credentials (a=ice-ufrag, a=ice-pwd).")
    if any(line.startswith("a=setup:") and line not in ROLES for line in lines):
        raise OfferError("The offer has a DTLS role that is none (a=setup must be actpass, active or passive).")
    if sum(map(is_candidate, section.lines)) > MAX_CANDIDATES:
        raise OfferError(f"The offer has more than {MAX_CANDIDATES} candidates.")
    if section.kind != "application" and "a=rtcp-mux" not in section.lines:
        raise OfferError(f"The {section.kind} section does not multiplex RTP and RTCP (a=rtcp-mux).")
