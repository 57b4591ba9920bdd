"""A room without LiveKit's server, which no package registry has: its unmodified clients meet here over real WebRTC.

It speaks as much of the protocol as an agent and a face need: signalling by WebSocket in LiveKit's own messages, a
connection for publishing and one for data of the room to each client, and data packets (byte streams, remote calls)
passed on to whom they are for. Published tracks are watched by the room itself, as a listener would. It has no layers,
no congestion control, no relays and no reconnection, so it proves the clients' code and not LiveKit's.
"""

import asyncio
import http
import itertools
import json
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import jwt
from aiortc import MediaStreamTrack, RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import candidate_from_sdp
from livekit.protocol import models, rtc
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

OnTrack = Callable[["Member", Any, MediaStreamTrack], asyncio.Event]
"""Begins to watch a track; returns what is set once something of it has come."""
_numbers = itertools.count(1)


class Member:
    """One client in the room."""

    def __init__(self, room: "StandInRoom", socket: ServerConnection, claims: dict[str, Any]) -> None:
        self.claims = claims
        self.requests: list[Any] = []
        self._room, self._socket = room, socket
        self.info = models.ParticipantInfo(
            sid=f"PA_{next(_numbers):08d}",
            identity=claims["sub"],
            state=models.ParticipantInfo.ACTIVE,
            attributes=claims.get("attributes", {}),
            kind=models.ParticipantInfo.Kind.Value(claims.get("kind", "standard").upper()),
        )
        self.info.permission.CopyFrom(
            models.ParticipantPermission(can_subscribe=True, can_publish=True, can_publish_data=True)
        )
        one = RTCConfiguration(bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)  # as LiveKit: one transport for all
        self.publisher, self.subscriber = RTCPeerConnection(one), RTCPeerConnection(one)
        self._channels = {label: self.subscriber.createDataChannel(label) for label in ("_reliable", "_lossy")}
        self._announced: dict[str, Any] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.publisher.on("track", lambda track: self.start(self._take(track)))
        self.publisher.on("datachannel", lambda channel: channel.on("message", lambda raw: self._pass_on(channel, raw)))

    def start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def send(self, **message: Any) -> None:
        await self._socket.send(rtc.SignalResponse(**message).SerializeToString())

    async def offer(self) -> None:
        await self.subscriber.setLocalDescription(await self.subscriber.createOffer())
        await self.send(offer=rtc.SessionDescription(type="offer", sdp=self.subscriber.localDescription.sdp))

    async def hear(self, request: Any) -> None:
        match request.WhichOneof("message"):
            case "offer":
                await self.publisher.setRemoteDescription(RTCSessionDescription(request.offer.sdp, "offer"))
                await self.publisher.setLocalDescription(await self.publisher.createAnswer())
                answer = rtc.SessionDescription(
                    type="answer", sdp=self.publisher.localDescription.sdp, id=request.offer.id
                )
                await self.send(answer=answer)
            case "answer":
                await self.subscriber.setRemoteDescription(RTCSessionDescription(request.answer.sdp, "answer"))
            case "trickle":
                await self._trickle(request.trickle)
            case "add_track":
                asked = request.add_track
                info = models.TrackInfo(
                    sid=f"TR_{next(_numbers):08d}", type=asked.type, name=asked.name, source=asked.source
                )
                self.requests.append(asked)
                self._announced[asked.cid] = info
                await self.send(track_published=rtc.TrackPublishedResponse(cid=asked.cid, track=info))
            case "ping_req":
                await self.send(pong_resp=rtc.Pong(last_ping_timestamp=request.ping_req.timestamp))
            case "leave":
                await self._socket.close()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(self.publisher.close(), self.subscriber.close())

    async def _trickle(self, trickled: Any) -> None:
        init = json.loads(trickled.candidateInit)
        line = init["candidate"].removeprefix("candidate:")
        if not line or ":" in line.split()[4]:  # aiortc needs none of IPv6
            return
        candidate = candidate_from_sdp(line)
        candidate.sdpMid, candidate.sdpMLineIndex = init.get("sdpMid"), init.get("sdpMLineIndex")
        to_publisher = trickled.target == rtc.SignalTarget.PUBLISHER
        await (self.publisher if to_publisher else self.subscriber).addIceCandidate(candidate)

    async def _take(self, track: MediaStreamTrack) -> None:
        kind = models.TrackType.AUDIO if track.kind == "audio" else models.TrackType.VIDEO
        cid = next(cid for cid, info in self._announced.items() if info.type == kind)
        info = self._announced.pop(cid)
        self.info.tracks.append(info)
        come = self._room.on_track(self, info, track)
        await self._room.tell_of(self)
        await self.send(track_subscribed=rtc.TrackSubscribed(track_sid=info.sid))
        if track.kind == "video":  # its first key frame may come before aiortc listens, which asks for no other
            receiver = next(one for one in self.publisher.getReceivers() if one.track is track)
            while not come.is_set():
                for ssrc in list(receiver._RTCRtpReceiver__active_ssrc):  # type: ignore[attr-defined]
                    await receiver._send_rtcp_pli(ssrc)
                await asyncio.sleep(0.25)

    def _pass_on(self, channel: Any, raw: bytes) -> None:
        packet = models.DataPacket.FromString(raw)
        packet.participant_identity, packet.participant_sid = self.info.identity, self.info.sid
        for other in self._room.members.values():
            wanted = not packet.destination_identities or other.info.identity in packet.destination_identities
            if other is not self and wanted:
                other._channels[channel.label].send(packet.SerializeToString())


class StandInRoom:
    """The room; an async context manager that listens on loopback.

    Args:
        on_track: Called with each track that a member publishes.
    """

    def __init__(self, on_track: OnTrack) -> None:
        self.on_track = on_track
        self.members: dict[str, Member] = {}
        self.left: list[str] = []
        self._server: Server | None = None

    @property
    def url(self) -> str:
        assert self._server
        return f"ws://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await serve(self._serve, "127.0.0.1", 0, process_request=_admit)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        await self._server.wait_closed()

    async def tell_of(self, member: Member) -> None:
        for other in list(self.members.values()):
            if other is not member:
                await other.send(update=rtc.ParticipantUpdate(participants=[member.info]))

    async def _serve(self, socket: ServerConnection) -> None:
        assert socket.request
        me = Member(self, socket, jwt.decode(_token(socket.request), options={"verify_signature": False}))
        others = [other.info for other in self.members.values()]
        self.members[me.info.identity] = me
        await me.send(
            join=rtc.JoinResponse(
                room=models.Room(sid="RM_1", name="room"),
                participant=me.info,
                other_participants=others,
                subscriber_primary=True,
                ping_interval=5,
                ping_timeout=15,
                server_info=models.ServerInfo(edition=models.ServerInfo.Standard, version="1.9.0", protocol=15),
            )
        )
        await self.tell_of(me)
        me.start(me.offer())
        try:
            async for message in socket:
                assert isinstance(message, bytes)
                await me.hear(rtc.SignalRequest.FromString(message))
        finally:
            del self.members[me.info.identity]
            self.left.append(me.info.identity)
            me.info.state = models.ParticipantInfo.DISCONNECTED
            await self.tell_of(me)
            await me.close()


def _token(request: Request) -> str:
    asked = parse_qs(urlsplit(request.path).query)
    return asked["access_token"][0] if "access_token" in asked else request.headers["Authorization"].split()[1]


def _admit(connection: ServerConnection, request: Request) -> Response | None:
    match urlsplit(request.path).path:
        case "/rtc":
            return None
        case "/rtc/validate":
            return connection.respond(http.HTTPStatus.OK, "success")
        case _:  # a newer protocol, which the clients ask for first
            return connection.respond(http.HTTPStatus.NOT_FOUND, "")
