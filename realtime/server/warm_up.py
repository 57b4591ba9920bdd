"""A server's first call and its first request, before anybody makes them.

Libraries import parts of themselves, routes are put together and certificates are drawn up when they are first needed:
60 ms in all, in which nothing leaves. Those who speak already would notice that a second one calls.
"""

import asyncio
import logging
from contextlib import suppress

from starlette.types import ASGIApp, Message

from lipstream.realtime.rtc.offering_peer import OfferingPeer
from lipstream.realtime.rtc.rtc_settings import RtcSettings
from lipstream.realtime.session.session import Session

logger = logging.getLogger(__name__)

_PATIENCE_S = 3.0
_LOOPBACK = "127.0.0.1"


async def rehearse_call(session: Session) -> None:
    """Call a session from this process, and end it; a call that fails is no fault of the server's, and is left.

    Args:
        session: One that nobody else knows of, with ``rehearsal_settings``.
    """
    client = OfferingPeer(
        session.broadcast, settings=rehearsal_settings(), addresses=[_LOOPBACK], on_gone=lambda _: None
    )
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await client.accept(await session.publish(await client.offer()))
    except Exception as error:  # noqa: BLE001 - whatever it is, a real call will tell
        logger.info("the first call will take longer: it could not be rehearsed (%s)", type(error).__name__)
    finally:
        await asyncio.gather(client.close(), session.close())  # neither of them is left by the other, and tells of it


def rehearsal_settings() -> RtcSettings:
    """Return how both ends of a rehearsal connect: on this machine, without asking any server."""
    return RtcSettings(host=_LOOPBACK)


async def rehearse_request(app: ASGIApp) -> None:
    """Ask an application for what it does not have: it goes through all its routes."""

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_: Message) -> None:
        pass

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/-",
        "raw_path": b"/-",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "client": (_LOOPBACK, 1),
        "server": (_LOOPBACK, 80),
    }
    with suppress(Exception):  # as above
        await app(scope, receive, send)
