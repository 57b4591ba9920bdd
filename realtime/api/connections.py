"""Limits on the connections of a server: their number in all and for one network, and the time that each may idle.

At the limit, a new connection displaces one whose client the server waits for: first a connection without a request,
and of these the one that has waited longest. A real client sends its request within a round trip. A new connection is
refused only if the server is working for all others. The module is pure.
"""

import contextlib
import enum
import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from lipstream.realtime.rate_limit import RateLimit

HEAD_S = 10.0
"""Longest time for a TLS handshake and a request's head, from the connection or the last answer."""
BODY_S = 30.0
BODY_BYTES_PER_S = 4096
"""A body may take ``BODY_S`` plus the time of its received bytes at this rate."""
WRITE_S = 30.0
"""Longest time for a client to receive waiting bytes."""

CONNECTIONS = "connections"
"""Name of a server's connections in the state of a request."""
NEW_BURST, NEW_PER_S = 200, 40.0
"""Limits on new connections of one network: to serve a connection costs more than to refuse it."""


class ConnectionState(enum.Enum):
    """State of a connection. A new connection may displace one in the first three states, in this order."""

    WAITING = enum.auto()
    """The server waits for a request."""
    RECEIVING = enum.auto()
    """The server waits for the rest of a request's body."""
    SENDING = enum.auto()
    """The server waits for the client to receive bytes."""
    WORKING = enum.auto()
    """The server works on a request, or the connection is a WebSocket."""


_YIELDING = (ConnectionState.WAITING, ConnectionState.RECEIVING, ConnectionState.SENDING)


@dataclass(frozen=True, slots=True)
class ConnectionDecision:
    """Whether a connection is admitted, and the number of the connection to close for it."""

    admitted: bool
    closes: int | None = None


@dataclass(slots=True)
class Closed:
    """Numbers of closed connections, by reason."""

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
    """Connections by state, in each state the one longest without progress first."""

    members: dict[ConnectionState, "OrderedDict[int, None]"] = field(default_factory=_no_members)

    def __len__(self) -> int:
        return sum(map(len, self.members.values()))

    @property
    def first_to_yield(self) -> int | None:
        return next((next(iter(self.members[state])) for state in _YIELDING if self.members[state]), None)


class Connections:
    """The connections of one server.

    Args:
        total: Most open connections. Beyond them a new one displaces one that yields, or is refused.
        per_network: Most connections of one address, or of one /64 of IPv6. Loopback has only the limit ``total``,
            because all clients of a reverse proxy come from there.
    """

    def __init__(self, total: int, per_network: int) -> None:
        self.total, self.per_network = total, per_network
        self._connections: dict[int, _Connection] = {}
        self._all = _Group()
        self._networks: dict[str, _Group] = {}
        self._closed = Closed()
        self._new = RateLimit(NEW_BURST, NEW_PER_S)
        self._trusted: Counter[str] = Counter()

    @contextlib.contextmanager
    def trusting(self, address: str) -> Iterator[None]:
        """Let an address have only the limit ``total`` meanwhile: it speaks for many clients, whom it has counted."""
        network = network_of(address)
        self._trusted[network] += 1
        try:
            yield
        finally:
            self._trusted[network] -= 1
            self._trusted += Counter()  # forgets what is 0

    def __len__(self) -> int:
        return len(self._connections)

    def admit(self, connection: int, address: str, now_s: float) -> ConnectionDecision:
        """Admit and count a new connection if there is room, or if it can displace another one.

        Args:
            now_s: Monotonic time, s.
        """
        network = network_of(address)
        bounded = not is_loopback(network) and network not in self._trusted
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
        """Return the group that is full, of which one connection must be closed; ``None`` if there is room."""
        if here and len(here) >= self.per_network:
            return here
        return self._all if len(self._connections) >= self.total else None

    def enter(self, connection: int, state: ConnectionState, now_s: float, received: int = 0) -> None:
        """Record the state of a connection; ignore a connection that is not counted any more.

        Args:
            now_s: Monotonic time, s.
            received: Bytes received since the last call.
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
        """Stop counting a connection."""
        known = self._connections.pop(connection, None)
        if known is None:
            return
        here = self._networks[known.network]
        for group in (self._all, here):
            del group.members[known.state][connection]
        if not here:
            del self._networks[known.network]

    def take_overdue(self, now_s: float) -> list[int]:
        """Return the connections whose time is over, and stop counting them."""
        overdue = [connection for connection in self._timed() if self._due_s(connection) <= now_s]
        for connection in overdue:
            self.leave(connection)
        self._closed.overdue += len(overdue)
        return overdue

    def count_refused(self) -> None:
        """Count a connection that was refused for lack of a descriptor."""
        self._closed.refused += 1

    def take_closed(self) -> Closed:
        """Return the numbers of connections closed since the last call."""
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
    """Return the network that counts as one client: the address, or its /64 for IPv6."""
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


def is_loopback(network: str) -> bool:
    """Return whether an address is of this machine."""
    try:
        return ipaddress.ip_address(network).is_loopback
    except ValueError:
        return False
