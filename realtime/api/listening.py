"""Listening sockets that apply the limits on connections, and the number of connections that leaves descriptors free.

The limits apply where connections are accepted. They therefore also hold for clients that never finish a TLS handshake,
and a connection counts exactly as long as it has a descriptor.
"""

import errno
import logging
import os
import socket
import sys
import time
from typing import Any

from lipstream.realtime.api.connections import Connections

logger = logging.getLogger(__name__)

MOST_CONNECTIONS, FEWEST_CONNECTIONS = 1024, 64
NETWORK_SHARE = 4
"""One address may have one in this many of all connections."""
ACCEPTED_AT_ONCE = 16
"""Most connections accepted in one turn of the event loop, which also sends media."""
_QUEUED = 1024
"""Most connections that the kernel queues until they are accepted."""

_OWN_DESCRIPTORS = 160
"""For files, the workers' pipes, uploads, recordings, requests to other servers, and connections being closed."""
_SESSION_DESCRIPTORS = 16
_PEER_DESCRIPTORS = 2
"""UDP sockets of one client: usually one for each address family."""
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


def connection_room(max_sessions: int, max_viewers: int) -> int:
    """Return the number of connections that leaves enough descriptors for calls.

    The function raises the process's soft limit on open files as far as needed and permitted. It logs a warning if the
    limit stays too low for :data:`FEWEST_CONNECTIONS`.
    """
    if sys.platform == "win32":  # it has no such limit
        return MOST_CONNECTIONS
    import resource  # noqa: PLC0415 (missing on Windows)

    kept = _OWN_DESCRIPTORS + max_sessions * (_SESSION_DESCRIPTORS + _PEER_DESCRIPTORS * max_viewers)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = kept + MOST_CONNECTIONS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        soft = raised
    room = MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, soft - kept)
    if room < FEWEST_CONNECTIONS:
        logger.warning(
            "%d open files are too few for %d sessions of %d viewers: raise the limit (LimitNOFILE) to %d",
            soft, max_sessions, max_viewers, wanted,
        )  # fmt: skip
        room = FEWEST_CONNECTIONS
    return room


class AcceptedSocket(socket.socket):
    """An accepted connection; it counts until it is closed."""

    owner: "AcceptedSockets"

    def close(self) -> None:
        """Close the socket and stop counting it."""
        self.owner.forget(self)
        super().close()


class AcceptedSockets:
    """All accepted sockets of one server, over all addresses that it listens on."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        self._sockets: dict[int, AcceptedSocket] = {}

    def take(self, accepted: socket.socket, address: str) -> AcceptedSocket | None:
        """Return the socket of a new connection; close the connection and return ``None`` if it is refused."""
        admission = self.connections.admit(accepted.fileno(), address, time.monotonic())
        if not admission.admitted:
            accepted.close()
            return None
        if admission.closes is not None:
            self._shut(admission.closes)
        taken = AcceptedSocket(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        taken.owner = self
        self._sockets[taken.fileno()] = taken
        return taken

    def forget(self, closing: AcceptedSocket) -> None:
        """Stop counting a socket that is about to be closed."""
        if self._sockets.pop(closing.fileno(), None) is not None:
            self.connections.leave(closing.fileno())

    def close_overdue(self) -> None:
        """Close the connections whose time is over."""
        for connection in self.connections.take_overdue(time.monotonic()):
            self._shut(connection)

    def _shut(self, connection: int) -> None:
        """Shut a connection down; the event loop then finds it ended and closes the socket, for any protocol."""
        try:
            self._sockets[connection].shutdown(socket.SHUT_RDWR)
        except OSError:  # the client has closed the connection already
            return


class ListeningSocket(socket.socket):
    """A listening socket that accepts connections within the limits and closes the others.

    The event loop calls ``accept`` until it raises ``BlockingIOError``, or as often as its backlog says.
    """

    accepted: AcceptedSockets
    _spare: int | None = None

    def listen(self, backlog: int = _QUEUED) -> None:  # noqa: ARG002 (the loop passes its accepts per turn)
        """Listen; the kernel queues the connections that the loop leaves for its next turn."""
        self._open_spare()
        super().listen(_QUEUED)

    def accept(self) -> tuple[socket.socket, Any]:
        """Return the next admitted connection.

        Raises:
            BlockingIOError: If there is none, or enough were refused for this turn of the event loop.
            OSError: If no descriptor is left, not even the spare one.
        """
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, address = super().accept()
            except OSError as error:
                if error.errno not in _EXHAUSTED or not self._refuse_one():
                    raise
                continue
            if taken := self.accepted.take(connection, address[0]):
                return taken, address
        raise BlockingIOError

    def close(self) -> None:
        """Stop listening."""
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        super().close()

    def _refuse_one(self) -> bool:
        """Accept and close the next connection with the spare descriptor; return whether there is a spare one.

        Otherwise the connection would stay in the queue and keep the event loop busy.
        """
        if self._spare is None:
            self._open_spare()
            return self._spare is not None
        os.close(self._spare)
        self._spare = None
        try:
            super().accept()[0].close()
        finally:
            self._open_spare()
        self.accepted.connections.count_refused()
        return True

    def _open_spare(self) -> None:
        try:
            self._spare = os.open(os.devnull, os.O_RDONLY)
        except OSError:  # another part of the process has taken the last descriptor
            self._spare = None


def listen_on(host: str, port: int, accepted: AcceptedSockets) -> list[ListeningSocket]:
    """Return a bound socket for each address of a host.

    Raises:
        OSError: If the host has no address, or one cannot be bound.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[ListeningSocket] = []
    try:
        for family, kind, proto, _, address in dict.fromkeys(found):
            bound = ListeningSocket(family, kind, proto)
            sockets.append(bound)
            bound.accepted = accepted
            if sys.platform == "win32":  # where the other option shares a port that is in use
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            else:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.bind(address)
    except OSError:
        for bound in sockets:
            bound.close()
        raise
    return sockets
