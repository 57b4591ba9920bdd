"""Where streams may go. The module is pure but for `resolve`, which looks a name up once.

A request names the address of a stream, so the server must not become a way into the network that it stands in. Public
addresses are allowed, with encryption where the protocol is HTTP. Others need the operator's word: the option
``push_to`` lists hosts and networks, and each address of the option ``push`` allows its own origin.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lipstream.realtime.errors import BadRequestError, SettingsError
from lipstream.realtime.rtc.candidates import METADATA_ADDRESSES
from lipstream.realtime.settings import Settings
from lipstream.realtime.sinks.stream_address import PORTS, StreamAddress, StreamConnectionError

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Origin = tuple[str, str, int]
"""Scheme, host in lower case, port."""

_ASSIGNED = ipaddress.ip_network("2000::/3")
_PROTOCOLS = ipaddress.ip_network("192.0.0.0/24")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_REFUSED = (
    "streams may not go to this address; the server's option push_to lists hosts and networks that they may reach"
)
_PLAIN = "a WHIP endpoint needs https://; the server's option push_to lists hosts that http:// may reach"


@dataclass(frozen=True, slots=True)
class StreamTargets:
    """Hosts and addresses that streams may go to beside public ones.

    Attributes:
        hosts: Names in lower case; each may be on any network.
        networks: Networks that any name may lead to.
        origins: Endpoints that the operator's settings name.
    """

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()
    origins: frozenset[Origin] = frozenset()

    @classmethod
    def of(cls, listed: Iterable[str], endpoints: Iterable[StreamAddress] = ()) -> "StreamTargets":
        """Return the targets of a list of host names, addresses and networks in CIDR form.

        Args:
            endpoints: Addresses of streams whose origins are allowed too.
        """
        hosts: set[str] = set()
        networks: list[Network] = []
        for entry in listed:
            try:
                networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                hosts.add(_name(entry))
        return cls(frozenset(hosts), tuple(networks), frozenset(map(_origin, endpoints)))

    def check(self, address: StreamAddress) -> None:
        """Check an address whose host is not a name; names are checked when they are resolved.

        Raises:
            BadRequestError: If a stream may not go there.
        """
        try:
            ip = ipaddress.ip_address(address.parts.hostname or "")
        except ValueError:
            return
        if fault := self._fault(address, ip):
            raise BadRequestError(fault)

    async def resolve(self, address: StreamAddress) -> Sequence[str]:
        """Return the IP addresses of a stream's host that the stream may go to, in the order of preference.

        The caller connects to one of them and does not look the name up again: it could lead elsewhere then.

        Raises:
            StreamConnectionError: If a stream may go to none of them.
            OSError: If the host has no address.
        """
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(address.parts.hostname, port_of(address), type=socket.SOCK_STREAM)
        faults = {str(entry[4][0]): self._fault(address, _ip(str(entry[4][0]))) for entry in found}
        allowed = [text for text, fault in faults.items() if not fault]
        if not allowed:
            raise StreamConnectionError(next(iter(faults.values())) or _REFUSED)
        return allowed

    def allows(self, text: str) -> bool:
        """Return whether an IP address is public or in a listed network."""
        ip = _ip(text)
        return is_public(ip) or self._is_listed(ip)

    def _fault(self, address: StreamAddress, ip: Ip) -> str:
        """Return why a stream may not go to an address; empty if it may."""
        if _name(address.parts.hostname or "") in self.hosts or _origin(address) in self.origins or self._is_listed(ip):
            return ""
        if not is_public(ip):
            return _REFUSED
        return _PLAIN if address.parts.scheme == "http" else ""

    def _is_listed(self, ip: Ip) -> bool:
        ip = getattr(ip, "ipv4_mapped", None) or ip
        return any(ip in network for network in self.networks)


def stream_targets(settings: Settings) -> StreamTargets:
    """Return the targets that the options ``push_to`` and ``push`` allow.

    Raises:
        SettingsError: If an address of ``push`` cannot be streamed to. The message does not repeat the address, which
            may hold a key.
    """
    endpoints = []
    for place, url in enumerate(settings.push, 1):
        try:
            endpoints.append(StreamAddress.parse(url))
        except BadRequestError as error:
            raise SettingsError(f"push, address {place}: {error.message}") from error
    return StreamTargets.of(settings.streamed_to, endpoints)


def is_public(ip: Ip) -> bool:
    """Return whether an address belongs to the public internet, also the address that it embeds."""
    if ip in METADATA_ADDRESSES:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return ip.is_global and not ip.is_multicast and ip not in _PROTOCOLS
    if ip.ipv4_mapped:
        return is_public(ip.ipv4_mapped)
    if ip in _NAT64:
        return is_public(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    embedded = [*([ip.sixtofour] if ip.sixtofour else []), *(ip.teredo or ())]
    return ip in _ASSIGNED and (bool(embedded) or ip.is_global) and all(map(is_public, embedded))


def port_of(address: StreamAddress) -> int:
    """Return the port of an address, or else that of its protocol."""
    return address.parts.port or PORTS[address.parts.scheme]


def _origin(address: StreamAddress) -> Origin:
    return address.parts.scheme, _name(address.parts.hostname or ""), port_of(address)


def _name(host: str) -> str:
    return host.lower().rstrip(".")


def _ip(text: str) -> Ip:
    return ipaddress.ip_address(text.partition("%")[0])
