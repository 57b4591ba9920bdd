"""The gate in front of aiortc's SDP parser: sizes, sections and candidates are checked before it reads a line.

The parser's work grows with the square of the candidates (5,000 of them stop the event loop for 3 s), and every
candidate that passes makes the server send datagrams to the address it names.
"""

import ipaddress

from realtime.errors import OfferError, TooLargeError

MAX_OFFER_BYTES = 64 * 1024
MAX_LINES_PER_KIB = 64
FREE_LINES = 64
"""Lines that an offer of any size may have."""
MAX_CANDIDATES = 32
"""In one section; a browser that has not been told to bundle repeats its candidates in each."""
REQUIRED_KINDS = ("audio", "video")
KNOWN_KINDS = (*REQUIRED_KINDS, "application")

BUNDLE_PREFIX, MID_PREFIX, FINGERPRINT_PREFIX = "a=group:BUNDLE", "a=mid:", "a=fingerprint:"
CANDIDATE_PREFIX = "a=candidate:"
CANDIDATE_FIELDS = 8

METADATA_ADDRESSES = frozenset(
    ipaddress.ip_address(address) for address in ("168.63.129.16", "100.100.100.200", "fd00:ec2::254")
)
"""Cloud metadata services outside the link-local range, where the others are."""


def check_offer(sdp: str, *, allow_loopback: bool = True) -> str:
    """Return an offer that is safe to parse, without the candidates that the server must not send to.

    Args:
        sdp: The offer as it came.
        allow_loopback: Whether the client may be on this machine.

    Returns:
        The offer's lines, ended by CRLF. All sections carry the candidates of the one that the bundle uses.

    Raises:
        TooLargeError: If it is over 64 KiB.
        OfferError: If it has too many lines, sections or candidates, or does not offer sound and picture bundled.
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
    _check_sections(sections)
    _check_fingerprints(head, sections)
    tag = _bundle_tag(head, sections)
    kept = [line for line in tag if _is_candidate(line) and _is_usable(line, allow_loopback=allow_loopback)]
    for section in sections:
        head += [line for line in section if not _is_candidate(line)]
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


def _check_sections(sections: list[list[str]]) -> None:
    """Raise an OfferError unless there is one section each of sound and picture, and little else."""
    kinds = [section[0][2:].partition(" ")[0] for section in sections]
    for kind in kinds:
        if kind not in KNOWN_KINDS:
            raise OfferError("The offer has a section that is neither audio, video nor application.")
        if kinds.count(kind) > 1:
            raise OfferError(f"The offer has more than one {kind} section.")
    for kind in REQUIRED_KINDS:
        if kind not in kinds:
            raise OfferError(f"The offer has no {kind} section.")
    for section in sections:
        if sum(map(_is_candidate, section)) > MAX_CANDIDATES:
            raise OfferError(f"The offer has more than {MAX_CANDIDATES} candidates.")


def _check_fingerprints(head: list[str], sections: list[list[str]]) -> None:
    """Raise an OfferError for a section without a fingerprint: the parser takes it, and fails while it connects."""
    for section in sections:
        if not any(line.startswith(FINGERPRINT_PREFIX) for line in (*head, *section)):
            raise OfferError("The offer has a section without a fingerprint.")


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
    bundles = [line[len(BUNDLE_PREFIX) :].split() for line in head if line.startswith(BUNDLE_PREFIX)]
    if len(by_mid) < len(sections) or len(bundles) != 1 or sorted(bundles[0]) != sorted(by_mid):
        raise OfferError("The offer does not bundle its sections.")
    return by_mid[bundles[0][0]]


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
