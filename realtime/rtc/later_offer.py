"""A later offer of a client on a connection that exists (RFC 9429, section 5.2.2): sections added, stopped or turned.

aiortc finds the tracks of a section by its place, and cannot reject one. So it gets all sections that were ever
accepted, in the order of the first offer; what the client has ended is inactive there and rejected in the answer.
"""

from lipstream.realtime.errors import OfferError
from lipstream.realtime.rtc.h264_formats import h264_formats
from lipstream.realtime.rtc.offer_terms import Terms
from lipstream.realtime.rtc.sdp import CheckedOffer, bundle_of, leading, offer_of, read_lines
from lipstream.realtime.rtc.sdp_sections import TRANSPORT_PREFIXES, MediaSection, split_sections

_SETUP_PREFIX = "a=setup:"


def is_later(sdp: str, before: CheckedOffer) -> bool:
    """Return whether an offer is for the transport of the one before: with its ICE credentials and its certificate.

    An offer with others restarts ICE or is of another client: it needs a connection of its own.

    Raises:
        TooLargeError: If it is larger than 64 KiB.
        OfferError: If it has too many lines or sections.
    """
    return _transport(read_lines(sdp)) == _transport(before.sdp.splitlines())


def check_later_offer(sdp: str, before: CheckedOffer, terms: Terms) -> CheckedOffer:
    """Return a later offer for aiortc, without candidates: the connection has its way.

    A section that was accepted stays accepted until the client ends it: with port 0, or with another section in its
    place. A section of data channels may be added; other new sections are rejected in the answer.

    Args:
        before: The last offer on this connection.
        terms: Terms of the connection.

    Raises:
        TooLargeError: If it is larger than 64 KiB.
        OfferError: If it has too many lines or sections, turns a section into one of another kind, or ends sound and
            picture.
    """
    head, sections = split_sections(read_lines(sdp))
    bundle = bundle_of(head, sections)
    usable = {section.name: section for section in sections if section.name and not section.is_disabled}
    if bundle:
        usable = {name: section for name, section in usable.items() if name in bundle}
    taken, going = [], []
    for known in before.taken:
        found = usable.get(known.name)
        if found and found.kind != known.kind:
            raise OfferError("The offer turns a section into one of another kind.")
        taken.append(found or known.turned_off())
        if found:
            going.append(found)
    added = [section for section in usable.values() if section.kind == "application" and bundle]
    if added and "application" in terms.known and "application" not in before.kinds:
        taken.append(added[0])
        going.append(added[0])
    if not any(section.kind in ("audio", "video") for section in going):
        raise OfferError("The offer ends sound and picture: close the connection instead.")
    formats = [one for section in taken for one in h264_formats(section) if not one.fault(None)]
    known_as = before.h264 and (before.h264.number, before.h264.profile)
    h264 = next((one for one in formats if (one.number, one.profile) == known_as), None)
    names = tuple(section.name for section in taken) if bundle else ()
    text = offer_of(head, taken, leading(going, bundle), names, h264, candidates=())
    stopped = frozenset(section.name for section in taken if section not in going)
    return CheckedOffer(text, tuple(sections), bundle, tuple(taken), h264, before.pictures, stopped)


def _transport(lines: list[str]) -> set[str]:
    """Return the lines that identify the transport of a bundle: ICE credentials and fingerprints."""
    head, sections = split_sections(lines)
    bundle = bundle_of(head, sections)
    tag = next((section for section in sections if not bundle or section.name == bundle[0]), MediaSection(("",)))
    told = {line for line in tag.lines if line.startswith(TRANSPORT_PREFIXES)}
    of_all = {line for line in head if line.startswith(TRANSPORT_PREFIXES)}
    return {line for line in told or of_all if not line.startswith(_SETUP_PREFIX)}
