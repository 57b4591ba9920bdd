"""Which connections a server keeps: how many in all and for one network, and how long each may keep it waiting. Pure.

A connection of which the server waits for something costs a descriptor and gives nothing: when all places are taken,
those make way for a new one, first those that have sent no request, and of these the one that has waited longest. A
client that means to ask does so within a round trip. Only where every connection is at work is a new one refused.
"""

import enum
import ipaddress
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from lipstream.realtime.rate_limit import RateLimit

HEAD_S = 10.0
"""For a TLS handshake and a request's head together, from the connection or the last answer on."""
BODY_S = 30.0
BODY_BYTES_PER_S = 4096
"""A body may take ``BODY_S``, and as long as its bytes so far take at this rate."""
WRITE_S = 30.0
"""For a client to take what waits to be sent."""

NEW_BURST, NEW_PER_S = 200, 40.0
"""Connections that one network may open: each costs more than the refusal of one."""


class ConnectionState(enum.Enum):
    """What a connection does; those of the first three may be closed for another, in this order."""

    WAITING = enum.auto()
    """It has no request."""
    RECEIVING = enum.auto()
    """A request's body comes."""
    SENDING = enum.auto()
    """The client has to take what is sent first."""
    WORKING = enum.auto()
    """The server is at work on a request, or it is a WebSocket."""


_YIELDING = (ConnectionState.WAITING, ConnectionState.RECEIVING, ConnectionState.SENDING)


@dataclass(frozen=True, slots=True)
class ConnectionDecision:
    """Whether a connection may stay, and the one that has to be closed for it."""

    admitted: bool
    closes: int | None = None


@dataclass(slots=True)
class Closed:
    """How many connections were closed, and why."""

    refused: int = 0
    displaced: int = 0
    overdue: int = 0

    def __bool__(self) -> bool:
        return bool(self.refused or self.displaced or self.overdue)


@dataclass(slots=True)
class _Connection:
    network: str
    since_s: float
    state: ConnectionState = ConnectionState.WAITING
    received: int = 0


def _no_members() -> dict[ConnectionState, "OrderedDict[int, None]"]:
    return {state: OrderedDict() for state in ConnectionState}


@dataclass(slots=True)
class _Group:
    """Connections by state; of each state, the one that has been there longest without progress comes first."""

    members: dict[ConnectionState, "OrderedDict[int, None]"] = field(default_factory=_no_members)

    def __len__(self) -> int:
        return sum(map(len, self.members.values()))

    @property
    def first_to_yield(self) -> int | None:
        return next((next(iter(self.members[state])) for state in _YIELDING if self.members[state]), None)


class Connections:
    """The connections of one server.

    Args:
        total: Most of them.
        per_network: Most of one address, or of one /64 of IPv6. Loopback has no bound of its own, as a reverse proxy
            brings all its clients from there.
    """

    def __init__(self, total: int, per_network: int) -> None:
        self.total, self.per_network = total, per_network
        self._connections: dict[int, _Connection] = {}
        self._all = _Group()
        self._networks: dict[str, _Group] = {}
        self._closed = Closed()
        self._new = RateLimit(NEW_BURST, NEW_PER_S)

    def __len__(self) -> int:
        return len(self._connections)

    def admit(self, connection: int, address: str, now_s: float) -> ConnectionDecision:
        """Count a new connection, if there is room or another makes way.

        Args:
            connection: Any number that no other connection has.
            address: Of its client.
            now_s: Monotonic time.
        """
        network = network_of(address)
        bounded = not _is_loopback(network)
        if bounded and self._new.take(network, now_s):
            self._closed.refused += 1
            return ConnectionDecision(admitted=False)
        closes = None
        if (full := self._full(self._networks.get(network) if bounded else None)) is not None:
            closes = full.first_to_yield
            if closes is None:
                self._closed.refused += 1
                return ConnectionDecision(admitted=False)
            self.leave(closes)
            self._closed.displaced += 1
        self._connections[connection] = _Connection(network, now_s)
        for group in (self._all, self._networks.setdefault(network, _Group())):
            group.members[ConnectionState.WAITING][connection] = None
        return ConnectionDecision(admitted=True, closes=closes)

    def _full(self, here: _Group | None) -> _Group | None:
        """Return the connections of which one has to make way, if there is no room for another."""
        if here and len(here) >= self.per_network:
            return here
        return self._all if len(self._connections) >= self.total else None

    def enter(self, connection: int, state: ConnectionState, now_s: float, received: int = 0) -> None:
        """Note what a connection does now; one that is not counted any more is left out.

        Args:
            connection: Which.
            state: What it does.
            now_s: Monotonic time.
            received: Bytes that have come.
        """
        known = self._connections.get(connection)
        if known is None:
            return
        if state is not known.state:
            for group in (self._all, self._networks[known.network]):
                del group.members[known.state][connection]
                group.members[state][connection] = None
            known.state, known.since_s, known.received = state, now_s, received
        elif state is ConnectionState.RECEIVING:
            known.received += received
            for group in (self._all, self._networks[known.network]):
                group.members[state].move_to_end(connection)

    def leave(self, connection: int) -> None:
        """Count a connection no longer."""
        known = self._connections.pop(connection, None)
        if known is None:
            return
        here = self._networks[known.network]
        for group in (self._all, here):
            del group.members[known.state][connection]
        if not here:
            del self._networks[known.network]

    def take_overdue(self, now_s: float) -> list[int]:
        """Return the connections whose time is over, which are counted no longer."""
        overdue = [connection for connection in self._timed() if self._due_s(connection) <= now_s]
        for connection in overdue:
            self.leave(connection)
        self._closed.overdue += len(overdue)
        return overdue

    def count_refused(self) -> None:
        """Count a connection that could not even be asked for its address."""
        self._closed.refused += 1

    def take_closed(self) -> Closed:
        """Return how many were closed since the last time."""
        closed, self._closed = self._closed, Closed()
        return closed

    def _timed(self) -> Iterable[int]:
        for state in _YIELDING:
            yield from self._all.members[state]

    def _due_s(self, connection: int) -> float:
        known = self._connections[connection]
        match known.state:
            case ConnectionState.RECEIVING:
                return known.since_s + BODY_S + known.received / BODY_BYTES_PER_S
            case ConnectionState.SENDING:
                return known.since_s + WRITE_S
            case _:
                return known.since_s + HEAD_S


def network_of(address: str) -> str:
    """Return what of an address counts as one client: the address, or its /64 for IPv6."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            return str(ip.ipv4_mapped)
        if not ip.is_loopback:
            return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)


def _is_loopback(network: str) -> bool:
    try:
        return ipaddress.ip_address(network).is_loopback
    except ValueError:
        return False
