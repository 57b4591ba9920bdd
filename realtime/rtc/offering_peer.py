"""A peer that makes the offer: it publishes a session's broadcast to a WHIP server."""

from collections.abc import Callable, Sequence

from aiortc import RTCIceServer, RTCSessionDescription

from lipstream.realtime.encoding.broadcast import Broadcast
from lipstream.realtime.errors import OfferError
from lipstream.realtime.rtc.aiortc_patches import peer_connection
from lipstream.realtime.rtc.offer_terms import WATCHING
from lipstream.realtime.rtc.peer import OnGone, Peer
from lipstream.realtime.rtc.rtc_settings import RtcSettings
from lipstream.realtime.rtc.sdp import MAX_OFFER_BYTES, check_answer, multiplexed_only


class OfferingPeer(Peer):
    """Sends a broadcast to a server that answers the offer. After the answer it works like any other peer.

    Args:
        addresses: Addresses to listen on; ``None`` for all but loopback.
        allows: Returns whether the peer may send connectivity checks to an IP address; default: to any.
        on_gone: Called once with the reason when the peer is lost; not called after ``close``.
    """

    def __init__(
        self,
        broadcast: Broadcast,
        *,
        settings: RtcSettings,
        addresses: Sequence[str] | None,
        allows: Callable[[str], bool] = lambda _: True,
        on_gone: OnGone,
    ) -> None:
        super().__init__(broadcast, terms=WATCHING, settings=settings, on_gone=on_gone)
        self._addresses, self._allows = addresses, allows

    async def offer(self) -> str:
        """Return the offer with all candidates.

        Raises:
            UnavailableError: If no port is free or no relay can be reached.
        """
        connection = self._connection = peer_connection.PlayoutConnection(
            addresses=self._addresses,
            ice_servers=[RTCIceServer(**server) for server in self._settings.own_ice_servers()],
            relay_only=self._settings.relay_only,
            udp_ports=self._settings.udp_ports,
        )
        connection.on("connectionstatechange", self._state_changed)
        self._add_media(connection, ("audio", "video"))
        await connection.setLocalDescription(await connection.createOffer())
        offer = connection.localDescription.sdp
        if "a=candidate:" not in offer:
            raise self._settings.no_candidates()
        return multiplexed_only(offer)

    async def accept(self, answer_sdp: str) -> None:
        """Take the server's answer and wait until media can flow.

        Raises:
            OfferError: If the answer cannot be used or does not accept both sound and picture.
        """
        connection = self._connection
        assert connection is not None
        if len(answer_sdp) > MAX_OFFER_BYTES:
            raise OfferError("the server's answer is too long")
        try:
            answer = RTCSessionDescription(sdp=check_answer(answer_sdp, self._allows), type="answer")
            await connection.setRemoteDescription(answer)
        except Exception as error:  # aiortc's parser raises many types
            raise OfferError("the server's answer cannot be used") from error
        if any(transceiver.currentDirection != "sendonly" for transceiver in connection.getTransceivers()):
            raise OfferError("the server does not take both sound and picture")
        self._start(self._watch(connection))
        await self._first_connected.wait()
