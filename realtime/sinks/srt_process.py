"""A process that sends one stream by SRT: it reads FLV from standard input and sends MPEG-TS.

The first line of the input is the address as JSON. One line on standard output reports success or the reason of a
failure. SRT is Haivision's libsrt, a system package that is loaded only when an address needs it.
"""

import ctypes
import ctypes.util
import json
import os
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import IO
from urllib.parse import urlsplit

import av

from lipstream.realtime.errors import LipstreamError
from lipstream.realtime.sinks.stream_address import SRT_OPTIONS, srt_options

LIVE, FAILED = "live", "failed: "

_LIBRARIES = ("srt-gnutls", "srt-openssl", "srt")
_PACKET, _PACKETS = 188, 7
"""Bytes of an MPEG-TS packet, and the number of packets in one message of libsrt's live mode."""
_LATENCY, _PASSPHRASE, _KEY_BYTES, _CONNECT_MS, _OWN_LATENCY, _PEER_LATENCY, _STREAM_ID = 23, 26, 27, 36, 43, 44, 46
"""Values of SRT_SOCKOPT in srt.h."""
_OPTIONS = {
    "latency": _LATENCY,
    "rcvlatency": _OWN_LATENCY,
    "peerlatency": _PEER_LATENCY,
    "conntimeo": _CONNECT_MS,
    "passphrase": _PASSPHRASE,
    "pbkeylen": _KEY_BYTES,
    "streamid": _STREAM_ID,
}
_REFUSED_MS = 5000
_ON_THE_WAY_S = 0.1
_NO_SOCKET = -1


class SrtError(LipstreamError):
    """libsrt is missing, or the other end cannot be reached or refuses."""

    code = "srt"


class SrtSocket:
    """A connection in libsrt's live mode.

    Args:
        url: ``srt://host:port``, checked by :class:`realtime.sinks.stream_address.StreamAddress`.

    Raises:
        SrtError: If libsrt is missing or the connection fails.
    """

    def __init__(self, url: str) -> None:
        self._srt = _library()
        self._srt.srt_startup()
        parts = urlsplit(url, allow_fragments=False)
        self._socket = self._srt.srt_create_socket()
        self._set(_CONNECT_MS, struct.pack("=i", _REFUSED_MS))
        for name, text in srt_options(parts.query):
            if name in _OPTIONS:
                number = SRT_OPTIONS[name] is int
                self._set(_OPTIONS[name], struct.pack("=i", int(text)) if number else text.encode())
        assert parts.hostname is not None
        try:
            found = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_DGRAM)
        except OSError as error:
            raise SrtError(f"no such host: {error.strerror}") from error
        address = _sockaddr(found[0])
        if self._srt.srt_connect(self._socket, address, len(address)) < 0:
            self._fail("no connection")

    def send(self, data: bytes) -> None:
        """Send whole MPEG-TS packets, seven at most.

        Raises:
            SrtError: If the connection broke.
        """
        if self._srt.srt_send(self._socket, data, len(data)) < 0:
            self._fail("the connection broke")

    def close(self) -> None:
        """Close after the receiver's latency: at the close it drops the packets that it has not played yet."""
        latency_ms, size = ctypes.c_int(), ctypes.c_int(ctypes.sizeof(ctypes.c_int))
        self._srt.srt_getsockflag(self._socket, _PEER_LATENCY, ctypes.byref(latency_ms), ctypes.byref(size))
        time.sleep(_ON_THE_WAY_S + latency_ms.value / 1000)
        self._srt.srt_close(self._socket)

    def _set(self, option: int, value: bytes) -> None:
        if self._srt.srt_setsockflag(self._socket, option, value, len(value)) < 0:
            self._fail("an option of the address is refused")

    def _fail(self, what: str) -> None:
        raise SrtError(f"{what}: {self._srt.srt_getlasterror_str().decode(errors='replace')}")


class PacketCutter:
    """Cuts an MPEG-TS byte stream into messages of whole packets."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._rest = b""
        self.fault: SrtError | None = None

    def write(self, data: bytes) -> int:
        """Take in bytes; return their number.

        Raises:
            SrtError: If a message cannot be sent.
        """
        ready = self._rest + data
        whole = len(ready) // _PACKET * _PACKET
        self._rest = ready[whole:]
        try:
            for start in range(0, whole, _PACKET * _PACKETS):
                self._send(ready[start : min(start + _PACKET * _PACKETS, whole)])
        except SrtError as error:
            self.fault = error
            raise
        return len(data)


def remux(source: IO[bytes], target: PacketCutter) -> None:
    """Convert FLV to MPEG-TS until the input ends, without decoding.

    Raises:
        SrtError: If the input cannot be read or the output cannot be sent.
    """
    reading = {"analyzeduration": "200000", "fflags": "nobuffer"}
    try:
        with (
            av.open(source, "r", format="flv", options=reading) as incoming,
            av.open(target, "w", format="mpegts", options={"flush_packets": "1"}) as outgoing,
        ):
            streams = {stream.index: outgoing.add_stream_from_template(stream) for stream in incoming.streams}
            for packet in incoming.demux():
                if packet.dts is not None:
                    packet.stream = streams[packet.stream.index]
                    outgoing.mux(packet)
    except (OSError, av.FFmpegError) as error:
        raise target.fault or SrtError("the stream cannot be read") from error


def main() -> int:
    """Run the process; return its exit status."""
    source = os.fdopen(sys.stdin.fileno(), "rb", buffering=0)  # a buffered reader would wait seconds for full blocks
    url = json.loads(source.readline())
    try:
        connection = SrtSocket(url)
        _say(LIVE)
        try:
            remux(source, PacketCutter(connection.send))
        finally:
            connection.close()
    except SrtError as error:
        _say(FAILED + error.message)
        return 1
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _library() -> ctypes.CDLL:
    for name in _LIBRARIES:
        if found := ctypes.util.find_library(name):
            library = ctypes.CDLL(found)
            library.srt_getlasterror_str.restype = ctypes.c_char_p
            return library
    raise SrtError("SRT needs the library libsrt, which is not installed: on Debian, apt-get install libsrt1.5-gnutls")


def _sockaddr(found: tuple[socket.AddressFamily, object, object, object, tuple[object, ...]]) -> bytes:
    """Return an address in the form of the system's ``sockaddr``."""
    family, _, _, _, address = found
    host, port = str(address[0]).partition("%")[0], int(str(address[1]))
    body = struct.pack(">H", port)
    body += (
        socket.inet_pton(family, host) + bytes(8)
        if family == socket.AF_INET
        else bytes(4) + socket.inet_pton(family, host) + struct.pack("=I", int(str(address[3])))
    )
    head = bytes((len(body) + 2, family)) if sys.platform == "darwin" else struct.pack("=H", family)
    return head + body


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # libsrt's threads need no orderly shutdown
