"""Listening sockets that keep to the bounds on connections, and the descriptors that these leave to everything else.

The bounds stand where connections are accepted, so that they also hold for those that never end a TLS handshake, and a
place is given back exactly when its descriptor is.
"""

import errno
import logging
import os
import resource
import socket
import time
from typing import Any

from lipstream.realtime.api.connections import Connections

logger = logging.getLogger(__name__)

MOST_CONNECTIONS, FEWEST_CONNECTIONS = 1024, 64
NETWORK_SHARE = 4
"""One address may have this part of all connections."""
ACCEPTED_AT_ONCE = 16
"""In one turn of the event loop, which has calls to serve."""
_QUEUED = 1024
"""Connections that the kernel keeps until they are accepted."""

_OWN_DESCRIPTORS = 160
"""Files, the workers' pipes, uploads, recordings, requests to other servers, and connections that are just closing."""
_SESSION_DESCRIPTORS = 16
_PEER_DESCRIPTORS = 2
"""A client's UDP sockets: an address of each family, as a rule."""
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


def connection_room(max_sessions: int, max_viewers: int) -> int:
    """Return how many connections leave enough descriptors for calls; raise the process's limit as far as that needs.

    Args:
        max_sessions: Most sessions at once.
        max_viewers: Most viewers of each.
    """
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
    """A connection, which counts as one until it is closed."""

    owner: "AcceptedSockets"

    def close(self) -> None:
        """Close it and give its place back."""
        self.owner.forget(self)
        super().close()


class AcceptedSockets:
    """All that one server has accepted, over all addresses that it listens on."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        self._sockets: dict[int, AcceptedSocket] = {}

    def take(self, accepted: socket.socket, address: str) -> AcceptedSocket | None:
        """Return the socket of a new connection, or close it: ``None``."""
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
        """Count a socket no longer, which is about to be closed."""
        if self._sockets.pop(closing.fileno(), None) is not None:
            self.connections.leave(closing.fileno())

    def close_overdue(self) -> None:
        """Close the connections whose time is over."""
        for connection in self.connections.take_overdue(time.monotonic()):
            self._shut(connection)

    def _shut(self, connection: int) -> None:
        """Have the event loop find the connection ended; it then closes the socket, whatever protocol is on it."""
        try:
            self._sockets[connection].shutdown(socket.SHUT_RDWR)
        except OSError:  # the client was faster
            return


class ListeningSocket(socket.socket):
    """Accepts what the bounds let in and closes what they do not.

    An event loop accepts until there is nothing more, or ``BlockingIOError`` says so.
    """

    accepted: AcceptedSockets
    _spare: int | None = None

    def listen(self, backlog: int = _QUEUED) -> None:  # noqa: ARG002 (the loop's is how many it accepts in a turn)
        """Listen; the kernel queues what the loop leaves for its next turn."""
        self._open_spare()
        super().listen(_QUEUED)

    def accept(self) -> tuple[socket.socket, Any]:
        """Return the next connection that may stay.

        Raises:
            BlockingIOError: If there is none, or enough were refused for this turn of the event loop.
            OSError: If there is no descriptor left, not even the spare one.
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
        """Listen no longer."""
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        super().close()

    def _refuse_one(self) -> bool:
        """Close the next connection by means of the spare descriptor; return whether there was one.

        It would stay in the queue otherwise, and keep the event loop awake.
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
        except OSError:  # somebody else was faster
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
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.bind(address)
    except OSError:
        for bound in sockets:
            bound.close()
        raise
    return sockets
