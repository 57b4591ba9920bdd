"""Consent to send (RFC 7675): checks that the other end still answers.

A patch of aioice 0.13, which ignores an answer that arrives more than half a second after its check. A client on a
slow link or a busy machine answers every check, and aioice would still end its connection after half a minute.
"""

import asyncio
import logging
import random
import weakref
from typing import Any

from aioice import stun
from aioice.ice import Connection

logger = logging.getLogger(__name__)

CHECK_EVERY_S = 5.0
MOST_UNANSWERED = 6
"""Checks in a row without an answer. They are counted, not timed: a server that was stopped has sent no checks."""


_expired: weakref.WeakSet[Connection] = weakref.WeakSet()


class _Check:
    """Registered among aioice's pending requests in place of a transaction; accepts an answer at any time."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.answered = False

    def response_received(self, message: stun.Message, _: tuple[str, int]) -> None:
        """Take a message with the check's transaction id."""
        if message.message_class == stun.Class.RESPONSE and message.check_message_integrity(self._key):
            self.answered = True


def keep_consent(connection: Connection) -> None:
    """Make an ICE connection end only after ``MOST_UNANSWERED`` checks without any answer."""

    async def query_consent() -> None:
        assert connection.remote_password is not None
        key = connection.remote_password.encode()
        waiting: dict[bytes, tuple[Any, _Check]] = {}
        try:
            while True:
                await asyncio.sleep(CHECK_EVERY_S * random.uniform(0.8, 1.2))
                if any(check.answered for _, check in waiting.values()):
                    _forget(waiting)
                if len(waiting) >= MOST_UNANSWERED:
                    break
                _send(connection, key, waiting)
        finally:
            _forget(waiting)
        logger.info("the other end's consent has expired: %d checks without an answer", MOST_UNANSWERED)
        _expired.add(connection)
        connection._query_consent_task = None
        await connection.close()

    connection.query_consent = query_consent  # type: ignore[method-assign]


def has_expired(connection: Connection) -> bool:
    """Return whether a connection was ended for missing consent."""
    return connection in _expired


def _send(connection: Connection, key: bytes, waiting: dict[bytes, tuple[Any, _Check]]) -> None:
    """Send a check and register it, so that its answer is found at any time."""
    pair = next(iter(connection._nominated.values()))  # RTP and RTCP share the only component
    request = connection.build_request(pair, nominate=False)
    request.add_message_integrity(key)
    check: Any = _Check(key)
    waiting[request.transaction_id] = pair.protocol, check
    pair.protocol.transactions[request.transaction_id] = check
    pair.protocol.send_stun(request, pair.remote_addr)


def _forget(waiting: dict[bytes, tuple[Any, _Check]]) -> None:
    """Unregister all checks."""
    for transaction_id, (protocol, _) in waiting.items():
        protocol.transactions.pop(transaction_id, None)
    waiting.clear()
