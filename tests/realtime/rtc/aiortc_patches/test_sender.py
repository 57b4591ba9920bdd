"""The reasons for a sender of our own, and a check of the private names of aiortc that it uses.

A test or an assertion that names "stock" shows the fault of the unpatched library.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_RTPFB_NACK,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRtpfbPacket,
    RtcpSenderInfo,
    RtcpSrPacket,
    RtpPacket,
)

from lipstream.realtime.encoding.broadcast import Broadcast
from lipstream.realtime.encoding.pacing import PicturePacer, SpeechPacer, picture_frame, speech_frame
from lipstream.realtime.encoding.rendition import KEY_FRAME_INTERVAL_S
from lipstream.realtime.rtc.aiortc_patches.peer_connection import PlayoutConnection
from lipstream.realtime.rtc.aiortc_patches.sender import MAX_ROUND_TRIP_S, NTP_EPOCH_S, BroadcastTrack, PlayoutSender
from lipstream.realtime.rtc.packetizer import MAX_AGE_TICKS, Packetizer
from tests.realtime.rtc.loopback import Client, LoopbackCall, TonePlayout, connected, connection_of, until

SENDER_NAMES = (
    "lsr",
    "lsr_time",
    "mid",
    "ntp_timestamp",
    "octet_count",
    "packet_count",
    "rtp_exited",
    "rtp_started",
    "rtp_timestamp",
)


async def test_the_private_names_are_still_there() -> None:
    pc = RTCPeerConnection()
    sender = pc.addTransceiver("audio").sender
    for name in SENDER_NAMES:
        assert hasattr(sender, f"_RTCRtpSender__{name}")
    for name in ("_run_rtp", "_send_rtcp", "_handle_rtcp_packet", "_ssrc", "_rtx_ssrc"):
        assert hasattr(sender, name)
    assert hasattr(sender.transport, "_tx_srtp")
    assert hasattr(sender.transport.transport._connection, "_nominated")
    await pc.close()


def a_sender(kind: str) -> tuple[PlayoutConnection, PlayoutSender]:
    pc = PlayoutConnection(addresses=["127.0.0.1"], ice_servers=[])
    sender = pc.add_sending(BroadcastTrack(Broadcast(TonePlayout()), kind, leads=True), receive=False).sender
    assert isinstance(sender, PlayoutSender)
    return pc, sender


# Sender reports


async def report_errors(client: Client, playout: TonePlayout, wall_s: float) -> dict[str, list[float]]:
    """Return how far each report's wall time is from when its unit was due, s, by kind of media."""
    await until(lambda: len(client.reports) == 2 and all(len(r) > 2 for r in client.reports.values()), "reports")
    errors: dict[str, list[float]] = {}
    for transceiver in client.pc.getTransceivers():
        ssrc = next(s.ssrc for s in _remote_ssrcs(client, transceiver.mid))
        audio = transceiver.kind == "audio"
        first = (playout.speech_sent if audio else playout.pictures_sent)[0][0]
        pts, samples = (960, 320) if audio else (3600, 640)
        for report in client.reports[ssrc]:
            info = report.sender_info
            steps = (info.rtp_timestamp - client.rtp[ssrc][0].timestamp) % 2**32
            assert steps % pts == 0
            due_s = playout.clock.leaves_at((first + steps // pts) * samples)
            sent_s = info.ntp_timestamp / 2**32 - NTP_EPOCH_S - wall_s
            errors.setdefault(transceiver.kind, []).append(sent_s - due_s)
    return errors


def _remote_ssrcs(client: Client, mid: str | None) -> Any:
    remote = client.pc.__dict__["_RTCPeerConnection__currentRemoteDescription"]
    return next(media.ssrc for media in remote.media if media.rtp.muxId == mid)


async def test_reports_carry_the_medias_time_however_late_it_leaves() -> None:
    client, playout = Client(control=False), TonePlayout()
    playout.slow_picture_s = 0.02
    async with connected(client, playout=playout) as call:
        wall_s = connection_of(call.peer)._wall_offset_s
        errors = await report_errors(client, playout, wall_s)
    assert abs(wall_s - time.time() + time.monotonic()) < 5
    assert max(map(abs, errors["audio"])) < 0.002
    assert max(map(abs, errors["video"])) < 0.002


class StockTrack(MediaStreamTrack):
    """The same units for a stock sender."""

    def __init__(self, kind: str, pacer: Any, frame: Any) -> None:
        super().__init__()
        self.kind, self._pacer, self._frame = kind, pacer, frame

    async def recv(self) -> Any:
        return self._frame(*await self._pacer.next())


async def test_stock_reports_carry_the_time_of_sending() -> None:
    client, playout = Client(control=False), TonePlayout()
    playout.slow_picture_s = 0.02
    server = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    server.addTrack(StockTrack("audio", SpeechPacer(playout), speech_frame))
    server.addTrack(StockTrack("video", PicturePacer(playout), lambda index, paint: picture_frame(index, paint())))
    await server.setRemoteDescription(RTCSessionDescription(await client.offer(), "offer"))
    await server.setLocalDescription(await server.createAnswer())
    await client.accept(server.localDescription.sdp)
    errors = await report_errors(client, playout, time.time() - time.monotonic())
    assert min(errors["video"]) > 0.015
    await server.close()
    await client.close()


async def test_there_is_no_report_before_the_first_packet() -> None:
    pc, sender = a_sender("audio")
    sent: list[bytes] = []
    transport: Any = pc.getTransceivers()[0].sender.transport
    transport._send_rtp = sent.append
    await sender._send_rtcp([RtcpSrPacket(ssrc=1, sender_info=RtcpSenderInfo(0, 0, 0, 0))])
    assert not sent
    await pc.close()


@pytest.mark.parametrize(("ago_s", "trip_s"), [(0.5, 0.4), (3600.0, None), (-3600.0, None)])
async def test_a_step_of_the_wall_clock_is_no_round_trip(ago_s: float, trip_s: float | None) -> None:
    pc, sender = a_sender("video")
    sender._RTCRtpSender__lsr, sender._RTCRtpSender__lsr_time = 7, time.time() - ago_s
    report = RtcpReceiverInfo(
        ssrc=1, fraction_lost=0, packets_lost=0, highest_sequence=0, jitter=0, lsr=7, dlsr=int(0.1 * 65536)
    )
    measured = sender._round_trip_s(report)
    if trip_s is None:
        assert measured is None
    else:
        assert measured is not None
        assert trip_s <= measured < MAX_ROUND_TRIP_S
    await pc.close()


async def test_a_broken_estimate_is_ignored() -> None:
    pc, sender = a_sender("video")
    for fci in (b"", b"REMB", b"REMB" + bytes([200, 0, 0, 0]), b"xxxx" + bytes(8)):
        await sender._handle_rtcp_packet(RtcpPsfbPacket(fmt=RTCP_PSFB_APP, ssrc=1, media_ssrc=0, fci=fci))
    assert sender.bitrate is None
    await pc.close()


# Key frames


async def test_key_frames_on_request_are_few() -> None:
    client = Client(control=False)
    async with connected(client) as call:
        await until(lambda: client.frames["video"], "picture")
        receiver = next(t.receiver for t in client.pc.getTransceivers() if t.kind == "video")
        ssrc = next(s.ssrc for s in _remote_ssrcs(client, "1"))
        sender = video_sender(call)
        started, sent = time.monotonic(), len(call.playout.pictures_sent)
        while key_frames(sender) < 4:
            await receiver._send_rtcp_pli(ssrc)
            await asyncio.sleep(0.01)
        assert time.monotonic() - started > 2 * KEY_FRAME_INTERVAL_S
        assert len(call.playout.pictures_sent) - sent > 3


# What was lost


def key_frames(sender: PlayoutSender) -> float:
    return sender.stats()["key_frames"] or 0


def stream_of(sender: PlayoutSender) -> Packetizer:
    assert sender._stream is not None
    return sender._stream


def video_sender(call: LoopbackCall) -> PlayoutSender:
    sender = next(s for s in connection_of(call.peer).getSenders() if s.kind == "video")
    assert isinstance(sender, PlayoutSender)
    return sender


async def test_what_is_sent_again_is_bounded_and_stock_sends_whatever_is_asked_for() -> None:
    client = Client(control=False)
    async with connected(client) as call:
        await until(lambda: len(client.frames["video"]) > 5, "pictures")
        sender = video_sender(call)
        sent: list[bytes] = []
        way = sender._send

        def note_all(packets: Sequence[bytes]) -> None:
            sent.extend(packets)
            way(packets)

        sender._send = note_all  # type: ignore[method-assign]
        stream = stream_of(sender)
        stream.write([bytes(1200)], 0, send_time=0, level_dbov=None)
        number = (stream.sequence - 1) % 65536
        for _ in range(200):
            sender._send_again(number, time.monotonic())
        again = [packet for packet in sent if len(packet) > 1200]
        assert 1 <= len(again) < 100
        sender._send_again((number + 1000) % 65536, time.monotonic())
        assert len([packet for packet in sent if len(packet) > 1200]) == len(again)
    stock = RTCPeerConnection()
    asked: list[bytes] = []
    usual: Any = stock.addTransceiver("video").sender
    usual.transport._send_rtp = lambda packet: _note(asked, packet)
    packet = RtpPacket(payload_type=97, sequence_number=7)
    packet.payload = bytes(1200)
    usual._RTCRtpSender__rtp_history[7] = packet
    for _ in range(200):
        await RTCRtpSender._retransmit(usual, 7)
    assert len(asked) == 200
    await stock.close()


async def _note(asked: list[bytes], packet: bytes) -> None:
    asked.append(packet)


async def test_a_lost_packet_comes_again_and_the_picture_is_whole() -> None:
    client = Client(control=False)
    async with connected(client) as call:
        sender = video_sender(call)
        await until(lambda: len(client.frames["video"]) > 5, "pictures")
        lose = [True]
        way = sender._send

        def lossy(packets: Sequence[bytes]) -> None:
            if lose and len(client.rtp):
                lose.pop()
                packets = packets[1:]
            way(packets)

        sender._send = lossy  # type: ignore[method-assign]
        await until(lambda: not lose, "loss")
        keys, seen = key_frames(sender), len(client.frames["video"])
        await until(lambda: len(client.frames["video"]) > seen + 20, "pictures after the loss")
        assert key_frames(sender) == keys


async def test_an_outage_is_mended_by_a_key_frame_and_by_nothing_old() -> None:
    client = Client(control=False)
    async with connected(client) as call:
        sender = video_sender(call)
        stream: Any = stream_of(sender)
        await until(lambda: len(client.frames["video"]) > 5, "pictures")
        way = sender._send
        sent: list[bytes] = []
        again: list[int] = []
        sender._send = sent.extend  # type: ignore[method-assign, assignment]
        stream_again = stream.again

        def note_again(sequence: int, send_time: int) -> Any:
            again.append(sequence)
            return stream_again(sequence, send_time)

        stream.again = note_again
        first, begun = stream.sequence, stream.timestamp
        await until(lambda: (stream.timestamp - begun) % 2**32 > 1.2 * MAX_AGE_TICKS, "outage")
        keys = key_frames(sender)
        sender._send = way  # type: ignore[method-assign]
        missed = range(first, first + len(sent))
        nack = RtcpRtpfbPacket(fmt=RTCP_RTPFB_NACK, ssrc=1, media_ssrc=0, lost=[n % 65536 for n in missed])
        await sender._handle_rtcp_packet(nack)
        await until(lambda: key_frames(sender) > keys, "a key frame")
        await sender._handle_rtcp_packet(nack)
        assert not again
        assert not sender._adaptation.wants_key(time.monotonic()), "the key frame has replaced them"


# Ways that take no more


class FullSocket:
    def __init__(self) -> None:
        self.sent = 0

    def get_write_buffer_size(self) -> int:
        return 1 << 20

    def sendto(self, *_: object) -> None:
        self.sent += 1


async def test_a_socket_that_takes_no_more_costs_nothing_and_keeps_nothing() -> None:
    client = Client(control=False)
    async with connected(client) as call:
        await until(lambda: client.frames["video"], "picture")
        (protocol,) = client_facing(call)
        socket, way = FullSocket(), protocol.transport
        protocol.transport = socket
        encoded = call.broadcast.encoded["audio/opus"]
        await until(lambda: video_sender(call).unsent > 3, "refusals")
        await until(lambda: call.broadcast.encoded["audio/opus"] > encoded + 10, "the broadcast's going on")
        assert socket.sent == 0
        protocol.transport = way


def client_facing(call: LoopbackCall) -> list[Any]:
    (transport,) = connection_of(call.peer)._RTCPeerConnection__iceTransports
    return transport._connection._protocols


async def test_on_a_lossy_link_each_picture_goes_twice_and_a_lost_one_needs_no_request() -> None:
    client = Client(control=False)
    async with connected(client) as call:
        await until(lambda: len(client.frames["video"]) > 5, "pictures")
        sender = video_sender(call)
        rate = sender._adaptation.rate
        sender._protection.update = lambda *_, **__: None  # type: ignore[method-assign]  # this link loses nothing
        sender._protection.active = True
        assert sender.bitrate == (rate.target or 0) // 2
        assert sender.stats()["doubled"]
        assert sender.stats()["target_bitrate"] == rate.target, "copies are part of what the link carries"
        await until(lambda: sender._to_copy, "an encode at half of the bitrate")
        first = stream_of(sender).sequence
        written: list[RtpPacket] = []
        way = sender._send

        def lose_first_copies(packets: Sequence[bytes]) -> None:
            read = [RtpPacket.parse(packet) for packet in packets]
            written.extend(read)
            way([packet for packet, known in zip(packets, read, strict=True) if known.ssrc != sender._ssrc])

        sender._send = lose_first_copies  # type: ignore[method-assign]
        seen = len(client.frames["video"])
        await until(lambda: len(client.frames["video"]) > seen + 10, "pictures of second copies alone")
        sender._send = way  # type: ignore[method-assign]
        once = [packet.sequence_number for packet in written if packet.ssrc == sender._ssrc]
        copies = [packet for packet in written if packet.ssrc == sender._rtx_ssrc]
        twice = [int.from_bytes(packet.payload[:2], "big") for packet in copies]
        assert once[0] == first
        assert set(range(first, first + 10)) <= {*twice}
        assert sender.unsent == 0
        sender._protection.active = False
        await until(lambda: not sender._to_copy, "the end of the copies")
        assert sender.bitrate == rate.target
