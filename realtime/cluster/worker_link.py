"""Listens to one worker's announcements for as long as an ingress runs."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import httpx
from pydantic import TypeAdapter, ValidationError

from lipstream.realtime.cluster.forwarding import CONNECT_S, Forwarder
from lipstream.realtime.cluster.membership import GONE_S
from lipstream.realtime.rate_limit import RateLimit
from lipstream.realtime.wire.answer_body import UNCOMPRESSED
from lipstream.realtime.wire.cluster_messages import Announcement

logger = logging.getLogger(__name__)

RETRY_S = 0.5
_LONGEST_LINE = 2 << 20
"""Bytes of an announcement: ten thousand avatars take one million."""
_BURST, _PER_S = 100, 30.0
"""Announcements that may come at once, and each second: a worker looks for a change 20 times a second."""
_ANNOUNCEMENT = TypeAdapter(Announcement)


class _TooMuchError(Exception):
    """What comes is no row of announcements; the message says why."""


async def listen(
    forwarder: Forwarder, url: str, on_announcement: Callable[[str, Announcement], None], on_loss: Callable[[str], None]
) -> None:
    """Listen to a worker until cancelled. A worker that dies closes the connection; one that is silent is lost too."""
    timeout, told = httpx.Timeout(GONE_S, connect=CONNECT_S), ""
    headers = forwarder.own_headers() | UNCOMPRESSED
    while True:
        try:
            async with forwarder.client.stream(
                "GET", f"{url}/api/cluster/announcements", headers=headers, timeout=timeout
            ) as answer:
                answer.raise_for_status()
                async with aclosing(_lines(answer)) as lines:
                    async for line in lines:
                        on_announcement(url, _ANNOUNCEMENT.validate_json(line))
                        if told != "there":
                            logger.info("worker %s is there", url)
                            told = "there"
            why = "it has ended"
        except _TooMuchError as error:
            why = str(error)
        except httpx.HTTPStatusError as error:
            why = f"it answers with status {error.response.status_code}: does it share the cluster's secret?"
        except httpx.TransportError as error:
            why = type(error).__name__
        except ValidationError as error:
            why = f"its announcements are of another version ({error.error_count()} faults)"
        on_loss(url)
        if why == httpx.ReadTimeout.__name__:
            forwarder.give_up(url)
        if told != why:
            logger.warning("worker %s is lost: %s", url, why)
            told = why
        await asyncio.sleep(RETRY_S)


async def _lines(answer: httpx.Response) -> AsyncGenerator[bytes]:
    """Yield lines as they arrive.

    Raises:
        _TooMuchError: If one has no end, or they come faster than a worker tells them.
    """
    rate, loop, rest = RateLimit(_BURST, _PER_S), asyncio.get_running_loop(), bytearray()
    async for piece in answer.aiter_raw():
        *ends, last = piece.split(b"\n")
        for end in ends:
            yield bytes(rest + end)
            rest.clear()
            if rate.take("", loop.time()):
                raise _TooMuchError("it tells its state too often")
        rest += last
        if len(rest) > _LONGEST_LINE:
            raise _TooMuchError("its announcement has no end")
