"""Publishes a session to a media server by WHIP (RFC 9725), with the encode of its calls."""

import asyncio
import contextlib
import ipaddress
from collections.abc import Callable, Sequence

from lipstream.realtime.encoding.broadcast import Broadcast
from lipstream.realtime.rtc.offering_peer import OfferingPeer
from lipstream.realtime.rtc.rtc_settings import RtcSettings
from lipstream.realtime.sinks.destination import CONNECT_S, Destination
from lipstream.realtime.sinks.stream_address import StreamAddress, StreamConnectionError
from lipstream.realtime.sinks.stream_targets import StreamTargets
from lipstream.realtime.sinks.whip_client import WhipClient
from lipstream.realtime.wire.authorities import authorities


class WhipDestination(Destination):
    """Offers the session's media, and offers again when the connection is lost.

    A user name in the address is sent as the bearer token.

    Args:
        targets: Where streams may go, the media too.
    """

    def __init__(
        self,
        address: StreamAddress,
        on_change: Callable[[Destination], None],
        *,
        targets: StreamTargets,
        broadcast: Broadcast,
        rtc: RtcSettings,
    ) -> None:
        super().__init__(address, on_change)
        self._targets, self._broadcast, self._rtc = targets, broadcast, rtc

    async def _serve(self) -> None:
        hosts = await self._targets.resolve(self.address)
        lost: asyncio.Queue[str] = asyncio.Queue(1)  # holds the one call of on_gone
        peer = OfferingPeer(
            self._broadcast,
            settings=self._rtc,
            addresses=_addresses(hosts, self._rtc.host),
            allows=lambda ip: self._targets.allows_media(self.address, hosts, ip),
            on_gone=lost.put_nowait,
        )
        async with WhipClient(self.address, hosts, await asyncio.to_thread(authorities)) as client:
            try:
                async with asyncio.timeout(CONNECT_S):
                    await peer.accept(await client.publish(await peer.offer()))
                self._connected()
                raise StreamConnectionError(await lost.get())
            finally:
                await peer.close()
                await client.leave()


def _addresses(hosts: Sequence[str], own: str) -> Sequence[str] | None:
    """Return the addresses to listen on: loopback for a server on it, else the configured host, ``None`` for all."""
    there = [ipaddress.ip_address(host.partition("%")[0]) for host in hosts]
    if all(address.is_loopback for address in there):
        return [str(there[0])]
    with contextlib.suppress(ValueError):
        here = ipaddress.ip_address(own)
        if not here.is_loopback and not here.is_unspecified:
            return [str(here)]
    return None
