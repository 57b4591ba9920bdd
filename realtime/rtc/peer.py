"""The server's side of a WebRTC connection to one client: offer, tracks, microphone, control channel, end."""

import asyncio
import ipaddress
import logging
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from aiortc import RTCIceServer, RTCSessionDescription

from lipstream.realtime.encoding.broadcast import Broadcast
from lipstream.realtime.errors import OfferError, TooLargeError, UnavailableError
from lipstream.realtime.queue_depths import QueueDepths
from lipstream.realtime.rtc.aiortc_patches import datagram_guard, peer_connection
from lipstream.realtime.rtc.aiortc_patches.sender import MAX_UNSENT_BYTES, BroadcastTrack, PlayoutSender
from lipstream.realtime.rtc.candidates import ice_of, read_fragment
from lipstream.realtime.rtc.control_channel import MAX_BACKLOG_BYTES, ControlChannel, OnControl
from lipstream.realtime.rtc.later_offer import check_later_offer, is_later
from lipstream.realtime.rtc.microphone import MicrophoneInput, PositionedSound
from lipstream.realtime.rtc.offer_terms import MAX_CANDIDATES, PUBLISHING, SPEAKING, Terms
from lipstream.realtime.rtc.rtc_settings import RtcSettings, addresses_of
from lipstream.realtime.rtc.sdp import CheckedOffer, check_offer, multiplexed_only
from lipstream.realtime.wire.control_messages import ControlMessage
from lipstream.realtime.wire.events import ServerEvent
from lipstream.realtime.wire.session_answers import PeerStats

logger = logging.getLogger(__name__)

OnGone = Callable[[str], None]

CHECKS_PER_SILENCE = 12
SILENT_CHECKS = 10
"""Consecutive checks without a new datagram after which a peer counts as gone.

Checks are a twelfth of the silence limit apart; ten in a row leave a margin, so that the limit is kept. Checks are
counted instead of seconds: a server that was stopped itself has made no checks and must not blame the peer."""


def _refuse_control(_: ControlMessage) -> None:
    """Ignore a message to a peer that has no channel."""


class Peer:
    """A connection to one client: an offer and its answer, and later ones. The owner calls ``close`` after ``on_gone``.

    Attributes:
        ice_tag: 16 random hexadecimal digits, constant for the life of the peer.
    """

    def __init__(
        self,
        broadcast: Broadcast,
        *,
        terms: Terms = SPEAKING,
        settings: RtcSettings,
        microphone: PositionedSound | None = None,
        on_control: OnControl = _refuse_control,
        on_gone: OnGone,
    ) -> None:
        """Prepare a peer; sockets are opened by ``answer``.

        Args:
            terms: Role of the peer: ``SPEAKING`` (a call), ``WATCHING`` (WHEP) or ``PUBLISHING`` (WHIP).
            microphone: Takes the sound of the peer's microphone; ``None`` to ignore it.
            on_control: Called with each control message; default: messages are ignored.
            on_gone: Called once with the reason when the peer is lost; not called after ``close``.
        """
        datagram_guard.install()
        self.ice_tag = secrets.token_hex(8)
        self._terms, self._settings, self._broadcast = terms, settings, broadcast
        self._tracks: tuple[BroadcastTrack, ...] = ()
        self._offer: CheckedOffer | None = None
        self._negotiating = asyncio.Lock()
        self._trickled = 0
        self._loopback = False
        self._microphone = MicrophoneInput(microphone, self._microphone_failed) if microphone else None
        self._control = ControlChannel(on_control if terms is SPEAKING else None)
        self._on_gone = on_gone
        self._connection: peer_connection.PlayoutConnection | None = None
        self._first_connected = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_gone = False
        self.failed = False
        self._closing: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether media can flow now."""
        alive = self._connection is not None and not self._is_gone and self._closing is None
        return alive and self._connection is not None and self._connection.connectionState == "connected"

    @property
    def was_connected(self) -> bool:
        """Whether media could flow at any time."""
        return self._first_connected.is_set()

    async def answer(self, offer_sdp: str) -> str:
        """Answer the client's offer; the answer carries all candidates.

        Raises:
            OfferError: If the offer cannot be answered.
            TooLargeError: If the offer is larger than 64 KiB.
            UnavailableError: If no port is free or no relay can be reached.
        """
        if self._connection is not None or self._closing is not None:
            raise RuntimeError("a peer answers one offer")
        try:
            return await self._answer(offer_sdp)
        except (OfferError, TooLargeError, UnavailableError):
            await self.close()
            raise
        except Exception as error:
            await self.close()
            logger.warning("offer refused: %s: %.200a", type(error).__name__, str(error))  # may quote the offer
            raise OfferError("The offer cannot be answered.") from error  # aiortc's parser raises many types
        except BaseException:
            await self.close()
            raise

    async def _answer(self, offer_sdp: str) -> str:
        listening = await addresses_of(self._settings.host)
        self._loopback = listening is not None and any(ipaddress.ip_address(a).is_loopback for a in listening)
        offer_pacing = self._settings.offer_pacing
        await offer_pacing.wait_turn()
        networks = self._settings.peer_networks
        pictures = None if self._terms is PUBLISHING else self._broadcast.pictures
        offer = check_offer(
            offer_sdp, self._terms, allow_loopback=self._loopback, networks=networks, pictures=pictures
        )  # fmt: skip
        connection = peer_connection.PlayoutConnection(
            addresses=listening,
            ice_servers=[RTCIceServer(**server) for server in self._settings.own_ice_servers()],
            relay_only=self._settings.relay_only,
            udp_ports=self._settings.udp_ports,
            microphone=self._microphone,
            on_flood=lambda why: self._gone(f"its data channels: {why}"),
        )
        self._connection = connection
        connection.on("connectionstatechange", self._state_changed)
        connection.on("datachannel", self._control.take)
        self._add_media(connection, offer.kinds)
        await self._negotiate(connection, offer)
        if self._terms is SPEAKING and any(
            t.currentDirection not in ("sendonly", "sendrecv") for t in connection.getTransceivers()
        ):
            raise OfferError("The offer does not take both sound and picture.")
        answer = offer.answer(connection.localDescription.sdp)
        if "a=candidate:" not in answer:
            raise self._settings.no_candidates()
        self._offer = offer
        self._start(self._watch(connection))
        return multiplexed_only(answer) if self._terms.multiplexed else answer

    async def _negotiate(self, connection: peer_connection.PlayoutConnection, offer: CheckedOffer) -> None:
        """Have aiortc take an offer and describe its answer."""
        await self._settings.offer_pacing.wait_turn()
        await connection.setRemoteDescription(RTCSessionDescription(sdp=offer.sdp, type="offer"))
        connection.announce_error_correction()
        if not connection.sends_as_before():
            raise OfferError("The offer changes the codec of what is sent.")
        await self._settings.offer_pacing.wait_turn()
        await connection.setLocalDescription()

    def is_offered_again(self, offer_sdp: str) -> bool:
        """Return whether an offer is a later one of this peer's client, for the connection that there is.

        Raises:
            OfferError: If it has too many lines or sections.
            TooLargeError: If it is larger than 64 KiB.
        """
        alive = not self._is_gone and self._closing is None
        return alive and self._offer is not None and is_later(offer_sdp, self._offer)

    async def answer_again(self, offer_sdp: str) -> str:
        """Answer a later offer: sound or picture stopped or turned, or a control channel added.

        The connection stays as it is if this fails.

        Raises:
            OfferError: If the offer cannot be answered on this connection.
            TooLargeError: If the offer is larger than 64 KiB.
        """
        async with self._negotiating:
            connection, before = self._connection, self._offer
            if connection is None or before is None or self._closing is not None:
                raise OfferError("The connection has ended: make a new one.")
            offer = check_later_offer(offer_sdp, before, self._terms)
            try:
                await self._negotiate(connection, offer)
            except OfferError:
                raise
            except Exception as error:
                logger.warning("later offer refused: %s: %.200a", type(error).__name__, str(error))
                raise OfferError("The later offer cannot be answered: make a new connection.") from error
            connection.hold_what_is_not_wanted()
            self._offer = offer
            answer = offer.answer(connection.localDescription.sdp)
            return multiplexed_only(answer) if self._terms.multiplexed else answer

    def _add_media(self, connection: peer_connection.PlayoutConnection, offered: Sequence[str]) -> None:
        """Add the offered media: sent to a peer that speaks or watches, received from one that publishes."""
        kinds = [kind for kind in ("audio", "video") if kind in offered]
        if self._terms is PUBLISHING:
            for kind in kinds:
                connection.add_receiving(kind)
            return
        speaks = self._terms is SPEAKING
        self._tracks = tuple(BroadcastTrack(self._broadcast, kind, leads=speaks) for kind in kinds)
        for track in self._tracks:
            track.on("ended", lambda track=track: self._track_ended(track))
            connection.add_sending(track, receive=speaks and track.kind == "audio")

    async def trickle(self, fragment: str) -> None:
        """Add candidates that the client found after its offer.

        Raises:
            BadRequestError: If the fragment cannot be read.
            TooLargeError: If the fragment is larger than 16 KiB.
            OfferError: If the fragment asks for an ICE restart.
        """
        ice = read_fragment(fragment, allow_loopback=self._loopback, networks=self._settings.peer_networks)
        if self._connection is None or self._offer is None or self._closing is not None:
            return
        at_first = ice_of(self._offer.sdp).credentials
        if any(now is not None and now != before for now, before in zip(ice.credentials, at_first, strict=True)):
            raise OfferError("ICE cannot be restarted here: make a new connection.")
        taken = ice.candidates[: max(0, MAX_CANDIDATES - self._trickled)]
        self._trickled += len(taken)
        await self._connection.add_candidates(taken, complete=ice.complete)

    def send_control(self, event: ServerEvent) -> None:
        """Send a control message, or keep it until the channel opens; drop it if the backlog is full."""
        if self._closing is None:
            self._control.send(event)

    def stats(self) -> PeerStats:
        """Return statistics of this connection; ``None`` for values that the other side has not reported yet."""
        dropped = self._microphone.dropped if self._microphone else 0
        stats = PeerStats(connected=self.connected, microphone_dropped=dropped)
        for sender in self._connection.getSenders() if self._connection else ():
            assert isinstance(sender, PlayoutSender)
            if sender.kind == "audio":
                stats["audio"] = sender.stats()
            else:
                stats["video"] = sender.stats()
        return stats

    async def flush_control(self) -> None:
        """Wait until the last control messages have left, at most ``FLUSH_S``."""
        await self._control.flush()

    def queue_depths(self) -> QueueDepths:
        """Return fill and limit of each queue of this connection: incoming datagrams, unsent bytes, control bytes."""
        datagrams, unsent = self._connection.queue_depths() if self._connection else (0, 0)
        return {
            "datagrams": (datagrams, datagram_guard.MAX_QUEUED_DATAGRAMS),
            "unsent_bytes": (unsent, MAX_UNSENT_BYTES),
            "control_bytes": (self._control.backlog, MAX_BACKLOG_BYTES),
        }

    async def close(self) -> None:
        """Close the connection and wait until its tasks, threads and sockets are gone."""
        if self._closing is None:
            self._close_microphone()
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._connection is not None:
            await self._connection.close()
        for track in self._tracks:
            track.stop()

    def _start(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _gone(self, reason: str, *, failed: bool = False) -> None:
        if self._is_gone or self._closing is not None:
            return
        self._is_gone, self.failed = True, failed
        self._close_microphone()
        logger.info("peer gone: %s", reason)
        self._on_gone(reason)

    async def _watch(self, connection: peer_connection.PlayoutConnection) -> None:
        """Report a client that never connects, falls silent, or has lost a sender."""
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                await self._first_connected.wait()
        except TimeoutError:
            self._gone("not connected in time")
            return
        last_received_s, silent_checks = connection.last_received_s(), 0
        while not self._is_gone:
            await asyncio.sleep(self._settings.silence_timeout_s / CHECKS_PER_SILENCE)
            before_s, last_received_s = last_received_s, connection.last_received_s()
            silent_checks = silent_checks + 1 if last_received_s == before_s else 0
            if silent_checks >= SILENT_CHECKS:
                self._gone("silent for too long")
            elif any(track.readyState != "live" for track in self._tracks):
                self._gone("a sender ended")  # a sender that failed has reported its reason already

    def _state_changed(self) -> None:
        connection = self._connection
        if connection is None:
            return
        match connection.connectionState:
            case "connected":
                self._first_connected.set()
            case "failed":
                self._gone("the connection failed")
            case "closed":
                self._gone("its consent has expired" if connection.consent_expired else "closed by the other side")

    def _track_ended(self, track: BroadcastTrack) -> None:
        # Without a failure the transport has ended; its own state change gives the reason.
        if track.failure is not None:
            unit, error = track.failure
            self._gone(f"{unit} failed: {error!r}", failed=True)

    def _microphone_failed(self, error: Exception) -> None:
        self._gone(f"microphone failed: {error!r}", failed=True)

    def _close_microphone(self) -> None:
        if self._microphone:
            self._microphone.close()
