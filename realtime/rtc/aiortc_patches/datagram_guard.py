"""What stands in front of every ICE socket of the process: strangers' datagrams go no further.

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
"""Datagrams that may wait for one connection: half a second of everything a browser sends, with room."""
MAX_DATAGRAM_BYTES = 64 * 1024
MOST_AT_ONCE = 32
"""Datagrams of one socket in one round of the event loop: half a second of what a browser sends."""
STUN_FIRST_BYTES = 4
"""First bytes below this are STUN (RFC 7983)."""

ReceivedDatagram = Callable[[StunProtocol, bytes | str, tuple[Any, ...]], None]
STOCK_DATAGRAM_RECEIVED: ReceivedDatagram = StunProtocol.datagram_received


@dataclass(slots=True)
class DroppedDatagrams:
    """Datagrams that the guard has kept from aiortc, over all connections of the process.

    Attributes:
        empty: One of these from anybody closes a stock connection (``data[0]`` of nothing).
        stranger: Neither STUN nor from an address that has proved to be the peer's.
        malformed: STUN that cannot be parsed or answered; aioice raises for some.
        overflow: From the peer, but more than are worth keeping.
    """

    empty: int = 0
    stranger: int = 0
    malformed: int = 0
    overflow: int = 0


dropped_datagrams = DroppedDatagrams()
_last_received_s: weakref.WeakKeyDictionary[Connection, float] = weakref.WeakKeyDictionary()


def install() -> None:
    """Put the guard in front of every ICE socket of the process; any later call does nothing."""
    if StunProtocol.datagram_received is not guarded_datagram_received:
        StunProtocol.datagram_received = guarded_datagram_received  # type: ignore[method-assign, assignment]


def guarded_datagram_received(protocol: StunProtocol, data: bytes | str, addr: tuple[Any, ...]) -> None:
    """Pass on what the peer sent, and STUN from anybody; count the rest.

    aioice hands every datagram that is not STUN to DTLS, whoever sent it, through a queue without a bound, and lets
    parse errors escape into the event loop. asyncio reads one datagram of a socket in a round of its loop: where a
    machine is so busy that there are fewer rounds than packets of sound, the socket overflows, and with them go the
    answers that keep a call alive. So what else waits is read at once.
    """
    assert isinstance(data, bytes)
    _take(protocol, data, addr)
    for more, sender in _waiting_datagrams(protocol):
        _take(protocol, more, sender)


def _waiting_datagrams(protocol: StunProtocol) -> Iterator[tuple[bytes, tuple[Any, ...]]]:
    """Yield what else has come, as far as the socket can be asked."""
    transport = getattr(protocol, "transport", None)
    opened = getattr(transport.get_extra_info("socket"), "_sock", None) if transport is not None else None
    if not isinstance(opened, socket.socket):  # a relay's, or of an event loop that reads all by itself
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
    """Return the monotonic time at which a connection's peer last sent anything, media or consent."""
    return _last_received_s.get(connection)


def _is_peer(connection: Connection, address: tuple[str, int]) -> bool:
    """Tell whether an address has answered or sent a connectivity check signed with the session's password."""
    if any(pair.remote_addr == address for pair in connection._nominated.values()):
        return True
    return any(
        pair.remote_addr == address
        for pair in connection._check_list
        if pair.remote_nominated or pair.state == CandidatePair.State.SUCCEEDED
    )
