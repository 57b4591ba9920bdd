"""How peers connect: on which addresses and ports, by which servers, within what time."""

import asyncio
import ipaddress
import logging
import secrets
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from lipstream.realtime.errors import UnavailableError
from lipstream.realtime.rtc.offer_pacing import OfferPacing
from lipstream.realtime.rtc.turn_credentials import TurnSecret
from lipstream.realtime.wire.session_answers import IceServer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RtcSettings:
    """How peers connect.

    Attributes:
        host: Address to listen on; an unspecified one (``0.0.0.0``, ``::``) means every interface but loopback.
        ice_servers: STUN and TURN servers as a browser takes them: ``urls``, ``username``, ``credential``.
        turn: Signs credentials for a TURN server; clients get them, this end only to relay everything.
        relay_only: Whether a TURN server relays everything, here as at the client.
        udp_ports: First and last UDP port to listen on; ``None`` for any.
        connect_timeout_s: From the offer to the finished handshake.
        silence_timeout_s: Without a datagram from the peer, after which it counts as vanished.
        offer_pacing: Of all who answer offers: each step of that takes milliseconds.
    """

    host: str = "127.0.0.1"
    ice_servers: tuple[IceServer, ...] = ()
    turn: TurnSecret | None = None
    relay_only: bool = False
    udp_ports: tuple[int, int] | None = None
    connect_timeout_s: float = 9.5
    silence_timeout_s: float = 10.0
    offer_pacing: OfferPacing = field(default_factory=OfferPacing)

    def ice_servers_for(self, user: str, now_s: float) -> list[IceServer]:
        """Return the STUN and TURN servers for one user, with credentials good from now on.

        Args:
            user: Whom a TURN server's quota counts.
            now_s: Unix time.
        """
        return [*self.ice_servers, *([self.turn.ice_server(user, now_s)] if self.turn else [])]

    def own_ice_servers(self) -> list[IceServer]:
        """Return the servers that this end asks: a relay costs a port and a round trip, so only where it must be."""
        if not self.relay_only:
            return list(self.ice_servers)
        return self.ice_servers_for(f"server-{secrets.token_hex(4)}", time.time())

    def no_candidates(self) -> UnavailableError:
        """Return why there is nothing to connect to, and say so in the log."""
        if self.relay_only:
            logger.error("the TURN server gave no relay: is it there, and does it share our secret?")
            return UnavailableError("The server's own TURN relay cannot be reached.", reason="relay")
        logger.error("no socket for media could be opened on %s", self.host)
        return UnavailableError("The server has no address, or no UDP port left, to exchange media on.", reason="ports")


async def addresses_of(host: str) -> Sequence[str] | None:
    """Return the addresses that media may use; ``None`` for every interface but loopback.

    Raises:
        OSError: If the host's name cannot be resolved.
    """
    try:
        address = ipaddress.ip_address(host or "0.0.0.0")  # noqa: S104 - as the web server reads an empty host
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_DGRAM)
        return sorted({str(entry[4][0]) for entry in found})
    return None if address.is_unspecified else [str(address)]
