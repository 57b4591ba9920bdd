"""Checks offers before aiortc's SDP parser sees them, and writes answers in the offer's order.

The parser's work grows with the square of the number of candidates: 5,000 of them stop the event loop for 3 s.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lipstream.realtime.errors import OfferError, TooLargeError
from lipstream.realtime.rtc.candidates import END_OF_CANDIDATES, EVERY_NETWORK, address_of, is_candidate, is_usable
from lipstream.realtime.rtc.peer_networks import PeerNetworks
from lipstream.realtime.rtc.sdp_sections import DIRECTIONS, FINGERPRINT_PREFIX, MediaSection, split_sections

MAX_OFFER_BYTES = 64 * 1024
MAX_LINES_PER_KIB = 64
FREE_LINES = 64
"""Lines that an offer of any size may have."""
MAX_CANDIDATES = 32
"""Limit per section; a browser without bundling repeats its candidates in each section."""
MAX_SECTIONS = 16

BUNDLE_PREFIX = "a=group:BUNDLE"


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


@dataclass(frozen=True, slots=True)
class CheckedOffer:
    """An offer with the chosen sections.

    aiortc reads ``sdp``, which holds the accepted sections alone, sound first: aiortc uses the first transport it makes
    for the whole bundle and cannot reject a section. The client gets an answer to all sections, in its own order.

    Attributes:
        sdp: SDP for aiortc, lines ended by CRLF.
        bundle: Names of the offer's bundle in its order; empty if it has none.
    """

    sdp: str
    sections: tuple[MediaSection, ...]
    bundle: tuple[str, ...]
    kinds: tuple[str, ...]

    def answer(self, sdp: str) -> str:
        """Return aiortc's answer completed to one section for each section of the offer; the others are rejected."""
        head, answered = split_sections(sdp.splitlines())
        by_name = {section.name: section for section in answered}
        bundled = " ".join(name for name in self.bundle if name in by_name)
        lines = [line for line in head if not line.startswith(BUNDLE_PREFIX)]
        if bundled:
            lines.append(f"{BUNDLE_PREFIX} {bundled}")
        for section in self.sections:
            lines += by_name[section.name].lines if section.name in by_name else section.rejected()
        return _text(lines)


def check_offer(
    sdp: str, terms: Terms = SPEAKING, *, allow_loopback: bool = True, networks: PeerNetworks = EVERY_NETWORK
) -> CheckedOffer:
    """Return an offer that is safe to parse, without candidates that the server must not send to.

    The accepted sections all carry the candidates and the transport of the section that leads the bundle. The line
    ``a=end-of-candidates`` is left out.

    Args:
        allow_loopback: Whether loopback candidates may stay; default true.
        networks: Other addresses that candidates may name; default all that are not refused in any case.

    Raises:
        TooLargeError: If the offer is larger than 64 KiB.
        OfferError: If it has too many lines, sections or candidates, or does not meet the terms.
    """
    head, sections = split_sections(_read(sdp))
    bundle = _bundle(head, sections)
    taken = _taken(head, sections, bundle, terms)
    tag = min(taken, key=lambda section: bundle.index(section.name) if bundle else 0)
    kept = [
        line
        for line in tag.lines
        if is_candidate(line) and is_usable(line, allow_loopback=allow_loopback, networks=networks)
    ]
    lines = [line for line in head if not line.startswith(BUNDLE_PREFIX)]
    if bundle:
        lines.append(f"{BUNDLE_PREFIX} {' '.join(section.name for section in taken)}")
    # End-of-candidates is left out: with it, aioice gives up at once on a client without a usable candidate and drops
    # its own candidates from the answer. Such a client can still connect by its own checks.
    for section in taken:
        led = section.on_the_transport_of(tag)
        lines += [line for line in led if not is_candidate(line) and line != END_OF_CANDIDATES]
        lines += kept
    return CheckedOffer(_text(lines), tuple(sections), bundle, tuple(section.kind for section in taken))


def check_answer(sdp: str, allows: Callable[[str], bool]) -> str:
    """Return a server's answer that is safe to parse, with candidates at allowed addresses alone.

    Args:
        allows: Returns whether connectivity checks may be sent to an IP address.

    Raises:
        TooLargeError: If the answer is larger than 64 KiB.
        OfferError: If it has too many lines.
    """
    lines = _read(sdp)
    candidates = [line for line in lines if is_candidate(line)]
    kept = {line for line in candidates if is_usable(line, allow_loopback=True) and allows(address_of(line))}
    for line in list(dict.fromkeys(candidates))[MAX_CANDIDATES:]:
        kept.discard(line)
    return _text(line for line in lines if not is_candidate(line) or line in kept)


def _read(sdp: str) -> list[str]:
    """Return the lines of an offer within the size limits."""
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
    """Return the names in the offer's bundle; empty if it has none.

    Raises:
        OfferError: If there are several bundles or sections, or if a bundled name is unknown or not unique: aiortc
            would then read other sections than the checked ones.
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
    """Return the accepted section of each kind, sound first; at least one of them is sound or picture."""
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
    """Return the sort key of a section among its kind: bundled ones first, then by direction."""
    direction = section.direction(head)
    known = direction in terms.directions
    return bool(bundle) and section.name not in bundle, terms.directions.index(direction) if known else len(DIRECTIONS)


def _fault(section: MediaSection, head: list[str], bundle: tuple[str, ...], terms: Terms) -> str:
    """Return why a section cannot be accepted; empty if it can."""
    if bundle and section.name not in bundle:
        return "The offer does not bundle its sections."
    if section.kind != "application" and section.direction(head) not in terms.directions:
        return f"The {section.kind} section is {section.direction(head)}, not {terms.directions[0]}."
    return ""


def _check(section: MediaSection, head: list[str], terms: Terms) -> None:
    """Raise OfferError if an accepted section cannot be read or connected to."""
    if not section.name:
        raise OfferError("The offer has a section without a name (a=mid), or with several.")
    if not any(line.startswith(FINGERPRINT_PREFIX) for line in (*head, *section.lines)):
        raise OfferError("The offer has a section without a fingerprint.")  # aiortc accepts it and then cannot connect
    if sum(map(is_candidate, section.lines)) > MAX_CANDIDATES:
        raise OfferError(f"The offer has more than {MAX_CANDIDATES} candidates.")
    if terms.multiplexed and "a=rtcp-mux" not in section.lines:
        raise OfferError(f"The {section.kind} section does not multiplex RTP and RTCP.")


def multiplexed_only(answer: str) -> str:
    """Return an answer with ``rtcp-mux-only`` (RFC 8858), which WHIP and WHEP require."""
    return answer.replace("a=rtcp-mux\r\n", "a=rtcp-mux\r\na=rtcp-mux-only\r\n")
