"""Every private name of aiortc 1.16 and aioice 0.13 that this project reads, writes or overrides.

No module outside this folder uses one. A test checks that each name still exists and that no other is used. Read this
list before you raise a version in ``pyproject.toml``.
"""

from asyncio.trsock import TransportSocket
from typing import NamedTuple

from aioice.ice import Connection, StunProtocol
from aiortc import RTCPeerConnection, RTCRtpReceiver, RTCRtpSender, RTCRtpTransceiver
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport
from aiortc.rtcicetransport import RTCIceTransport
from aiortc.rtcsctptransport import RTCSctpTransport


class PrivateName(NamedTuple):
    """One private name.

    Attributes:
        upstream: Public alternative of the library; default ``nothing``.
    """

    owner: type
    name: str
    why: str
    upstream: str = "nothing"


def _names(owner: type, names: str, why: str, upstream: str = "nothing") -> list[PrivateName]:
    return [PrivateName(owner, name, why, upstream) for name in names.split()]


PRIVATE_NAMES = (
    *_names(
        RTCPeerConnection,
        "__createTransceiver __createDtlsTransport __connect",
        "overridden: aiortc builds its own sender, receiver and transport inside these methods",
        "no hook for the classes it builds",
    ),
    *_names(RTCPeerConnection, "__transceivers __stream_id", "a transceiver is built here as aiortc builds it"),
    *_names(
        RTCPeerConnection, "__iceTransports __dtlsTransports", "late candidates; tasks that close() leaves running"
    ),
    *_names(
        RTCRtpSender,
        "_run_rtp _handle_rtcp_packet _send_rtcp",
        "overridden: units are encoded elsewhere and sent at once; feedback goes to the rate control",
        "a sender encodes by itself and awaits four coroutines for each packet",
    ),
    *_names(
        RTCRtpSender,
        "__ntp_timestamp __rtp_timestamp",
        "sender reports give the media's time, not the time of sending",
        "nothing; worth an issue: other libraries have corrected the same",
    ),
    *_names(RTCRtpSender, "__octet_count __packet_count", "sender reports count what is sent here"),
    *_names(RTCRtpSender, "__lsr __lsr_time", "round trip time without the delay of a task"),
    *_names(RTCRtpSender, "__rtp_started __rtp_exited", "stop() waits for these events of the replaced loop"),
    *_names(RTCRtpSender, "_ssrc _rtx_ssrc _stream_id __mid", "written into packets and into the answer"),
    *_names(
        RTCRtpReceiver,
        "_handle_rtp_packet",
        "overridden: sound is decoded as its datagram is read",
        "a jitter buffer that holds 80 ms at least; its capacity is no option",
    ),
    *_names(RTCRtpReceiver, "__codecs __remote_streams", "payload types, and the statistics that reports are made of"),
    *_names(RTCRtpReceiver, "__kind", "a video receiver without the bandwidth estimator's two thousand objects"),
    *_names(RTCRtpReceiver, "_enabled", "pictures of a peer are thrown away unread", "direction, once negotiated"),
    *_names(RTCRtpReceiver, "_set_rtcp_ssrc", "called as aiortc calls it for a transceiver of its own"),
    *_names(
        RTCRtpReceiver,
        "__jitter_buffer __rtcp_ssrc __rtx_ssrc _send_rtcp _send_rtcp_pli",
        "the measuring client keeps packets undecoded, asks for key frames and says what its link carries",
    ),
    *_names(RTCRtpTransceiver, "_codecs", "the answer names Opus's error correction; payload types in recordings"),
    *_names(RTCRtpTransceiver, "_bundled", "set as aiortc sets it for a transceiver of its own"),
    *_names(
        RTCDtlsTransport,
        "_handle_rtp_data _handle_rtcp_data _register_data_receiver _setup_srtp",
        "overridden: a packet that cannot be read costs that packet and not the session; sources are bounded",
        "worth an issue: patches that harden parsers were taken before",
    ),
    *_names(RTCDtlsTransport, "_rx_srtp _tx_srtp _state", "packets are protected and unprotected without a task"),
    *_names(RTCDtlsTransport, "_task", "close() waits for it"),
    *_names(RTCDtlsTransport, "__local_certificate", "the certificate gets its own list of ciphers"),
    *_names(
        RTCCertificate,
        "_create_ssl_context",
        "overridden: peers with RSA certificates, such as GStreamer, agree on a cipher",
        "worth an issue: one line",
    ),
    *_names(RTCIceTransport, "_connection", "the way to aioice's connection"),
    *_names(RTCSctpTransport, "_handle_data", "a bad chunk of a data channel costs that chunk alone"),
    *_names(
        RTCSctpTransport,
        "_advertised_rwnd _inbound_streams _data_channels _sack_misordered",
        "what one peer's data channels hold is bounded",
    ),
    *_names(Connection, "_nominated _check_list", "which addresses have proved to be the peer's"),
    *_names(Connection, "_queue", "how many datagrams wait; it has no bound of its own"),
    *_names(
        Connection,
        "_protocols get_component_candidates",
        "sockets in a range of ports, on chosen addresses",
        "a port range is proposed in aioice's pull request 112",
    ),
    *_names(
        Connection,
        "query_consent _query_consent_task",
        "replaced: a late answer to a consent check counts",
        "nothing; worth an issue",
    ),
    *_names(Connection, "data_received", "replaced: sound takes a way without queue and task"),
    *_names(
        StunProtocol,
        "datagram_received",
        "replaced for the whole process: an empty datagram of a stranger closes a stock connection",
        "nothing; worth an issue",
    ),
    *_names(StunProtocol, "transactions", "consent checks are registered here to find their answers"),
    *_names(TransportSocket, "_sock", "all datagrams that wait are read in one round of the event loop"),
)
