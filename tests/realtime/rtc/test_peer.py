import asyncio
import gc
import itertools
import json
import os
import re
import threading
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from aiortc import RTCConfiguration

from lipstream.realtime.encoding.broadcast import Broadcast
from lipstream.realtime.errors import OfferError, TooLargeError, UnavailableError
from lipstream.realtime.rtc import control_channel
from lipstream.realtime.rtc.peer import Peer
from lipstream.realtime.rtc.rtc_settings import RtcSettings, addresses_of
from tests.realtime.rtc.loopback import WAIT_S, Client, LoopbackCall, TonePlayout, connected, until


async def test_sound_and_picture_go_out_and_the_microphone_comes_in() -> None:
    client = Client()
    async with connected(client) as call:
        await until(lambda: len(client.frames["audio"]) > 20, "sound")
        await until(lambda: len(client.frames["video"]) > 10, "pictures")
        await until(lambda: len(call.sound) > 20, "microphone")
        positions = [position for position, _, _ in call.sound]
        assert positions[0] == 0
        assert all(b - a == 960 for a, b in itertools.pairwise(positions))
        assert client.frames["video"][0].width == 128
        figures = call.peer.stats()
        assert figures["connected"]
        assert figures["video"]["bytes_sent"] > 0
        assert (figures["video"]["target_bitrate"] or 0) > 0
        assert not call.gone


@pytest.mark.parametrize("told", [[], ["a=candidate:1 1 udp 2130706431 fd00::2 55742 typ host"]])
async def test_a_client_whose_candidates_cannot_be_used_is_met_by_its_own_checks(told: list[str]) -> None:
    client = Client()
    call = LoopbackCall(TonePlayout())
    offer = await client.offer()
    assert "a=end-of-candidates" in offer
    lines = [line for line in offer.splitlines() if not line.startswith("a=candidate:")]
    place = lines.index("a=end-of-candidates")
    await client.accept(await call.peer.answer("\r\n".join([*lines[:place], *told, *lines[place:]])))
    await until(lambda: len(client.frames["video"]) > 3, "pictures")
    await call.peer.close()
    await client.close()


DATA_FIRST = RTCConfiguration(iceServers=[], alwaysNegotiateDataChannels=True)


@pytest.mark.parametrize(
    ("options", "order"),
    [
        ({"video_first": True}, "video audio application"),
        ({"control": False, "configuration": DATA_FIRST}, "application audio video"),
        ({"control": False, "configuration": DATA_FIRST, "video_first": True}, "application video audio"),
    ],
)
async def test_an_offer_that_does_not_begin_with_sound_connects(options: dict[str, Any], order: str) -> None:
    client = Client(**options)
    offer = await client.offer()
    assert re.findall(r"m=(\w+)", offer) == order.split()
    call = LoopbackCall(TonePlayout())
    answer = await call.peer.answer(offer)
    assert re.findall(r"m=(\w+) [1-9]", answer) == order.split()
    await client.accept(answer)
    await until(lambda: len(client.frames["audio"]) > 10 and len(client.frames["video"]) > 5, "sound and pictures")
    await until(lambda: len(call.sound) > 10, "microphone")
    await client.close()
    await call.close()


async def test_sound_goes_out_to_a_client_that_only_listens() -> None:
    client = Client(microphone=False, control=False)
    async with connected(client) as call:
        await until(lambda: len(client.frames["audio"]) > 10, "sound")
        assert not call.sound


async def test_the_picture_of_a_client_is_never_taken() -> None:
    client = Client(video="sendrecv")
    call = LoopbackCall(TonePlayout())
    answer = await call.peer.answer(await client.offer())
    assert "a=sendonly" in answer.split("m=video")[1]
    await call.peer.close()
    await client.close()


async def test_the_answer_announces_error_correction_and_one_codec_for_sound() -> None:
    client = Client()
    call = LoopbackCall(TonePlayout())
    answer = await call.peer.answer(await client.offer())
    sound = answer.split("m=audio")[1].split("m=video")[0]
    assert "useinbandfec=1" in sound
    assert sound.count("a=rtpmap") == 1
    await call.peer.close()
    await client.close()


async def test_control_messages_are_taken_or_refused() -> None:
    client = Client()
    async with connected(client) as call:
        await until(lambda: client.channel.readyState == "open", "channel")
        for message in (
            '{"type": "say", "text": "Hello.", "n": 1}',
            "nonsense",
            "[1]",
            '{"n": NaN}',
            b"{}",
            '{"n": "' + 5000 * "x" + '"}',
            '{"type": "say"}',
            '{"type": ["say"]}',
        ):
            client.channel.send(message)
        client.channel.send('{"type": "end_of_turn"}')
        await until(lambda: len(client.messages) == 8, "replies")
        replies = [json.loads(message) for message in client.messages]
        assert call.controls == [{"type": "say", "text": "Hello."}, {"type": "end_of_turn"}]
        assert all(reply.keys() == {"type", "message"} and reply["type"] == "error" for reply in replies)
        assert replies[6] == {"type": "error", "message": "control message of type ['say'] is not known here"}
        assert replies[7]["message"] == "The server could not do this."
        call.peer.send_control({"type": "speech_started", "sample": 640})
        await until(lambda: len(client.messages) == 9, "event")
        assert json.loads(client.messages[8])["sample"] == 640


async def test_only_the_channel_named_control_is_listened_to() -> None:
    client = Client()
    other = client.pc.createDataChannel("other")
    async with connected(client) as call:
        await until(lambda: other.readyState == "closed", "the other channel's end")
        client.channel.send('{"type": "interrupt"}')
        await until(lambda: call.controls, "message")
        assert call.controls == [{"type": "interrupt"}]


async def test_what_is_told_before_the_channel_opens_arrives_when_it_does() -> None:
    client, call = Client(), LoopbackCall(TonePlayout())
    try:
        answer = await call.peer.answer(await client.offer())
        for sample in range(control_channel.EARLY_EVENTS + 8):
            call.peer.send_control({"type": "speech_started", "sample": sample})
        await client.accept(answer)
        await until(lambda: len(client.messages) == control_channel.EARLY_EVENTS, "early messages")
        call.peer.send_control({"type": "thinking"})
        await until(lambda: len(client.messages) == control_channel.EARLY_EVENTS + 1, "the next message")
        told = [json.loads(message) for message in client.messages]
        assert [event["sample"] for event in told[:-1]] == list(range(8, control_channel.EARLY_EVENTS + 8))
    finally:
        await client.close()
        await call.close()


async def test_what_was_told_long_before_the_channel_opens_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_channel, "EARLY_S", 0)
    client, call = Client(), LoopbackCall(TonePlayout())
    try:
        answer = await call.peer.answer(await client.offer())
        call.peer.send_control({"type": "thinking"})
        await client.accept(answer)
        await until(lambda: client.channel.readyState == "open", "channel")
        call.peer.send_control({"type": "speech_started", "sample": 640})
        await until(lambda: client.messages, "event")
        assert json.loads(client.messages[0])["type"] == "speech_started"
    finally:
        await client.close()
        await call.close()


async def test_a_polite_goodbye_is_told_once() -> None:
    client = Client()
    async with connected(client) as call:
        await client.close()
        await until(lambda: call.gone, "goodbye")
        await asyncio.sleep(0.1)
        assert call.gone == ["closed by the other side"]
        assert not call.peer.connected


async def test_a_vanished_client_is_noticed() -> None:
    client = Client()
    settings = RtcSettings(connect_timeout_s=WAIT_S, silence_timeout_s=1.0)
    async with connected(client, settings=settings) as call:
        await asyncio.sleep(1.5)
        assert not call.gone
        client.vanish()
        await until(lambda: call.gone, "notice")
        assert call.gone == ["silent for too long"]


async def test_an_offer_that_never_connects_is_freed() -> None:
    client = Client()
    offer = "".join(line for line in (await client.offer()).splitlines(keepends=True) if "end-of-cand" not in line)
    call = LoopbackCall(TonePlayout(), RtcSettings(connect_timeout_s=0.3))
    await call.peer.answer(offer)
    await until(lambda: call.gone, "timeout")
    assert call.gone == ["not connected in time"]
    await call.peer.close()
    await client.close()


@pytest.mark.parametrize("kind", ["speech", "picture"])
async def test_a_failing_playout_is_told(kind: str) -> None:
    client = Client()
    async with connected(client) as call:
        await until(lambda: client.frames["audio"], "sound")
        call.playout.fail = kind
        await until(lambda: call.gone, "failure")
        await asyncio.sleep(0.1)
        assert len(call.gone) == 1
        assert call.gone[0].startswith(f"{kind} failed")


async def test_a_failing_owner_of_the_microphone_is_told() -> None:
    client = Client()
    gone: list[str] = []

    def fail(*_: object) -> None:
        raise RuntimeError("full")

    microphone = SimpleNamespace(push=fail)
    broadcast = Broadcast(TonePlayout())
    peer = Peer(
        broadcast, settings=RtcSettings(), microphone=microphone, on_control=lambda _: None, on_gone=gone.append
    )
    await client.accept(await peer.answer(await client.offer()))
    await until(lambda: gone, "failure")
    assert gone[0].startswith("microphone failed")
    await client.close()
    await peer.close()
    await broadcast.close()


async def test_closing_is_idempotent_silent_and_leaves_nothing() -> None:
    process = psutil.Process(os.getpid())
    for _ in range(2):  # the first round warms pools up
        gc.collect()
        sockets, threads = len(process.net_connections()), set(threading.enumerate())
        tasks = asyncio.all_tasks()
        client = Client()
        async with connected(client) as call:
            await until(lambda: len(call.sound) > 5, "microphone")
            await asyncio.gather(call.peer.close(), call.peer.close())
            assert not call.peer.connected
            assert not call.gone
            call.peer.send_control({"type": "thinking"})
    assert len(process.net_connections()) == sockets
    assert {t for t in threading.enumerate() if not t.name.startswith("asyncio_")} <= threads
    await until(lambda: not (asyncio.all_tasks() - tasks), "tasks' end")


async def test_closing_in_the_middle_of_the_handshake_leaves_nothing() -> None:
    for delay_s in (0, 0.005, 0.01, 0.02, 0.05, 0.1):
        client = Client()
        call = LoopbackCall(TonePlayout())
        await client.accept(await call.peer.answer(await client.offer()))
        await asyncio.sleep(delay_s)
        await call.peer.close()
        await client.close()
    await asyncio.sleep(0.05)


async def test_a_cancelled_close_still_closes() -> None:
    client = Client()
    async with connected(client) as call:
        closing = asyncio.create_task(call.peer.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await call.peer.close()
        assert not call.peer.connected


async def test_a_bundle_may_be_led_by_any_of_its_sections() -> None:
    client = Client(control=False)
    call = LoopbackCall(TonePlayout())
    offer = (await client.offer()).replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 1 0")
    await client.accept(await call.peer.answer(offer))
    await until(lambda: client.frames["video"] and call.sound, "both ways")
    await client.close()
    await call.peer.close()


async def test_wrong_offers_are_refused_and_leave_nothing() -> None:
    client = Client()
    good = await client.offer()
    wrong = [
        "",
        "v=0\r\n",
        good.replace("a=rtcp-mux", "a=nothing"),
        good.replace("opus/48000/2", "speex/8000"),
        good.replace("a=setup:actpass", "a=setup:strange"),
        good.replace("UDP/TLS/RTP/SAVPF", "UDP TLS"),
        good.replace("a=ice-ufrag", "a=ice-other"),
        good.replace("a=fingerprint:sha-256", "a=fingerprint:"),
    ]
    sockets = len(psutil.Process(os.getpid()).net_connections())
    for offer in wrong:
        call = LoopbackCall(TonePlayout())
        with pytest.raises(OfferError):
            await call.peer.answer(offer)
        assert not call.gone
    call = LoopbackCall(TonePlayout())
    with pytest.raises(TooLargeError):
        await call.peer.answer(good + "a=x\r\n" * 20_000)
    assert len(psutil.Process(os.getpid()).net_connections()) == sockets
    await client.close()


async def test_a_refused_offer_is_quoted_in_part(caplog: pytest.LogCaptureFixture) -> None:
    client = Client()
    long = (await client.offer()).replace("v=0", "v=" + "²" * 5000)
    with pytest.raises(OfferError):
        await LoopbackCall(TonePlayout()).peer.answer(long)
    (line,) = [record.getMessage() for record in caplog.records if "offer refused" in record.getMessage()]
    assert len(line) < 300
    assert line.isascii()
    await client.close()


async def test_an_answered_peer_takes_no_second_offer() -> None:
    client = Client()
    async with connected(client) as call:
        with pytest.raises(RuntimeError):
            await call.peer.answer("v=0")


async def test_a_host_that_is_not_here_refuses_with_a_reason() -> None:
    client = Client()
    call = LoopbackCall(TonePlayout(), RtcSettings(host="192.0.2.77"))
    with pytest.raises(UnavailableError, match="no address"):
        await call.peer.answer(await client.offer())
    await client.close()


async def test_the_hosts_addresses() -> None:
    assert await addresses_of("127.0.0.1") == ["127.0.0.1"]
    assert await addresses_of("::1") == ["::1"]
    assert [await addresses_of(host) for host in ("0.0.0.0", "::", "")] == [None, None, None]
    assert "127.0.0.1" in (await addresses_of("localhost") or ())
