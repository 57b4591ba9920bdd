"""A call that this end begins, and the answers that it may get."""

from collections.abc import AsyncIterator

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from lipstream.realtime.encoding.broadcast import Broadcast
from lipstream.realtime.errors import OfferError, UnavailableError
from lipstream.realtime.rtc.offering_peer import OfferingPeer
from lipstream.realtime.rtc.rtc_settings import RtcSettings
from lipstream.realtime.rtc.sdp import MAX_OFFER_BYTES
from tests.realtime.rtc.loopback import TonePlayout


@pytest.fixture
async def broadcast() -> AsyncIterator[Broadcast]:
    broadcast = Broadcast(TonePlayout())
    yield broadcast
    await broadcast.close()


@pytest.fixture
async def peer(broadcast: Broadcast) -> AsyncIterator[OfferingPeer]:
    peer = OfferingPeer(
        broadcast, settings=RtcSettings(host="127.0.0.1"), addresses=["127.0.0.1"], on_gone=lambda _: None
    )
    yield peer
    await peer.close()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("", "cannot be used"),
        ("<html>not found</html>", "cannot be used"),
        ("v=0\r\nm=audio x", "cannot be used"),
        ("a" * (MAX_OFFER_BYTES + 1), "is too long"),
    ],
)
async def test_what_is_no_answer_is_told_in_one_sentence(peer: OfferingPeer, answer: str, message: str) -> None:
    await peer.offer()
    with pytest.raises(OfferError, match=f"the server's answer {message}"):
        await peer.accept(answer)


@pytest.mark.parametrize("kind", ["audio", "video"])
async def test_a_server_must_take_both_sound_and_picture(peer: OfferingPeer, kind: str) -> None:
    server = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    await server.setRemoteDescription(RTCSessionDescription(await peer.offer(), "offer"))
    (declined,) = [transceiver for transceiver in server.getTransceivers() if transceiver.kind == kind]
    declined.direction = "inactive"
    await server.setLocalDescription(await server.createAnswer())
    with pytest.raises(OfferError, match="the server does not take both sound and picture"):
        await peer.accept(server.localDescription.sdp)
    await server.close()


async def test_without_a_relay_where_one_must_be_used_there_is_no_offer(broadcast: Broadcast) -> None:
    peer = OfferingPeer(broadcast, settings=RtcSettings(relay_only=True), addresses=None, on_gone=lambda _: None)
    with pytest.raises(UnavailableError, match="TURN relay cannot be reached") as told:
        await peer.offer()
    assert told.value.reason == "relay"
    await peer.close()
