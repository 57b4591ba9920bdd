"""Opens the sockets for media on chosen addresses and in a chosen range of ports.

A patch of aioice 0.13, which listens on every interface but loopback and on ports that the system picks. A firewall
would have to leave all of those open.
"""

import asyncio
import errno
import logging
import random
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from ipaddress import ip_address

from aioice import Candidate
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import Connection, StunProtocol, server_reflexive_candidate

logger = logging.getLogger(__name__)

PortRange = tuple[int, int]
"""First and last UDP port."""

RECEIVE_BUFFER_BYTES = 256 * 1024
GATHERING_S = 5.0


def listen_on(connection: Connection, addresses: Sequence[str] | None, ports: PortRange | None) -> None:
    """Make an ICE connection open its sockets only on these addresses and ports.

    Args:
        addresses: Addresses of this machine; ``None`` for all but loopback.
        ports: First and last UDP port; ``None`` for any.
    """
    stock = connection.get_component_candidates

    async def gather(component: int, addresses: list[str], timeout: int = int(GATHERING_S)) -> list[Candidate]:  # noqa: ASYNC109 (aioice's signature)
        wanted = addresses if chosen is None or not addresses else chosen  # empty if only relays may be used
        if ports is None:
            return await stock(component, wanted, timeout)
        sockets = [protocol for address in wanted if (protocol := await _bound(connection, component, address, ports))]
        relayed, reflexive = await asyncio.gather(stock(component, [], timeout), _reflexive(connection, sockets))
        return [*(protocol.local_candidate for protocol in sockets), *reflexive, *relayed]

    chosen = None if addresses is None else list(addresses)
    connection.get_component_candidates = gather  # type: ignore[method-assign]


async def _bound(connection: Connection, component: int, address: str, ports: PortRange) -> StunProtocol | None:
    """Open a socket on a free port, searching from a random one; return ``None`` if no port is free."""
    for port in _from_anywhere(*ports):
        try:
            _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: StunProtocol(connection), local_addr=(address, port)
            )
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                continue
            logger.warning("no socket on %s: %s", address, error)
            return None
        opened: socket.socket | None = protocol.transport.get_extra_info("socket")
        if opened is not None:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        protocol.local_candidate = Candidate(
            foundation=candidate_foundation("host", "udp", address),
            component=component,
            transport="udp",
            priority=candidate_priority(component, "host"),
            host=address,
            port=port,
            type="host",
        )
        connection._protocols.append(protocol)
        return protocol
    logger.error("every UDP port from %d to %d is taken on %s", *ports, address)
    return None


def _from_anywhere(first: int, last: int) -> Iterator[int]:
    start = random.randint(first, last)
    yield from range(start, last + 1)
    yield from range(first, start)


async def _reflexive(connection: Connection, sockets: Sequence[StunProtocol]) -> list[Candidate]:
    """Return the sockets' public addresses, as far as a STUN server answers in time."""
    if connection.stun_server is None:
        return []
    asked = [
        asyncio.create_task(server_reflexive_candidate(protocol, connection.stun_server))
        for protocol in sockets
        if ip_address(protocol.local_candidate.host).version == 4
    ]
    found: list[Candidate] = []
    for task in asked:
        with suppress(Exception):  # as in aioice: a failure costs one candidate
            async with asyncio.timeout(GATHERING_S):
                found.append((await task)[0])
    return found
