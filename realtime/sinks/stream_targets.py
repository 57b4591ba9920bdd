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
from lipstream.realtime.rtc.peer_networks import Ip, Network, is_public
from lipstream.realtime.settings import Settings
from lipstream.realtime.sinks.stream_address import PORTS, StreamAddress, StreamConnectionError

Origin = tuple[str, str, int]
"""Scheme, host in lower case, port."""

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

    def allows_media(self, address: StreamAddress, hosts: Sequence[str], text: str) -> bool:
        """Return whether the server at an address may name an IP address as its own for media.

        A server that the operator lists may name any: its media may be on another network than its name. Others may
        name public addresses and those of listed networks.

        Args:
            hosts: IP addresses that :meth:`resolve` returned for the address.
            text: IP address to check.
        """
        if self._is_trusted(address) or any(self._is_listed(_ip(host)) for host in hosts):
            return True
        return is_public(_ip(text)) or self._is_listed(_ip(text))

    def _fault(self, address: StreamAddress, ip: Ip) -> str:
        """Return why a stream may not go to an address; empty if it may."""
        if self._is_trusted(address) or self._is_listed(ip):
            return ""
        if not is_public(ip):
            return _REFUSED
        return _PLAIN if address.parts.scheme == "http" else ""

    def _is_trusted(self, address: StreamAddress) -> bool:
        return _name(address.parts.hostname or "") in self.hosts or _origin(address) in self.origins

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


def port_of(address: StreamAddress) -> int:
    """Return the port of an address, or else that of its protocol."""
    return address.parts.port or PORTS[address.parts.scheme]


def _origin(address: StreamAddress) -> Origin:
    return address.parts.scheme, _name(address.parts.hostname or ""), port_of(address)


def _name(host: str) -> str:
    return host.lower().rstrip(".")


def _ip(text: str) -> Ip:
    return ipaddress.ip_address(text.partition("%")[0])
