"""A minute over a link that loses packets both ways, in virtual time: the real sender, and a receiver as Chromium's.

The receiver asks for a lost packet as soon as a later one comes, and again each round trip (``nack_requester.cc`` of
libwebrtc); it shows a picture when that and all before it are whole, at a fixed delay at the earliest. A freeze is a
gap of three times the mean between two pictures, and at least 150 ms above it (W3C webrtc-stats, ``freezeCount``).
"""

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from aiortc.rtp import RTCP_RTPFB_NACK, RtcpReceiverInfo, RtcpRrPacket, RtcpRtpfbPacket, RtpPacket

from lipstream.realtime.encoding.broadcast import Broadcast
from lipstream.realtime.encoding.encoded_unit import EncodedUnit
from lipstream.realtime.rtc.aiortc_patches import sender as sender_module
from lipstream.realtime.rtc.aiortc_patches.peer_connection import PlayoutConnection
from lipstream.realtime.rtc.aiortc_patches.sender import BroadcastTrack, PlayoutSender
from lipstream.realtime.rtc.loss_protection import LossProtection
from lipstream.realtime.rtc.packetizer import Packetizer
from tests.realtime.rtc.loopback import TonePlayout

ONE_WAY_S, FRAME_S, PACKET_BYTES = 0.04, 0.04, 1200
BUFFER_S = 0.1
"""What Chromium's jitter buffer comes to on such a link."""
NACK_TIMER_S = 0.02
MOST_REQUESTS = 10
MINUTES = 10


class VirtualClock:
    """Stands in for the module ``time``, and calls what is due."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()

    def monotonic(self) -> float:
        return self.now_s

    time = monotonic

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self.now_s + seconds, next(self._count), call))

    def run(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while self._due[0][0] <= end_s:
            self.now_s, _, call = heapq.heappop(self._due)
            call()


class LossyCall:
    """The sender, the link and the receiver.

    Attributes:
        shown_s: When each picture was shown.
        octets: Bytes sent, second copies and repairs among them.
    """

    def __init__(self, sender: PlayoutSender, clock: VirtualClock, loss: float) -> None:
        self.sender, self._clock, self._loss = sender, clock, loss
        self._chance = random.Random(5)
        self._frames: list[set[int]] = []  # packets that each frame still lacks, by their unwrapped number
        self._sent_s: list[float] = []
        self._frame_of: dict[int, int] = {}
        self._next_frame, self._highest, self._first, self._lost = 0, -1, -1, 0
        self._missing: dict[int, tuple[int, float]] = {}
        self.shown_s: list[float] = []
        self.octets = 0
        sender._send = self._send  # type: ignore[method-assign]
        for call in (self._encode, self._request, self._report):
            call()

    def _encode(self) -> None:
        self._clock.after(FRAME_S, self._encode)
        bitrate = self.sender.bitrate or 600_000
        count = max(1, round(bitrate * FRAME_S / 8 / PACKET_BYTES))
        stream, index = self.sender._stream, len(self._frames)
        assert stream is not None
        numbers = {stream.sequence + place for place in range(count)}
        self._first = min(numbers) if self._first < 0 else self._first
        self._frames.append(numbers)
        self._sent_s.append(self._clock.now_s)
        self._frame_of |= dict.fromkeys(numbers, index)
        payloads = [bytes(PACKET_BYTES)] * count
        unit = EncodedUnit(payloads, 3600 * index, self._clock.now_s, index == 0, bitrate, 512 * 512)
        self.sender.on_unit(unit)

    def _send(self, packets: Sequence[bytes]) -> None:
        for packet in packets:
            self.octets += len(packet)
            if self._chance.random() >= self._loss:
                read = RtpPacket.parse(packet)
                repair = read.ssrc != self.sender._ssrc
                number = int.from_bytes(read.payload[:2], "big") if repair else read.sequence_number
                self._clock.after(ONE_WAY_S, lambda n=number, r=repair: self._came(n, repair=r))  # type: ignore[misc]

    def _came(self, number: int, *, repair: bool) -> None:
        self._missing.pop(number, None)
        self._frames[self._frame_of[number]].discard(number)
        if not repair:
            gap = range(max(self._highest + 1, self._first), number)
            self._lost += len(gap)
            self._missing |= dict.fromkeys(gap, (0, float("-inf")))
            self._highest = max(self._highest, number)
            if gap:
                self._ask()
        while self._next_frame < len(self._frames) and not self._frames[self._next_frame]:
            earliest_s = self._sent_s[self._next_frame] + ONE_WAY_S + BUFFER_S
            self.shown_s.append(max(self._clock.now_s, earliest_s))
            self._next_frame += 1

    def _request(self) -> None:
        self._clock.after(NACK_TIMER_S, self._request)
        self._ask()

    def _ask(self) -> None:
        now_s = self._clock.now_s
        due = [
            n for n, (asked, at_s) in self._missing.items() if asked < MOST_REQUESTS and now_s - at_s >= 2 * ONE_WAY_S
        ]
        for number in due:
            self._missing[number] = self._missing[number][0] + 1, now_s
        if due and self._chance.random() >= self._loss:
            self._tell(RtcpRtpfbPacket(fmt=RTCP_RTPFB_NACK, ssrc=1, media_ssrc=self.sender._ssrc, lost=due))

    def _report(self) -> None:
        self._clock.after(1.0, self._report)
        sender: Any = self.sender
        sender._RTCRtpSender__lsr, sender._RTCRtpSender__lsr_time = 7, self._clock.now_s
        info = RtcpReceiverInfo(
            ssrc=sender._ssrc, fraction_lost=0, packets_lost=self._lost, highest_sequence=max(0, self._highest),
            jitter=0, lsr=7, dlsr=1,
        )  # fmt: skip
        if self._chance.random() >= self._loss:
            self._clock.after(ONE_WAY_S, lambda: self._tell(RtcpRrPacket(ssrc=1, reports=[info])))
        sender._adaptation.rate.estimate(2_000_000, self._clock.now_s)

    def _tell(self, packet: Any) -> None:
        def handle() -> None:
            with pytest.raises(StopIteration):
                self.sender._handle_rtcp_packet(packet).send(None)

        self._clock.after(ONE_WAY_S, handle)

    def freezes(self) -> tuple[float, float]:
        """Return the number of freezes a minute, and their share of the time, 0..1."""
        gaps = [b - a for a, b in itertools.pairwise(self.shown_s)]
        mean_s = sum(gaps) / len(gaps)
        frozen = [gap for gap in gaps if gap >= max(3 * mean_s, mean_s + 0.15)]
        return len(frozen) / MINUTES, sum(frozen) / sum(gaps)


async def measure(monkeypatch: pytest.MonkeyPatch, loss: float) -> tuple[float, float, float]:
    """Return the freezes a minute, their share of the time, and the bytes a second that were sent."""
    clock = VirtualClock()
    monkeypatch.setattr(sender_module, "time", clock)
    connection = PlayoutConnection(addresses=["127.0.0.1"], ice_servers=[])
    track = BroadcastTrack(Broadcast(TonePlayout()), "video", leads=True)
    sender = connection.add_sending(track, receive=False).sender
    assert isinstance(sender, PlayoutSender)
    sender._stream = Packetizer(
        payload_type=97, ssrc=sender._ssrc, sequence=0, origin=0, extensions={}, mid="0", rtx=(98, sender._rtx_ssrc, 0)
    )
    call = LossyCall(sender, clock, loss)
    clock.run(60 * MINUTES)
    await connection.close()
    return *call.freezes(), call.octets / (60 * MINUTES)


@pytest.mark.parametrize(("loss", "freezes", "frozen"), [(0.05, 1, 0.01), (0.1, 3, 0.03)])
async def test_second_copies_keep_the_picture_moving(
    monkeypatch: pytest.MonkeyPatch, loss: float, freezes: float, frozen: float
) -> None:
    protected = await measure(monkeypatch, loss)
    monkeypatch.setattr(LossProtection, "update", lambda *_, **__: None)
    bare = await measure(monkeypatch, loss)
    print(f"{loss:.0%} lost each way: freezes a minute, share of the time, bytes/s: {protected}; sent once: {bare}")
    assert protected[0] <= freezes
    assert protected[1] <= frozen
    assert bare[0] > 2 * protected[0], "without second copies the goal is missed"
    assert protected[2] <= 1.1 * bare[2], "the copies are paid for"
