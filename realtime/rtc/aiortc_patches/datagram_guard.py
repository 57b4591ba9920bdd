"""Filters the datagrams of every ICE socket of the process: only the peer's media and STUN reach aiortc.

A patch of aioice 0.13.
"""

import socket
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from aioice import stun
from aioice.ice import CandidatePair, Connection, StunProtocol

MAX_QUEUED_DATAGRAMS = 1024
"""Limit of queued datagrams per connection: half a second of a browser's traffic, with room to spare."""
MAX_DATAGRAM_BYTES = 64 * 1024
MOST_AT_ONCE = 32
"""Limit of datagrams read from one socket in one round of the event loop: half a second of a browser's traffic."""
STUN_FIRST_BYTES = 4
"""First bytes below this are STUN (RFC 7983)."""

ReceivedDatagram = Callable[[StunProtocol, bytes | str, tuple[Any, ...]], None]
STOCK_DATAGRAM_RECEIVED: ReceivedDatagram = StunProtocol.datagram_received


@dataclass(slots=True)
class DroppedDatagrams:
    """Counters of the datagrams kept from aiortc, over all connections of the process.

    Attributes:
        empty: Number of empty datagrams from any sender; one closes a stock connection (``data[0]`` raises).
        stranger: Number of datagrams that are neither STUN nor from an address verified as the peer's.
        malformed: Number of STUN datagrams that cannot be parsed or answered; aioice raises for some.
        overflow: Number of the peer's datagrams beyond ``MAX_QUEUED_DATAGRAMS``.
    """

    empty: int = 0
    stranger: int = 0
    malformed: int = 0
    overflow: int = 0


dropped_datagrams = DroppedDatagrams()
_last_received_s: weakref.WeakKeyDictionary[Connection, float] = weakref.WeakKeyDictionary()


def install() -> None:
    """Install the filter on every ICE socket of the process; later calls do nothing."""
    if StunProtocol.datagram_received is not guarded_datagram_received:
        StunProtocol.datagram_received = guarded_datagram_received  # type: ignore[method-assign, assignment]


def guarded_datagram_received(protocol: StunProtocol, data: bytes | str, addr: tuple[Any, ...]) -> None:
    """Pass on the peer's datagrams and any STUN; count and drop the rest.

    aioice gives every datagram that is not STUN to DTLS, from any sender, through an unbounded queue, and its parse
    errors reach the event loop. asyncio reads one datagram per socket in a round of its loop. On a machine with fewer
    rounds than audio packets the socket overflows and loses the answers that keep a call alive; therefore all waiting
    datagrams are read here.
    """
    assert isinstance(data, bytes)
    _take(protocol, data, addr)
    for more, sender in _waiting_datagrams(protocol):
        _take(protocol, more, sender)


def _waiting_datagrams(protocol: StunProtocol) -> Iterator[tuple[bytes, tuple[Any, ...]]]:
    """Yield the other datagrams that wait in the socket, if it is accessible."""
    transport = getattr(protocol, "transport", None)
    opened = getattr(transport.get_extra_info("socket"), "_sock", None) if transport is not None else None
    if not isinstance(opened, socket.socket):  # a relay, or an event loop without this attribute
        return
    for _ in range(MOST_AT_ONCE):
        try:
            yield opened.recvfrom(MAX_DATAGRAM_BYTES)
        except OSError:  # nothing more, or an error that the event loop will meet too
            return


def _take(protocol: StunProtocol, data: bytes, addr: tuple[Any, ...]) -> None:
    connection = protocol.receiver
    if not data:
        dropped_datagrams.empty += 1
        return
    from_peer = _is_peer(connection, (addr[0], addr[1]))
    if from_peer:
        _last_received_s[connection] = time.monotonic()
    if data[0] < STUN_FIRST_BYTES:
        try:
            stun.parse_message(data)
            STOCK_DATAGRAM_RECEIVED(protocol, data, addr)
        except Exception:  # noqa: BLE001 - struct.error, KeyError, AssertionError and more, all from a bad message
            dropped_datagrams.malformed += 1
    elif not from_peer:
        dropped_datagrams.stranger += 1
    elif connection._queue.qsize() >= MAX_QUEUED_DATAGRAMS:
        dropped_datagrams.overflow += 1
    else:
        connection.data_received(data, protocol.local_candidate.component)


def last_received_s(connection: Connection) -> float | None:
    """Return the monotonic time of the last datagram from a connection's peer, media or consent."""
    return _last_received_s.get(connection)


def _is_peer(connection: Connection, address: tuple[str, int]) -> bool:
    """Return whether an address has answered or sent a connectivity check signed with the session's password."""
    if any(pair.remote_addr == address for pair in connection._nominated.values()):
        return True
    return any(
        pair.remote_addr == address
        for pair in connection._check_list
        if pair.remote_nominated or pair.state == CandidatePair.State.SUCCEEDED
    )
