"""Settings of peer connections: addresses, ports, ICE servers, timeouts."""

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
from lipstream.realtime.rtc.peer_networks import PeerNetworks
from lipstream.realtime.rtc.turn_credentials import TurnSecret
from lipstream.realtime.wire.session_answers import IceServer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RtcSettings:
    """Settings shared by all peers of a server.

    Attributes:
        host: Address to listen on; an unspecified one (``0.0.0.0``, ``::``) means every interface but loopback.
        ice_servers: STUN and TURN servers in the browser's form: ``urls``, ``username``, ``credential``.
        turn: Signs credentials for a TURN server, ``None`` for no such server; clients always get them, the server uses
            them with ``relay_only``.
        relay_only: Whether all media pass a TURN server, on both ends; default false.
        udp_ports: First and last UDP port to listen on; ``None`` for any.
        peer_networks: Addresses that candidates of clients may name; default all that are not refused in any case.
        connect_timeout_s: From the offer to the finished handshake, s; default 9.5.
        silence_timeout_s: Time without a datagram after which a peer counts as gone, s; default 10.
    """

    host: str = "127.0.0.1"
    ice_servers: tuple[IceServer, ...] = ()
    turn: TurnSecret | None = None
    relay_only: bool = False
    udp_ports: tuple[int, int] | None = None
    peer_networks: PeerNetworks = field(default_factory=PeerNetworks)
    connect_timeout_s: float = 9.5
    silence_timeout_s: float = 10.0
    offer_pacing: OfferPacing = field(default_factory=OfferPacing)

    def ice_servers_for(self, user: str, now_s: float) -> list[IceServer]:
        """Return the STUN and TURN servers for one user, with credentials good from now on.

        Args:
            now_s: Unix time, s.
        """
        return [*self.ice_servers, *([self.turn.ice_server(user, now_s)] if self.turn else [])]

    def own_ice_servers(self) -> list[IceServer]:
        """Return the ICE servers for the server's own end.

        A relay costs a port and a round trip, so TURN is used only with ``relay_only``.
        """
        if not self.relay_only:
            return list(self.ice_servers)
        return self.ice_servers_for(f"server-{secrets.token_hex(4)}", time.time())

    def no_candidates(self) -> UnavailableError:
        """Log why there is no candidate to connect to, and return the error for the client."""
        if self.relay_only:
            logger.error("the TURN server gave no relay: check that it runs and has the same secret as this server")
            return UnavailableError("The server's own TURN relay cannot be reached.", reason="relay")
        logger.error("no socket for media could be opened on %s", self.host)
        return UnavailableError("The server has no address, or no UDP port left, to exchange media on.", reason="ports")


async def addresses_of(host: str) -> Sequence[str] | None:
    """Return the addresses that media may use; ``None`` for every interface but loopback.

    Raises:
        OSError: If the host's name cannot be resolved.
    """
    try:
        address = ipaddress.ip_address(host or "0.0.0.0")  # noqa: S104 - the web server reads an empty host in this way
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_DGRAM)
        return sorted({str(entry[4][0]) for entry in found})
    return None if address.is_unspecified else [str(address)]
