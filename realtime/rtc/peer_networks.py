"""Addresses that requests may name: which of them are public, and which the operator allows for calls."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

METADATA_ADDRESSES = frozenset(
    ipaddress.ip_address(address) for address in ("168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254")
)
"""Cloud metadata services outside the link-local range; all others lie in it."""

PUBLIC = "public"
_ASSIGNED = ipaddress.ip_network("2000::/3")
_PROTOCOLS = ipaddress.ip_network("192.0.0.0/24")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")


def embedded_in(ip: Ip) -> list[ipaddress.IPv4Address]:
    """Return the IPv4 addresses that an IPv6 address leads to: mapped, NAT64 (RFC 6052), 6to4 and Teredo ones."""
    if isinstance(ip, ipaddress.IPv4Address):
        return []
    if ip.ipv4_mapped:
        return [ip.ipv4_mapped]
    if ip in _NAT64:
        return [ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)]
    return [*([ip.sixtofour] if ip.sixtofour else []), *(ip.teredo or ())]


def is_public(ip: Ip) -> bool:
    """Return whether an address belongs to the public internet, also the address that it embeds."""
    if ip in METADATA_ADDRESSES:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return ip.is_global and not ip.is_multicast and ip not in _PROTOCOLS
    embedded = embedded_in(ip)
    if ip.ipv4_mapped or ip in _NAT64:
        return all(map(is_public, embedded))
    return ip in _ASSIGNED and (bool(embedded) or ip.is_global) and all(map(is_public, embedded))


def is_disguised(ip: Ip) -> bool:
    """Return whether an IPv6 address leads to an IPv4 address that is not public, through a translator or tunnel."""
    if isinstance(ip, ipaddress.IPv4Address) or ip.ipv4_mapped:
        return False  # a mapped one is no way through a network
    return ip in _LOCAL_NAT64 or not all(map(is_public, embedded_in(ip)))


@dataclass(frozen=True, slots=True)
class PeerNetworks:
    """The addresses that candidates of a client may name; without any entry, every address is allowed.

    Attributes:
        public: Whether public addresses are allowed.
        networks: Further allowed networks.
    """

    public: bool = False
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, entries: Sequence[str]) -> "PeerNetworks":
        """Return the networks of a list of addresses, networks in CIDR form and the word ``public``.

        Raises:
            ValueError: If an entry is none of these.
        """
        networks = tuple(ipaddress.ip_network(entry, strict=False) for entry in entries if entry != PUBLIC)
        return cls(PUBLIC in entries, networks)

    def __contains__(self, ip: Ip) -> bool:
        """Return whether a candidate may name an address."""
        if not self.public and not self.networks:
            return True
        return (self.public and is_public(ip)) or any(ip in network for network in self.networks)
