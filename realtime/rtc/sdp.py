"""Offers, checked before aiortc's SDP parser reads a line, and answered in their own order.

The parser's work grows with the square of the candidates: 5,000 of them stop the event loop for 3 s.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from lipstream.realtime.errors import OfferError, TooLargeError
from lipstream.realtime.rtc.candidates import END_OF_CANDIDATES, is_candidate, is_usable
from lipstream.realtime.rtc.sdp_sections import DIRECTIONS, FINGERPRINT_PREFIX, MediaSection, split_sections

MAX_OFFER_BYTES = 64 * 1024
MAX_LINES_PER_KIB = 64
FREE_LINES = 64
"""Lines that an offer of any size may have."""
MAX_CANDIDATES = 32
"""In one section; a browser that has not been told to bundle repeats its candidates in each."""
MAX_SECTIONS = 16

BUNDLE_PREFIX = "a=group:BUNDLE"


@dataclass(frozen=True, slots=True)
class Terms:
    """What an offer must be, and which of its sections are taken.

    Attributes:
        required: Kinds of media section that it must have.
        known: Kinds of which one section each is taken.
        directions: Those of sound and picture that are taken, the best first.
        multiplexed: Whether each section that is taken must say that RTP and RTCP share a port.
        one_of_a_kind: Whether a second section of a kind refuses the offer (RFC 9725, section 4.4.2) instead of being
            rejected in the answer.
    """

    required: tuple[str, ...]
    known: tuple[str, ...]
    directions: tuple[str, ...] = ("sendrecv", "recvonly", "sendonly", "inactive")
    multiplexed: bool = False
    one_of_a_kind: bool = False


SPEAKING = Terms(("audio", "video"), ("audio", "video", "application"))
"""A peer that speaks and watches. What its directions come to is seen in the answer."""
WATCHING = Terms((), ("audio", "video"), ("recvonly", "sendrecv"), multiplexed=True)
"""A WHEP player."""
PUBLISHING = Terms(("audio",), ("audio", "video"), ("sendonly", "sendrecv"), multiplexed=True, one_of_a_kind=True)
"""A WHIP client."""


@dataclass(frozen=True, slots=True)
class CheckedOffer:
    """An offer whose sections have been chosen among.

    aiortc reads ``sdp``, which has the sections that are taken, sound first: it takes the first transport that it makes
    for the bundle's, and can reject no section. The client gets an answer to all of them, in its own order.

    Attributes:
        sdp: What aiortc is to read, ended by CRLF.
        sections: All sections of the offer, in its order.
        bundle: Names of the offer's bundle in its order; empty if it has none.
        kinds: Kinds of the sections that are taken, sound first.
    """

    sdp: str
    sections: tuple[MediaSection, ...]
    bundle: tuple[str, ...]
    kinds: tuple[str, ...]

    def answer(self, sdp: str) -> str:
        """Return aiortc's answer with a section for each of the offer's; those that were not taken are rejected."""
        head, answered = split_sections(sdp.splitlines())
        by_name = {section.name: section for section in answered}
        bundled = " ".join(name for name in self.bundle if name in by_name)
        lines = [line for line in head if not line.startswith(BUNDLE_PREFIX)]
        if bundled:
            lines.append(f"{BUNDLE_PREFIX} {bundled}")
        for section in self.sections:
            lines += by_name[section.name].lines if section.name in by_name else section.rejected()
        return _text(lines)


def check_offer(sdp: str, terms: Terms = SPEAKING, *, allow_loopback: bool = True) -> CheckedOffer:
    """Return an offer that is safe to parse, without the candidates that the server must not send to.

    The sections that are taken carry the candidates and the transport of the one that the bundle uses, and none says
    that these candidates were all.

    Args:
        sdp: The offer as it came.
        terms: What it must be.
        allow_loopback: Whether the client may be on this machine.

    Raises:
        TooLargeError: If it is over 64 KiB.
        OfferError: If it has too many lines, sections or candidates, or is not what the terms ask for.
    """
    head, sections = split_sections(_read(sdp))
    bundle = _bundle(head, sections)
    taken = _taken(head, sections, bundle, terms)
    tag = min(taken, key=lambda section: bundle.index(section.name) if bundle else 0)
    kept = [line for line in tag.lines if is_candidate(line) and is_usable(line, allow_loopback=allow_loopback)]
    lines = [line for line in head if not line.startswith(BUNDLE_PREFIX)]
    if bundle:
        lines.append(f"{BUNDLE_PREFIX} {' '.join(section.name for section in taken)}")
    # That these are all is not passed on: told so, aioice gives a client up at once with none of whose candidates it
    # can make a pair, and takes its own out of the answer. Such a client may still be met by its own checks.
    for section in taken:
        led = section.on_the_transport_of(tag)
        lines += [line for line in led if not is_candidate(line) and line != END_OF_CANDIDATES]
        lines += kept
    return CheckedOffer(_text(lines), tuple(sections), bundle, tuple(section.kind for section in taken))


def _read(sdp: str) -> list[str]:
    """Return the lines of an offer, bounded."""
    size = len(sdp.encode("utf-8", errors="replace"))
    if size > MAX_OFFER_BYTES:
        raise TooLargeError(f"The offer is larger than {MAX_OFFER_BYTES // 1024} KiB.")
    lines = [line.strip() for line in sdp.replace("\r", "\n").split("\n")]
    lines = [line for line in lines if line]
    if len(lines) > max(FREE_LINES, MAX_LINES_PER_KIB * size // 1024):
        raise OfferError("The offer has too many lines.")
    if any(not line.isprintable() for line in lines):
        raise OfferError("The offer holds control characters.")
    return lines


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\r\n" for line in lines)


def _bundle(head: list[str], sections: list[MediaSection]) -> tuple[str, ...]:
    """Return the names in the offer's bundle; none if it has no bundle.

    Raises:
        OfferError: If there are several bundles, or a name that no section or more than one has: aiortc would read
            others than are checked here.
    """
    if len(sections) > MAX_SECTIONS:
        raise OfferError(f"The offer has more than {MAX_SECTIONS} sections.")
    names = [section.name for section in sections if section.name]
    bundles = [line.removeprefix(BUNDLE_PREFIX).split() for line in head if line.startswith(BUNDLE_PREFIX)]
    bundle = bundles[0] if bundles else []
    if len(bundles) > 1 or len(set(bundle)) < len(bundle) or not set(bundle) <= set(names):
        raise OfferError("The offer does not bundle its sections.")
    if len(set(names)) < len(names):
        raise OfferError("The offer has two sections of one name.")
    return tuple(bundle)


def _taken(head: list[str], sections: list[MediaSection], bundle: tuple[str, ...], terms: Terms) -> list[MediaSection]:
    """Return the section of each kind that is taken, sound first; one of sound or picture at least."""
    taken, faults = [], []
    for kind in terms.known:
        offered = [section for section in sections if section.kind == kind and not section.is_disabled]
        if terms.one_of_a_kind and len(offered) > 1:
            raise OfferError(f"The offer has more than one {kind} section.")
        best = min(offered, key=lambda section: _rank(section, head, bundle, terms), default=None)
        fault = _fault(best, head, bundle, terms) if best else f"The offer has no {kind} section."
        if fault and kind in terms.required:
            raise OfferError(fault)
        if fault:
            faults.append(fault)
        elif best:
            taken.append(best)
    if not any(section.kind in ("audio", "video") for section in taken):
        raise OfferError(faults[0])
    if not bundle and len(taken) > 1:
        raise OfferError("The offer does not bundle its sections.")
    for section in taken:
        _check(section, head, terms)
    return taken


def _rank(section: MediaSection, head: list[str], bundle: tuple[str, ...], terms: Terms) -> tuple[bool, int]:
    """Return what sorts a kind's sections: those in the bundle first, and of these the best direction."""
    direction = section.direction(head)
    known = direction in terms.directions
    return bool(bundle) and section.name not in bundle, terms.directions.index(direction) if known else len(DIRECTIONS)


def _fault(section: MediaSection, head: list[str], bundle: tuple[str, ...], terms: Terms) -> str:
    """Return why a section cannot be taken; empty if it can."""
    if bundle and section.name not in bundle:
        return "The offer does not bundle its sections."
    if section.kind != "application" and section.direction(head) not in terms.directions:
        return f"The {section.kind} section is {section.direction(head)}, not {terms.directions[0]}."
    return ""


def _check(section: MediaSection, head: list[str], terms: Terms) -> None:
    """Raise an OfferError for a section that is taken, and cannot be read or connected to."""
    if not section.name:
        raise OfferError("The offer has a section without a name, or with several.")
    if not any(line.startswith(FINGERPRINT_PREFIX) for line in (*head, *section.lines)):
        raise OfferError("The offer has a section without a fingerprint.")  # aiortc takes it, and fails to connect
    if sum(map(is_candidate, section.lines)) > MAX_CANDIDATES:
        raise OfferError(f"The offer has more than {MAX_CANDIDATES} candidates.")
    if terms.multiplexed and "a=rtcp-mux" not in section.lines:
        raise OfferError(f"The {section.kind} section does not multiplex RTP and RTCP.")


def multiplexed_only(answer: str) -> str:
    """Return an answer that says that RTCP has no port of its own (RFC 8858), as WHIP and WHEP want it."""
    return answer.replace("a=rtcp-mux\r\n", "a=rtcp-mux\r\na=rtcp-mux-only\r\n")
