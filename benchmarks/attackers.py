"""Hostile clients: each function attacks a server's URL for some seconds and runs in a process of its own."""

import asyncio
import contextlib
import itertools
import json
import select
import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcsctptransport import SCTP_DATA_FIRST_FRAG, SCTP_DATA_LAST_FRAG, WEBRTC_STRING, Chunk, DataChunk

from benchmarks.served import fetch

CONNECTIONS = 1500
_OPENED_AT_ONCE = 50
_PAUSE_S = 0.03

TEXTS = (
    "a" * 700 + '"' + " A." * 1432,
    "." * 5000,
    "A. " * 1666,
    "." + "'" * 4000 + "x",
    "a. " + "! " * 2400,
    "1. " * 1666,
    "a \n \n" * 1000,
)
"""Texts that took between a fifth of a second and a minute while text was split in more than linear time."""
_BETWEEN_TEXTS_S = 0.25

_UPGRADE = (
    b"GET /api/sessions/x/audio HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nA: " + b"x" * 9000 + b"\r\n\r\n"
)
CHUNKS_PER_S = 1500
_CHUNKS_AT_ONCE = 15
_DIAL_EVERY_S = 2.0


def hold_silent(url: str, seconds: float) -> None:
    """Keep ``CONNECTIONS`` connections open without sending anything; reopen those that the server closes."""
    _hold(url, seconds, b"")


def hold_upgrades(url: str, seconds: float) -> None:
    """Do the same with connections that ask for a WebSocket, with a line that its parser does not take."""
    _hold(url, seconds, _UPGRADE)


def _hold(url: str, seconds: float, said: bytes) -> None:
    address = (urlsplit(url).hostname or "", urlsplit(url).port or 80)
    poll = select.epoll()
    open_: dict[int, socket.socket] = {}
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        for _ in range(min(_OPENED_AT_ONCE, CONNECTIONS - len(open_))):
            connection = socket.socket()
            connection.setblocking(False)
            connection.connect_ex(address)
            poll.register(connection, select.EPOLLRDHUP | (select.EPOLLOUT if said else 0))
            open_[connection.fileno()] = connection
        for descriptor, what in poll.poll(_PAUSE_S):
            if what == select.EPOLLOUT:
                open_[descriptor].send(said)
                poll.modify(descriptor, select.EPOLLRDHUP)
            else:
                open_.pop(descriptor).close()
        time.sleep(_PAUSE_S)
    for connection in open_.values():
        connection.close()


def say_hostile_texts(url: str, seconds: float) -> None:
    """Have one session speak texts that are hard to split, and interrupt each one as soon as it is heard."""
    status, _, answer = fetch(f"{url}/api/sessions", {})
    if status != 201:
        raise RuntimeError(f"{status}: {answer.decode()}")
    session = url + json.loads(answer)["urls"]["self"]
    end_s = time.monotonic() + seconds
    for text in itertools.cycle(TEXTS):
        if time.monotonic() > end_s:
            break
        fetch(f"{session}/say", {"text": text})
        fetch(f"{session}/interrupt", {})
        time.sleep(_BETWEEN_TEXTS_S)
    fetch(session, method="DELETE")


def every_other_chunk(url: str, seconds: float) -> None:
    """Send data channel chunks with a gap before each."""
    asyncio.run(_flood(url, seconds, lambda first, number: _data(first + 2 * number)))


def endless_message(url: str, seconds: float) -> None:
    """Send fragments of a message that never ends."""
    asyncio.run(
        _flood(url, seconds, lambda first, number: _data(first + number, 0 if number else SCTP_DATA_FIRST_FRAG))
    )


def whole_messages(url: str, seconds: float) -> None:
    """Send small complete messages in order."""
    whole = SCTP_DATA_FIRST_FRAG | SCTP_DATA_LAST_FRAG
    asyncio.run(_flood(url, seconds, lambda first, number: _data(first + number, whole)))


def _data(tsn: int, flags: int = SCTP_DATA_FIRST_FRAG | SCTP_DATA_LAST_FRAG) -> DataChunk:
    chunk = DataChunk(flags=flags)
    chunk.tsn, chunk.protocol, chunk.user_data = tsn % (1 << 32), WEBRTC_STRING, b"x" * 100
    return chunk


async def _flood(url: str, seconds: float, chunk: Callable[[int, int], Chunk]) -> None:
    """Send ``CHUNKS_PER_S`` chunks a second on a data channel; call again when the server has ended the call."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        dialled_s = time.monotonic()
        await _flood_one_call(url, end_s, chunk)
        await asyncio.sleep(max(0.0, min(end_s, dialled_s + _DIAL_EVERY_S) - time.monotonic()))


async def _flood_one_call(url: str, end_s: float, chunk: Callable[[int, int], Chunk]) -> None:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    for kind in ("audio", "video"):
        connection.addTransceiver(kind, direction="recvonly")
    channel = connection.createDataChannel("control")
    await connection.setLocalDescription(await connection.createOffer())
    body = {"offer": {"sdp": connection.localDescription.sdp, "type": "offer"}}
    status, _, answer = await asyncio.to_thread(fetch, f"{url}/api/sessions", body)
    if status != 201:
        await connection.close()
        return
    made = json.loads(answer)
    await connection.setRemoteDescription(RTCSessionDescription(made["answer"]["sdp"], "answer"))
    while channel.readyState != "open" and time.monotonic() < end_s:  # noqa: ASYNC110 (aiortc has no event for it)
        await asyncio.sleep(0.01)
    association: Any = connection.sctp
    first, number, begun_s = association._local_tsn, 0, time.monotonic()  # noqa: SLF001 (no public way to send a chunk)
    with contextlib.suppress(ConnectionError):  # the server has ended the association
        while connection.connectionState == "connected" and time.monotonic() < end_s:
            for _ in range(_CHUNKS_AT_ONCE):
                await association._send_chunk(chunk(first, number))  # noqa: SLF001 (as above)
                number += 1
            await asyncio.sleep(max(0.0, begun_s + number / CHUNKS_PER_S - time.monotonic()))
    await connection.close()
    await asyncio.to_thread(fetch, url + made["urls"]["self"], None, "DELETE")


ATTACKS = (hold_silent, hold_upgrades, say_hostile_texts, every_other_chunk, endless_message, whole_messages)
