"""Consent to send (RFC 7675): whether the other end still answers.

A patch of aioice 0.13. It takes an answer for none that comes more
than half a second after its check. A client on a slow link, or one whose machine is busy, answers all of them and is
hung up on after half a minute.
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
"""Checks in a row. Counted rather than timed: whoever stood still for a while has sent none, and blames nobody."""


_expired: weakref.WeakSet[Connection] = weakref.WeakSet()


class _Check:
    """Stands where aioice keeps the requests that it waits for, and lets an answer come when it will."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.answered = False

    def response_received(self, message: stun.Message, _: tuple[str, int]) -> None:
        """Take a message of the check's own id."""
        if message.message_class == stun.Class.RESPONSE and message.check_message_integrity(self._key):
            self.answered = True


def keep_consent(connection: Connection) -> None:
    """Have an ICE connection end when its last checks were not answered at all, and not before.

    Args:
        connection: One that has not connected yet.
    """

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
    """Tell whether a connection was ended so."""
    return connection in _expired


def _send(connection: Connection, key: bytes, waiting: dict[bytes, tuple[Any, _Check]]) -> None:
    """Send a check, and have its answer found whenever it comes."""
    pair = next(iter(connection._nominated.values()))  # of the one component there is: RTP and RTCP share it
    request = connection.build_request(pair, nominate=False)
    request.add_message_integrity(key)
    check: Any = _Check(key)
    waiting[request.transaction_id] = pair.protocol, check
    pair.protocol.transactions[request.transaction_id] = check
    pair.protocol.send_stun(request, pair.remote_addr)


def _forget(waiting: dict[bytes, tuple[Any, _Check]]) -> None:
    """Wait for no answer any more."""
    for transaction_id, (protocol, _) in waiting.items():
        protocol.transactions.pop(transaction_id, None)
    waiting.clear()
