"""The receiving end, from a datagram to decoded sound. Where it says "stock", the test shows what the library does."""

import asyncio
import random
import struct
from types import SimpleNamespace
from typing import Any, cast

import av
import numpy as np
import pytest
from aiortc.codecs.opus import OpusDecoder
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import RtpPacket
from av.error import EOFError as DecoderEndError

from lipstream.realtime.rtc.aiortc_patches.receiver import (
    LowLatencyReceiver,
    LowLatencyTransport,
    SoundDecoder,
    payload_of,
)
from lipstream.realtime.rtc.aiortc_patches.tolerant_transport import dropped_packets
from lipstream.realtime.rtc.microphone import MicrophoneInput
from lipstream.realtime.test_client.caller import _encoded
from lipstream.realtime.timeline import PACKET_SOUND, SOUND_RATE_HZ
from tests.realtime.rtc.loopback import Client, LoopbackCall, connected, connection_of, until

PACKET = bytes([0xF8, 0xFF, 0xFE])
"""Opus for 20 ms of silence."""


def tone(packets: int) -> np.ndarray:
    sound: np.ndarray = 0.5 * np.sin(np.arange(packets * PACKET_SOUND) * 0.05)
    return sound.astype(np.float32)


class SoundCollector:
    def __init__(self) -> None:
        self.heard: list[int] = []
        self.receiver = LowLatencyReceiver(
            "audio", cast("RTCDtlsTransport", SimpleNamespace(state="new")), cast("MicrophoneInput", self)
        )
        codec = RTCRtpCodecParameters(mimeType="audio/opus", clockRate=48000, channels=2, payloadType=111)
        self.receiver._RTCRtpReceiver__codecs[111] = codec

    def push(self, timestamp: int, samples: np.ndarray, arrived_s: float) -> None:
        self.heard.append(timestamp // PACKET_SOUND)


def packets(count: int, *, lost: tuple[int, ...] = ()) -> list[RtpPacket]:
    made = [RtpPacket(111, sequence_number=n, timestamp=PACKET_SOUND * n, payload=PACKET) for n in range(count)]
    return [packet for packet in made if packet.sequence_number not in lost]


async def prompt_delays(ear: SoundCollector) -> list[int]:
    """Return how many packets later each one came out."""
    waits = []
    for packet in packets(200, lost=(50,)):
        await ear.receiver._handle_rtp_packet(packet, 0)
        waits += [packet.sequence_number - number for number in ear.heard]
        ear.heard.clear()
    return waits


async def test_sound_is_not_held_back_and_stock_holds_it_for_ever() -> None:
    waits = await prompt_delays(SoundCollector())
    assert len(waits) == 199
    assert max(waits) <= 2
    assert set(waits[60:]) == {0}
    buffer = JitterBuffer(capacity=16, prefetch=4)
    stock: list[int] = []
    for packet in packets(200, lost=(50,)):
        packet._data = packet.payload  # type: ignore[attr-defined]
        _, frame = buffer.add(packet)
        stock += [packet.sequence_number - frame.timestamp // PACKET_SOUND] if frame else []
    assert stock[-1] >= 10


async def test_a_packet_without_payload_is_skipped_and_ends_a_stock_decoder() -> None:
    ear = SoundCollector()
    first, empty, last = packets(3)
    empty.payload = b""
    for packet in (first, empty, last):
        await ear.receiver._handle_rtp_packet(packet, 0)
    assert ear.heard == [0, 2]
    decoder = OpusDecoder()
    decoder.decode(JitterFrame(b"", 0))
    with pytest.raises(DecoderEndError):
        decoder.decode(JitterFrame(PACKET, 960))


async def test_what_cannot_be_decoded_costs_its_packet() -> None:
    ear = SoundCollector()
    first, bad, last = packets(3)
    bad.payload = b"\xff\xff" + bytes(3)
    for packet in (first, bad, last):
        await ear.receiver._handle_rtp_packet(packet, 0)
    assert ear.heard == [0, 2]
    with pytest.raises(av.FFmpegError):
        SoundDecoder().decode(bad.payload)


def test_one_channel_is_decoded_to_what_two_are_on_average() -> None:
    ours, stock = SoundDecoder(), OpusDecoder()
    encoded = _encoded(tone(50))
    heard = np.concatenate([ours.decode(packet) for packet in encoded])
    both = [frame for n, packet in enumerate(encoded) for frame in stock.decode(JitterFrame(packet, 960 * n))]
    sound = [frame.to_ndarray() for frame in both if isinstance(frame, av.AudioFrame)]
    mean = np.concatenate([samples.reshape(-1, 2).mean(axis=1) for samples in sound]) / 32768
    assert heard.dtype == np.float32
    assert heard.size == 50 * PACKET_SOUND
    assert np.abs(heard - mean).max() < 1e-4


# The way from the datagram


def transport_of(call: LoopbackCall) -> Any:
    (transport,) = connection_of(call.peer)._RTCPeerConnection__dtlsTransports
    return transport


async def spoken(client: Client, call: LoopbackCall, sequence: int, *, payload_type: int = 111) -> None:
    """Have a packet of the client's microphone arrive at the server, between two rounds of the event loop."""
    sender = client.pc.getTransceivers()[0].sender
    header = struct.pack("!BBHLL", 0x80, payload_type, sequence, sequence * 960, sender._ssrc)
    data = sender.transport._tx_srtp.protect(header + PACKET)
    transport_of(call).transport._connection.data_received(data, 1)


async def one_source(call: LoopbackCall) -> tuple[int, int]:
    """Wait for the microphone; return its payload type and its next sequence number but some."""
    await until(lambda: call.sound and transport_of(call)._sources, "microphone")
    ((payload_type, ssrc, receiver),) = transport_of(call)._sources.values()
    return payload_type, (receiver._RTCRtpReceiver__remote_streams[ssrc].max_seq + 100) % 65536


async def test_sound_is_handed_on_in_the_round_it_comes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    async with connected(client) as call:
        payload_type, sequence = await one_source(call)
        heard = len(call.sound)
        await spoken(client, call, sequence, payload_type=payload_type)
        assert len(call.sound) == heard + 1
        monkeypatch.setattr(LowLatencyTransport, "take", lambda *_: False)
        await spoken(client, call, sequence + 1, payload_type=payload_type)
        assert len(call.sound) == heard + 1, "stock: not before a task has run"
        await until(lambda: len(call.sound) > heard + 1, "the long way")


async def test_each_packet_is_heard_once_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    async with connected(client) as call:
        payload_type, sequence = await one_source(call)
        ((_, ssrc, receiver),) = transport_of(call)._sources.values()
        statistics = receiver._RTCRtpReceiver__remote_streams[ssrc]
        heard, received = len(call.sound), statistics.packets_received
        taken: list[bytes] = []
        connection = transport_of(call).transport._connection
        stock = connection.data_received

        def note(data: bytes, part: int) -> None:
            taken.append(data)
            stock(data, part)

        monkeypatch.setattr(connection, "data_received", note)
        await spoken(client, call, sequence, payload_type=payload_type)
        stock(taken[-1], 1)
        assert len(call.sound) == heard + 1, "a copy is no sound"
        assert statistics.packets_received == received + 1


async def test_another_payload_type_and_rtcp_go_the_long_way() -> None:
    client = Client()
    async with connected(client) as call:
        _, sequence = await one_source(call)
        queue = transport_of(call).transport._connection._queue
        waiting = queue.qsize()
        await spoken(client, call, sequence, payload_type=5)
        assert queue.qsize() == waiting + 1
        report = struct.pack("!BBHL", 0x80, 201, 1, client.pc.getTransceivers()[0].sender._ssrc)
        data = client.pc.getTransceivers()[0].sender.transport._tx_srtp.protect_rtcp(report)
        transport_of(call).transport._connection.data_received(data, 1)
        assert queue.qsize() == waiting + 2
        await asyncio.sleep(0)
        assert call.peer.connected


async def test_a_bad_packet_of_a_known_source_costs_itself() -> None:
    client = Client()
    async with connected(client) as call:
        payload_type, sequence = await one_source(call)
        sender = client.pc.getTransceivers()[0].sender
        header = struct.pack("!BBHLL", 0x90, payload_type, sequence, 0, sender._ssrc)
        before, heard = dropped_packets.malformed, len(call.sound)
        data = sender.transport._tx_srtp.protect(header + struct.pack("!HH", 0xBEDE, 0) + b"")
        assert transport_of(call).take(data)
        padded = struct.pack("!BBHLL", 0xA0, payload_type, sequence + 1, 0, sender._ssrc) + bytes([200])
        assert transport_of(call).take(sender.transport._tx_srtp.protect(padded))
        assert dropped_packets.malformed == before + 1
        assert len(call.sound) == heard
        assert transport_of(call).take(data[:12] + bytes(20)), "a forgery is dropped"
        await until(lambda: len(call.sound) > heard, "the microphone again")


def test_payloads_are_those_that_stock_finds() -> None:
    chance = random.Random(5)
    agreed = refused = 0
    for _ in range(5000):
        packet = bytes([chance.choice((0x80, 0x90, 0xA0, 0xB0)) | chance.randrange(3), 111]) + chance.randbytes(10)
        body = bytearray(chance.randbytes(chance.randrange(24)))
        if packet[0] & 0x10 and len(body) > 12:
            place = 4 * (packet[0] & 15)
            body[place : place + 4] = struct.pack("!HH", 0, chance.randrange(3))
        packet += bytes(body)
        try:
            stock = RtpPacket.parse(packet).payload
        except ValueError:
            refused += 1
            with pytest.raises(ValueError):
                payload_of(packet)
        else:
            agreed += 1
            assert payload_of(packet) == stock
    assert agreed > 500 < refused


def test_the_decoder_gives_what_a_packet_holds() -> None:
    codec = av.CodecContext.create("libopus", "w")
    codec.sample_rate, codec.format, codec.layout = SOUND_RATE_HZ, "s16", "mono"
    codec.options = {"frame_duration": "60"}
    codec.open()
    frame = av.AudioFrame.from_ndarray(np.zeros((1, codec.frame_size), np.int16), format="s16", layout="mono")
    frame.sample_rate = SOUND_RATE_HZ
    (packet,) = [*codec.encode(frame), *codec.encode(None)][:1]
    assert SoundDecoder().decode(bytes(packet)).size == codec.frame_size == 2880
