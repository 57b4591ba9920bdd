"""Limits on the rate of requests: a token bucket for each address and each token, larger for cheap routes.

docs/RELIABILITY.md says which rates a caller may rely on. The module is pure.
"""

import ipaddress
from dataclasses import dataclass
from enum import Enum, auto

from lipstream.realtime.api.connections import network_of
from lipstream.realtime.rate_limit import RateLimit


class Cost(Enum):
    """What a request costs the server, which also sends media."""

    LIGHT = auto()
    """A file or a constant: up to 1 ms."""
    MEDIUM = auto()
    """An answer that is put together: some milliseconds."""
    VIEWING = auto()
    """A new viewer: a connection. All viewers of a session share one token."""
    HEAVY = auto()
    """A connection, a session, an upload, a recording: 5 ms and more."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests at once, and per second in the long run."""

    burst: float
    per_second: float


OF_ADDRESS = {
    Cost.LIGHT: Rate(200, 50),
    Cost.MEDIUM: Rate(80, 25),
    Cost.VIEWING: Rate(60, 6),
    Cost.HEAVY: Rate(40, 4),
}
"""Limits on one address, or one /64 of IPv6; a household or an office behind one address shares them."""
OF_SESSION = {
    Cost.LIGHT: Rate(120, 20),
    Cost.MEDIUM: Rate(60, 10),
    Cost.VIEWING: Rate(120, 12),
    Cost.HEAVY: Rate(15, 1),
}
"""Limits on the tokens of one session."""
OF_JOIN_TOKEN = {cost: Rate(3 * rate.burst, 3 * rate.per_second) for cost, rate in OF_ADDRESS.items()}
"""Limits on one join token, from all addresses together."""
OF_KEY = {cost: Rate(10 * rate.burst, 10 * rate.per_second) for cost, rate in OF_ADDRESS.items()}
"""Limits on one API key, which no address is counted for."""
OF_STRANGER = Rate(30, 3)
"""Limit on requests of one address that need a token and carry no valid one."""
_SITE = 8
"""A /48 of IPv6, which holds 65,536 networks, may send this many times as much as one of them."""
_HEAVY_POSTS = frozenset({"peer", "recording", "streams", "motions"})


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sends a request: the kind of its token and a name that all its requests share.

    Attributes:
        kind: ``key``, ``join``, ``session``, ``open`` (no token is needed) or ``stranger`` (no valid token).
        name: Name of the key, id of the join token or of the session; empty without one.
    """

    kind: str
    name: str = ""


def cost_of(method: str, path: str) -> Cost:
    """Return the cost of a request; unknown paths are light.

    Args:
        method: HTTP method; ``WEBSOCKET`` for the upgrade to a WebSocket.
        path: Path without query.
    """
    parts = path.strip("/").split("/")
    if method == "WEBSOCKET":
        return Cost.HEAVY
    if parts[0] != "api" or len(parts) == 1:
        return Cost.MEDIUM if parts[0] in ("metrics", "openapi.json") else Cost.LIGHT
    if method == "POST":
        if len(parts) == 2 or parts[-1] in _HEAVY_POSTS:  # sessions, avatars, tokens, WHIP
            return Cost.HEAVY
        if parts[-1] == "whep":
            return Cost.VIEWING
    if method == "PATCH" and parts[1] == "sessions" and len(parts) == 3:
        return Cost.HEAVY
    return Cost.MEDIUM


class RequestLimits:
    """The buckets of one server."""

    def __init__(self) -> None:
        self._addresses, self._sites = _buckets(OF_ADDRESS), _buckets(OF_ADDRESS, _SITE)
        self._tokens = {"session": _buckets(OF_SESSION), "join": _buckets(OF_JOIN_TOKEN), "key": _buckets(OF_KEY)}
        self._strangers = RateLimit(OF_STRANGER.burst, OF_STRANGER.per_second)

    def take(self, identity: Identity, address: str, cost: Cost, now_s: float) -> float:
        """Count a request.

        The address is counted before the token, so that a flood from one address does not use up a token for others.

        Args:
            address: IP address of the client; empty if it is unknown.
            now_s: Monotonic time, s.

        Returns:
            0 if the request may pass, else the seconds until one may.
        """
        if identity.kind != "key":
            network = network_of(address)
            if wait_s := self._addresses[cost].take(network, now_s):
                return wait_s
            if (site := _site_of(address)) and (wait_s := self._sites[cost].take(site, now_s)):
                return wait_s
            if identity.kind == "stranger":
                return self._strangers.take(network, now_s)
        if buckets := self._tokens.get(identity.kind):
            return buckets[cost].take(identity.name, now_s)
        return 0.0


def _buckets(rates: dict[Cost, Rate], times: int = 1) -> dict[Cost, RateLimit]:
    return {cost: RateLimit(times * rate.burst, times * rate.per_second) for cost, rate in rates.items()}


def _site_of(address: str) -> str:
    """Return the /48 of an IPv6 address that is not of this machine; empty for all others."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if not isinstance(ip, ipaddress.IPv6Address) or ip.ipv4_mapped or ip.is_loopback:
        return ""
    return str(ipaddress.ip_network((ip, 48), strict=False))
