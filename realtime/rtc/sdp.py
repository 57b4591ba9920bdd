"""The gate in front of aiortc's SDP parser: sizes, sections and candidates are checked before it reads a line.

What comes by trickle ICE (RFC 8840) passes the same gate.

The parser's work grows with the square of the candidates (5,000 of them stop the event loop for 3 s), and every
candidate that passes makes the server send datagrams to the address it names.
"""

import ipaddress
from dataclasses import dataclass

from realtime.errors import BadRequestError, OfferError, TooLargeError

MAX_OFFER_BYTES = 64 * 1024
MAX_LINES_PER_KIB = 64
FREE_LINES = 64
"""Lines that an offer of any size may have."""
MAX_CANDIDATES = 32
"""In one section; a browser that has not been told to bundle repeats its candidates in each."""
MAX_FRAGMENT_BYTES = 16 * 1024

BUNDLE_PREFIX, MID_PREFIX, FINGERPRINT_PREFIX = "a=group:BUNDLE", "a=mid:", "a=fingerprint:"
TRANSPORT_PREFIXES = ("a=ice-ufrag:", "a=ice-pwd:", FINGERPRINT_PREFIX, "a=setup:")
CANDIDATE_PREFIX = "a=candidate:"
END_OF_CANDIDATES = "a=end-of-candidates"
CANDIDATE_FIELDS = 8

METADATA_ADDRESSES = frozenset(
    ipaddress.ip_address(address) for address in ("168.63.129.16", "100.100.100.200", "fd00:ec2::254")
)
"""Cloud metadata services outside the link-local range, where the others are."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What an offer must be.

    Attributes:
        required: Kinds of media section that it must have.
        known: Kinds that it may have, at most one section each.
        directions: Of its sections of sound and picture.
        multiplexed: Whether each of them must say that RTP and RTCP share a port.
    """

    required: tuple[str, ...]
    known: tuple[str, ...]
    directions: tuple[str, ...] = ("sendrecv", "sendonly", "recvonly", "inactive")
    multiplexed: bool = False


SPEAKING = Terms(("audio", "video"), ("audio", "video", "application"))
"""A peer that speaks and watches. What its directions come to is seen in the answer."""
WATCHING = Terms((), ("audio", "video"), ("recvonly", "sendrecv"), multiplexed=True)
"""A WHEP player."""
PUBLISHING = Terms(("audio",), ("audio", "video"), ("sendonly", "sendrecv"), multiplexed=True)
"""A WHIP client."""


def check_offer(sdp: str, terms: Terms = SPEAKING, *, allow_loopback: bool = True) -> str:
    """Return an offer that is safe to parse, without the candidates that the server must not send to.

    Args:
        sdp: The offer as it came.
        terms: What it must be.
        allow_loopback: Whether the client may be on this machine.

    Returns:
        The offer's lines, ended by CRLF. All sections carry the candidates of the one that the bundle uses, and
        none says that these were all.

    Raises:
        TooLargeError: If it is over 64 KiB.
        OfferError: If it has too many lines, sections or candidates, or is not what the terms ask for.
    """
    size = len(sdp.encode("utf-8", errors="replace"))
    if size > MAX_OFFER_BYTES:
        raise TooLargeError(f"The offer is larger than {MAX_OFFER_BYTES // 1024} KiB.")
    lines = [line.strip() for line in sdp.replace("\r", "\n").split("\n")]
    lines = [line for line in lines if line]
    if len(lines) > max(FREE_LINES, MAX_LINES_PER_KIB * size // 1024):
        raise OfferError("The offer has too many lines.")
    if any(not line.isprintable() for line in lines):
        raise OfferError("The offer holds control characters.")
    head, sections = _split(lines)
    _check_sections(sections, terms)
    _check_fingerprints(head, sections)
    _check_media(head, sections, terms)
    tag = _bundle_tag(head, sections)
    if tag is not sections[0]:
        head, sections = _led_by_the_first(head, sections, tag)
    kept = [line for line in tag if _is_candidate(line) and _is_usable(line, allow_loopback=allow_loopback)]
    # That these are all is not passed on: told so, aioice gives a client up at once with none of whose candidates it
    # can make a pair, and takes its own out of the answer. Such a client may still be met by its own checks.
    for section in sections:
        head += [line for line in section if not _is_candidate(line) and line != END_OF_CANDIDATES]
        head += kept
    return "".join(f"{line}\r\n" for line in head)


def _split(lines: list[str]) -> tuple[list[str], list[list[str]]]:
    """Return the session's lines and those of each media section."""
    head: list[str] = []
    sections: list[list[str]] = []
    for line in lines:
        if line.startswith("m="):
            sections.append([line])
        else:
            (sections[-1] if sections else head).append(line)
    return head, sections


def _kind(section: list[str]) -> str:
    return section[0][2:].partition(" ")[0]


def _check_sections(sections: list[list[str]], terms: Terms) -> None:
    """Raise an OfferError unless the sections are those of the terms, with not too many candidates."""
    kinds = [_kind(section) for section in sections]
    for kind in kinds:
        if kind not in terms.known:
            raise OfferError(f"The offer has a section that is none of {', '.join(terms.known)}.")
        if kinds.count(kind) > 1:
            raise OfferError(f"The offer has more than one {kind} section.")
    for kind in terms.required:
        if kind not in kinds:
            raise OfferError(f"The offer has no {kind} section.")
    if not kinds:
        raise OfferError("The offer has no media.")
    for section in sections:
        if sum(map(_is_candidate, section)) > MAX_CANDIDATES:
            raise OfferError(f"The offer has more than {MAX_CANDIDATES} candidates.")


def _check_fingerprints(head: list[str], sections: list[list[str]]) -> None:
    """Raise an OfferError for a section without a fingerprint: the parser takes it, and fails while it connects."""
    for section in sections:
        if not any(line.startswith(FINGERPRINT_PREFIX) for line in (*head, *section)):
            raise OfferError("The offer has a section without a fingerprint.")


def _check_media(head: list[str], sections: list[list[str]], terms: Terms) -> None:
    """Raise an OfferError unless sound and picture go where the terms have them go."""
    every = {"a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"}
    default = next((line for line in head if line in every), "a=sendrecv")
    for section in sections:
        if _kind(section) == "application":
            continue
        direction = next((line for line in section if line in every), default).removeprefix("a=")
        if direction not in terms.directions:
            raise OfferError(f"The {_kind(section)} section is {direction}, not {terms.directions[0]}.")
        if terms.multiplexed and "a=rtcp-mux" not in section:
            raise OfferError(f"The {_kind(section)} section does not multiplex RTP and RTCP.")


def _bundle_tag(head: list[str], sections: list[list[str]]) -> list[str]:
    """Return the section whose transport all others share (RFC 9143, section 7.2).

    Raises:
        OfferError: If a section stands outside the bundle: the server opens one transport only. Also if a section has
            several names or there are several bundles: the parser would read others than are checked here.
    """
    by_mid: dict[str, list[str]] = {}
    for section in sections:
        names = [line[len(MID_PREFIX) :] for line in section if line.startswith(MID_PREFIX)]
        if len(names) != 1:
            raise OfferError("The offer has a section without a name, or with several.")
        by_mid[names[0]] = section
    if len(sections) == 1 and not any(line.startswith(BUNDLE_PREFIX) for line in head):
        return sections[0]
    bundles = [line[len(BUNDLE_PREFIX) :].split() for line in head if line.startswith(BUNDLE_PREFIX)]
    if len(by_mid) < len(sections) or len(bundles) != 1 or sorted(bundles[0]) != sorted(by_mid):
        raise OfferError("The offer does not bundle its sections.")
    return by_mid[bundles[0][0]]


def offered_kinds(offer: str) -> list[str]:
    """Return the kinds of media that a checked offer has, in order."""
    return [_kind([line]) for line in offer.splitlines() if line.startswith("m=")]


def multiplexed_only(answer: str) -> str:
    """Return an answer that says that RTCP has no port of its own (RFC 8858), as WHIP and WHEP want it."""
    return answer.replace("a=rtcp-mux\r\n", "a=rtcp-mux\r\na=rtcp-mux-only\r\n")


@dataclass(frozen=True, slots=True)
class IceFragment:
    """What a client says about its transport.

    Attributes:
        credentials: Username fragment and password; ``None`` for what is not said.
        candidates: Usable ones, without ``a=candidate:``.
        complete: Whether there will be no more.
    """

    credentials: tuple[str | None, str | None]
    candidates: tuple[str, ...]
    complete: bool


def ice_of(offer: str) -> IceFragment:
    """Return what an offer that was checked says."""
    return _ice(offer.splitlines(), allow_loopback=True)


def read_fragment(text: str, *, allow_loopback: bool = True) -> IceFragment:
    """Return what the body of a trickle PATCH says; candidates that cannot be used are left out.

    Raises:
        TooLargeError: If it is over 16 KiB.
        BadRequestError: If it is no SDP fragment.
    """
    if len(text.encode("utf-8", errors="replace")) > MAX_FRAGMENT_BYTES:
        raise TooLargeError(f"The fragment is larger than {MAX_FRAGMENT_BYTES // 1024} KiB.")
    lines = [line.strip() for line in text.replace("\r", "\n").split("\n")]
    lines = [line for line in lines if line]
    if not lines or any(line[1:2] != "=" or not line[0].isalpha() or not line.isprintable() for line in lines):
        raise BadRequestError("The body is not an SDP fragment.")
    ice = _ice(lines, allow_loopback=allow_loopback)
    if ice.credentials == (None, None):
        raise BadRequestError("The fragment does not say whose ICE session it is for.")
    return ice


def _ice(lines: list[str], *, allow_loopback: bool) -> IceFragment:
    def first(prefix: str) -> str | None:
        return next((line.removeprefix(prefix) for line in lines if line.startswith(prefix)), None)

    candidates = [line for line in lines if _is_candidate(line) and _is_usable(line, allow_loopback=allow_loopback)]
    return IceFragment(
        (first("a=ice-ufrag:"), first("a=ice-pwd:")),
        tuple(line.removeprefix(CANDIDATE_PREFIX) for line in dict.fromkeys(candidates)),
        END_OF_CANDIDATES in lines,
    )


def _led_by_the_first(head: list[str], sections: list[list[str]], tag: list[str]) -> tuple[list[str], list[list[str]]]:
    """Return the same offer with its bundle named in the order of the sections, all of them on the tag's transport.

    aiortc stops the transport of every section but the tag's, which is one and the same, unless the first is the tag.
    """
    shared = [line for line in tag if line.startswith(TRANSPORT_PREFIXES)]
    own = tuple(prefix for prefix in TRANSPORT_PREFIXES if any(line.startswith(prefix) for line in shared))
    led = [[line for line in section if not line.startswith(TRANSPORT_PREFIXES)] + shared for section in sections]
    names = [line[len(MID_PREFIX) :] for section in sections for line in section if line.startswith(MID_PREFIX)]
    head = [line for line in head if not line.startswith((BUNDLE_PREFIX, *own))]
    return [*head, f"{BUNDLE_PREFIX} {' '.join(names)}"], led


def _is_candidate(line: str) -> bool:
    return line.startswith(CANDIDATE_PREFIX)


def _is_usable(line: str, *, allow_loopback: bool) -> bool:
    """Tell whether the server may send connectivity checks to a candidate."""
    fields = line.removeprefix(CANDIDATE_PREFIX).split()
    if len(fields) < CANDIDATE_FIELDS or fields[2].lower() != "udp":
        return False
    if not (fields[5].isascii() and fields[5].isdigit() and 0 < int(fields[5][:6]) < 1 << 16):
        return False
    try:
        address = ipaddress.ip_address(fields[4])  # a name, such as that of an mDNS candidate, is no address
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return False
        address = address.ipv4_mapped or address
    if address.is_loopback:
        return allow_loopback
    return not (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_reserved
        or address in METADATA_ADDRESSES
    )
