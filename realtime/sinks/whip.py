"""Publishes a session to a media server by WHIP (RFC 9725), with the encode of its calls."""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable, Sequence
from urllib.parse import urljoin, urlsplit

import httpx

from lipstream.realtime.encoding.broadcast import Broadcast
from lipstream.realtime.rtc.offering_peer import OfferingPeer
from lipstream.realtime.rtc.rtc_settings import RtcSettings
from lipstream.realtime.sinks.destination import CONNECT_S, Destination
from lipstream.realtime.sinks.stream_address import StreamAddress, StreamConnectionError

_CREATED = 201
_FAREWELL_S = 1.0


class WhipDestination(Destination):
    """Offers the session's media, and offers again when the connection is lost.

    A user name in the address is sent as the bearer token.
    """

    def __init__(
        self,
        address: StreamAddress,
        on_change: Callable[[Destination], None],
        *,
        broadcast: Broadcast,
        rtc: RtcSettings,
    ) -> None:
        super().__init__(address, on_change)
        self._broadcast, self._rtc = broadcast, rtc

    async def _serve(self) -> None:
        parts = self.address.parts
        url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        headers = {"Authorization": f"Bearer {parts.username}"} if parts.username else {}
        lost: asyncio.Queue[str] = asyncio.Queue(1)  # holds the one call of on_gone
        peer = OfferingPeer(
            self._broadcast,
            settings=self._rtc,
            addresses=await _addresses(parts.hostname or "", self._rtc.host),
            on_gone=lost.put_nowait,
        )
        resource = ""
        async with httpx.AsyncClient(timeout=CONNECT_S, headers=headers, follow_redirects=True) as client:
            try:
                async with asyncio.timeout(CONNECT_S):
                    answer, resource = await _exchange(client, url, await peer.offer())
                    await peer.accept(answer)
                self._connected()
                raise StreamConnectionError(await lost.get())
            finally:
                await peer.close()
                if resource:
                    await _delete(client, resource)


async def _exchange(client: httpx.AsyncClient, url: str, offer: str) -> tuple[str, str]:
    """Return the server's answer and the URL of the new resource; ``""`` if the server names none on its host."""
    try:
        reply = await client.post(url, content=offer, headers={"Content-Type": "application/sdp"})
    except httpx.TimeoutException as error:
        raise StreamConnectionError("no answer in time") from error
    except httpx.HTTPError as error:
        raise StreamConnectionError("the server cannot be reached") from error
    if reply.status_code != _CREATED:
        raise StreamConnectionError(f"the server refuses with status {reply.status_code}")
    resource = urljoin(str(reply.url), reply.headers.get("location", ""))
    own = urlsplit(resource)[:2] == urlsplit(str(reply.url))[:2] and resource != str(reply.url)
    return reply.text, resource if own else ""


async def _delete(client: httpx.AsyncClient, resource: str) -> None:
    with contextlib.suppress(httpx.HTTPError):
        await client.delete(resource, timeout=_FAREWELL_S)


async def _addresses(server: str, host: str) -> Sequence[str] | None:
    """Return the addresses to listen on: loopback for a server on it, else the configured host, ``None`` for all."""
    found = await asyncio.get_running_loop().getaddrinfo(server, None, type=socket.SOCK_DGRAM)
    there = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    if all(address.is_loopback for address in there):
        return [str(there[0])]
    with contextlib.suppress(ValueError):
        here = ipaddress.ip_address(host)
        if not here.is_loopback and not here.is_unspecified:
            return [str(here)]
    return None
