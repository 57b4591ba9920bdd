"""Checks offers before aiortc's SDP parser sees them, and writes answers in the offer's order.

The parser's work grows with the square of the number of candidates: 5,000 of them stop the event loop for 3 s.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lipstream.realtime.encoding.h264_level import Pictures
from lipstream.realtime.errors import OfferError, TooLargeError
from lipstream.realtime.rtc.candidates import END_OF_CANDIDATES, EVERY_NETWORK, address_of, is_candidate, is_usable
from lipstream.realtime.rtc.h264_formats import (
    PARAMETERS_PREFIX,
    H264Format,
    choose_format,
    h264_formats,
    with_one_format,
)
from lipstream.realtime.rtc.offer_terms import MAX_CANDIDATES, SPEAKING, Terms, take_sections
from lipstream.realtime.rtc.peer_networks import PeerNetworks
from lipstream.realtime.rtc.readable_section import readable
from lipstream.realtime.rtc.sdp_sections import MediaSection, split_sections

MAX_OFFER_BYTES = 64 * 1024
MAX_LINES_PER_KIB = 64
FREE_LINES = 64
"""Lines that an offer of any size may have."""
MAX_SECTIONS = 16
BUNDLE_PREFIX = "a=group:BUNDLE"


@dataclass(frozen=True, slots=True)
class CheckedOffer:
    """An offer with the chosen sections.

    aiortc reads ``sdp``, which holds the accepted sections alone, sound first: aiortc uses the first transport it makes
    for the whole bundle and cannot reject a section. The client gets an answer to all sections, in its own order.

    Attributes:
        sdp: SDP for aiortc, lines ended by CRLF.
        sections: The offer's sections, all of them in its order.
        bundle: Names of the offer's bundle in its order; empty if it has none.
        taken: The sections that aiortc gets, in its order.
        h264: The format of H.264 that aiortc gets; ``None`` for none.
        pictures: The pictures to send; ``None`` if they come from the client.
        stopped: Names of sections that were accepted before, and that the client has ended.
    """

    sdp: str
    sections: tuple[MediaSection, ...]
    bundle: tuple[str, ...]
    taken: tuple[MediaSection, ...]
    h264: H264Format | None
    pictures: Pictures | None
    stopped: frozenset[str] = frozenset()

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of the sections that aiortc gets."""
        return tuple(section.kind for section in self.taken)

    def answer(self, sdp: str) -> str:
        """Return aiortc's answer completed to one section for each section of the offer; the others are rejected."""
        head, answered = split_sections(sdp.splitlines())
        by_name = {section.name: section for section in answered if section.name not in self.stopped}
        bundled = " ".join(name for name in self.bundle if name in by_name)
        lines = [line for line in head if not line.startswith(BUNDLE_PREFIX)]
        if bundled:
            lines.append(f"{BUNDLE_PREFIX} {bundled}")
        for section in self.sections:
            found = by_name.get(section.name)
            lines += self._completed(found, section.protocol) if found else section.rejected()
        return _text(lines)

    def _completed(self, answered: MediaSection, protocol: str) -> Iterable[str]:
        """Return the lines of an answered section, with the offer's protocol and what fits it of H.264."""
        media, port, _, *formats = answered.lines[0].split()
        first = " ".join((media, port, protocol, *formats))
        if self.h264 is None or answered.kind != "video":
            return first, *answered.lines[1:]
        own, right = f"{PARAMETERS_PREFIX}{self.h264.number} ", self.h264.answer(self.pictures)
        return first, *(right if line.startswith(own) else line for line in answered.lines[1:])


def check_offer(
    sdp: str,
    terms: Terms = SPEAKING,
    *,
    allow_loopback: bool = True,
    networks: PeerNetworks = EVERY_NETWORK,
    pictures: Pictures | None = None,
) -> CheckedOffer:
    """Return an offer that is safe to parse, without candidates that the server must not send to.

    The accepted sections all carry the candidates and the transport of the section that leads the bundle. The line
    ``a=end-of-candidates`` is left out.

    Args:
        allow_loopback: Whether loopback candidates may stay; default true.
        networks: Other addresses that candidates may name; default all that are not refused in any case.
        pictures: The pictures to send, for which a format is chosen; default ``None``: they come from the client.

    Raises:
        TooLargeError: If the offer is larger than 64 KiB.
        OfferError: If it has too many lines, sections or candidates, or does not meet the terms.
    """
    head, sections = split_sections(read_lines(sdp))
    bundle = bundle_of(head, sections)
    taken = take_sections(head, sections, bundle, terms, pictures)
    h264 = choose_format([one for section in taken for one in h264_formats(section)], pictures)
    tag = leading(taken, bundle)
    kept = [
        line
        for line in tag.lines
        if is_candidate(line) and is_usable(line, allow_loopback=allow_loopback, networks=networks)
    ]
    sdp = offer_of(head, taken, tag, bundle, h264, candidates=kept)
    return CheckedOffer(sdp, tuple(sections), bundle, tuple(taken), h264, pictures)


def leading(taken: Iterable[MediaSection], bundle: tuple[str, ...]) -> MediaSection:
    """Return the section whose transport carries the bundle (RFC 9143, section 7.2.1)."""
    return min(taken, key=lambda section: bundle.index(section.name) if bundle else 0)


def offer_of(
    head: list[str],
    taken: Iterable[MediaSection],
    tag: MediaSection,
    bundle: tuple[str, ...],
    h264: H264Format | None,
    *,
    candidates: Iterable[str],
) -> str:
    """Return an offer of some sections as aiortc gets it, all on the transport of one."""
    lines = [line for line in head if not line.startswith(BUNDLE_PREFIX)]
    if bundle:
        lines.append(f"{BUNDLE_PREFIX} {' '.join(section.name for section in taken)}")
    # End-of-candidates is left out: with it, aioice gives up at once on a client without a usable candidate and drops
    # its own candidates from the answer. Such a client can still connect by its own checks.
    for section in taken:
        led = readable(MediaSection(tuple(section.on_the_transport_of(tag))), head)
        led = with_one_format(led, h264) if section.kind == "video" else led
        lines += [line for line in led.lines if not is_candidate(line) and line != END_OF_CANDIDATES]
        lines += candidates
    return _text(lines)


def check_answer(sdp: str, allows: Callable[[str], bool]) -> str:
    """Return a server's answer that is safe to parse, with candidates at allowed addresses alone.

    Args:
        allows: Returns whether connectivity checks may be sent to an IP address.

    Raises:
        TooLargeError: If the answer is larger than 64 KiB.
        OfferError: If it has too many lines.
    """
    lines = read_lines(sdp)
    candidates = [line for line in lines if is_candidate(line)]
    kept = {line for line in candidates if is_usable(line, allow_loopback=True) and allows(address_of(line))}
    for line in list(dict.fromkeys(candidates))[MAX_CANDIDATES:]:
        kept.discard(line)
    return _text(line for line in lines if not is_candidate(line) or line in kept)


def read_lines(sdp: str) -> list[str]:
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


def bundle_of(head: list[str], sections: list[MediaSection]) -> tuple[str, ...]:
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


def multiplexed_only(answer: str) -> str:
    """Return an answer with ``rtcp-mux-only`` (RFC 8858), which WHIP and WHEP require."""
    return answer.replace("a=rtcp-mux\r\n", "a=rtcp-mux\r\na=rtcp-mux-only\r\n")
