"""ICE candidates of a client: the rules for safe addresses, and candidates by trickle ICE (RFC 8840).

For every accepted candidate the server sends datagrams to the address that it names.
"""

import ipaddress
from dataclasses import dataclass

from lipstream.realtime.errors import BadRequestError, TooLargeError
from lipstream.realtime.rtc.peer_networks import METADATA_ADDRESSES, PeerNetworks, is_disguised

MAX_FRAGMENT_BYTES = 16 * 1024

CANDIDATE_PREFIX = "a=candidate:"
END_OF_CANDIDATES = "a=end-of-candidates"
CANDIDATE_FIELDS = 8

EVERY_NETWORK = PeerNetworks()


@dataclass(frozen=True, slots=True)
class IceFragment:
    """The ICE part of an offer or a trickle fragment.

    Attributes:
        credentials: Username fragment and password; ``None`` for one that is missing.
        candidates: Usable candidates, without ``a=candidate:``.
    """

    credentials: tuple[str | None, str | None]
    candidates: tuple[str, ...]
    complete: bool


def ice_of(offer: str) -> IceFragment:
    """Return the ICE part of an offer that passed ``check_offer``."""
    return _ice(offer.splitlines(), allow_loopback=True, networks=EVERY_NETWORK)


def read_fragment(text: str, *, allow_loopback: bool = True, networks: PeerNetworks = EVERY_NETWORK) -> IceFragment:
    """Return the ICE part of a trickle PATCH body, without unusable candidates.

    Raises:
        TooLargeError: If the body is larger than 16 KiB.
        BadRequestError: If it is not an SDP fragment or names no ICE credentials.
    """
    if len(text.encode("utf-8", errors="replace")) > MAX_FRAGMENT_BYTES:
        raise TooLargeError(f"The fragment is larger than {MAX_FRAGMENT_BYTES // 1024} KiB.")
    lines = [line.strip() for line in text.replace("\r", "\n").split("\n")]
    lines = [line for line in lines if line]
    if not lines or any(line[1:2] != "=" or not line[0].isalpha() or not line.isprintable() for line in lines):
        raise BadRequestError("The body is not an SDP fragment.")
    ice = _ice(lines, allow_loopback=allow_loopback, networks=networks)
    if ice.credentials == (None, None):
        raise BadRequestError("The fragment does not say whose ICE session it is for.")
    return ice


def _ice(lines: list[str], *, allow_loopback: bool, networks: PeerNetworks) -> IceFragment:
    def first(prefix: str) -> str | None:
        return next((line.removeprefix(prefix) for line in lines if line.startswith(prefix)), None)

    candidates = [
        line
        for line in lines
        if is_candidate(line) and is_usable(line, allow_loopback=allow_loopback, networks=networks)
    ]
    return IceFragment(
        (first("a=ice-ufrag:"), first("a=ice-pwd:")),
        tuple(line.removeprefix(CANDIDATE_PREFIX) for line in dict.fromkeys(candidates)),
        END_OF_CANDIDATES in lines,
    )


def is_candidate(line: str) -> bool:
    """Return whether a line of an offer or a fragment is a candidate."""
    return line.startswith(CANDIDATE_PREFIX)


def address_of(line: str) -> str:
    """Return the address in a candidate line that has all its fields."""
    return line.removeprefix(CANDIDATE_PREFIX).split()[4]


def is_usable(line: str, *, allow_loopback: bool, networks: PeerNetworks = EVERY_NETWORK) -> bool:
    """Return whether the server may send connectivity checks to a candidate."""
    fields = line.removeprefix(CANDIDATE_PREFIX).split()
    if len(fields) < CANDIDATE_FIELDS or fields[2].lower() != "udp":
        return False
    if not (fields[5].isascii() and fields[5].isdigit() and 0 < int(fields[5][:6]) < 1 << 16):
        return False
    try:
        address = ipaddress.ip_address(fields[4])  # ValueError for a name, as in an mDNS candidate
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
        or is_disguised(address)
        or address not in networks
    )
