"""Rehearses a call and a request before clients make them.

The first call and request load parts of libraries, build routes and create certificates. This takes 60 ms, in which no
media leaves. Without a rehearsal this would interrupt sessions that already speak. A server's first call interrupts
none, so no rehearsal delays it (`sessions.py`).
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
    """Call a session from this process, and end it. A failure is logged and ignored."""
    client = OfferingPeer(
        session.broadcast, settings=rehearsal_settings(), addresses=[_LOOPBACK], on_gone=lambda _: None
    )
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await client.accept(await session.publish(await client.offer()))
    except Exception as error:  # noqa: BLE001 (a real call shows and logs the same failure)
        logger.info("the first call will take longer: it could not be rehearsed (%s)", type(error).__name__)
    finally:
        await asyncio.gather(client.close(), session.close())  # at once, so that neither reports the other as lost


def rehearsal_settings() -> RtcSettings:
    """Return the connection settings for both ends of a rehearsal: loopback, without STUN and TURN."""
    return RtcSettings(host=_LOOPBACK)


async def rehearse_request(app: ASGIApp) -> None:
    """Request a path that an application does not have, so that it tries all its routes."""

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
    with suppress(Exception):  # a real request shows and logs the same failure
        await app(scope, receive, send)
