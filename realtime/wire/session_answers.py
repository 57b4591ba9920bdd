"""Answers of the routes of one session."""

from typing import Literal, NotRequired

from typing_extensions import TypedDict


class IceServer(TypedDict):
    """A STUN or TURN server, as ``RTCPeerConnection`` takes it.

    Attributes:
        urls: A URL, or a list of URLs.
        username: Present for TURN.
        credential: Present for TURN; may run out after ten minutes.
    """

    urls: str | list[str]
    username: NotRequired[str]
    credential: NotRequired[str]


class ConnectivityAnswer(TypedDict):
    """How a client reaches the session. Credentials run out: ask again before you connect again.

    Attributes:
        ice_servers: Empty if none are needed.
        ice_transport_policy: ``relay`` if media may pass through TURN alone.
    """

    ice_servers: list[IceServer]
    ice_transport_policy: Literal["all", "relay"]


class SdpAnswer(TypedDict):
    """An SDP answer with all candidates of the server.

    Attributes:
        sdp: The description.
    """

    sdp: str
    type: Literal["answer"]


class PeerAnswer(TypedDict):
    """The peer speaks now.

    Attributes:
        answer: The server's answer to the offer.
    """

    answer: SdpAnswer


class ViewerUrls(TypedDict):
    """Paths of a session.

    Attributes:
        self: Path of the session.
        whep: Path that viewers send offers to.
    """

    self: str
    whep: str


class SessionUrls(TypedDict):
    """Paths of a new session.

    Attributes:
        self: Path of the session.
        peer: Path that the speaking peer sends offers to.
        audio: Path of a program's WebSocket.
        whep: Path that viewers send offers to.
    """

    self: str
    peer: str
    audio: str
    whep: str


class SessionAnswer(TypedDict):
    """A new session.

    Attributes:
        id: Names it in routes.
        token: Opens the session's routes.
        viewer_token: Opens its WHEP alone.
        look_ahead_ms: How much of the coming speech a mouth needs: the least delay.
        ice_servers: STUN and TURN servers; empty if none are needed.
        ice_transport_policy: ``relay`` if media may pass through TURN alone.
        urls: Paths of the session's routes.
        local_audio: Devices of the server's machine that it uses; present if they were asked for.
        answer: The server's answer; present if there was an offer.
    """

    id: str
    token: str
    viewer_token: str
    look_ahead_ms: float
    ice_servers: list[IceServer]
    ice_transport_policy: Literal["all", "relay"]
    urls: SessionUrls
    local_audio: NotRequired[list[Literal["input", "output"]]]
    answer: NotRequired[SdpAnswer]


class SampleAnswer(TypedDict):
    """A position on the session's timeline.

    Attributes:
        sample: Samples at 16 kHz since the session's beginning, silence included.
    """

    sample: int


class Percentiles(TypedDict):
    """Percentiles over the last 30 seconds; ``null`` before the first value.

    Attributes:
        p50: The median.
        p95: 95 of 100 are at most this.
        p99: 99 of 100 are at most this.
    """

    p50: float | None
    p95: float | None
    p99: float | None


class SourceStats(TypedDict):
    """Counts of the source's sound.

    Attributes:
        filled: Samples (48 kHz) of silence put in for lost packets.
        dropped: Samples (48 kHz) thrown away because more than 40 ms was waiting.
        underruns: Blocks of 10 ms that were due before their sound had come.
        corrections: Blocks stretched by a sample or two to follow the source's clock.
    """

    filled: int
    dropped: int
    underruns: int
    corrections: int


class SenderStats(TypedDict):
    """Counts of the media sent of one kind; ``null`` where the other side has not reported yet.

    Attributes:
        bytes_sent: Bytes of payload sent so far.
        packets_sent: RTP packets sent so far.
        packets_lost: Packets that the other side reports as lost.
        round_trip_ms: Mean time to the other side and back.
        target_bitrate: Estimated capacity of the link, bit/s.
        key_frames: Key frames sent so far; 0 for sound.
        thinned: Whether only key frames are sent, since the link carries no more.
    """

    bytes_sent: int
    packets_sent: int
    packets_lost: int | None
    round_trip_ms: float | None
    target_bitrate: int | None
    key_frames: int
    thinned: bool


class PeerStats(TypedDict):
    """One WebRTC connection.

    Attributes:
        connected: Whether media flows.
        microphone_dropped: Chunks of the client's sound that came before the end of the last one.
        audio: Present if sound is sent.
        video: Present if pictures are sent.
    """

    connected: bool
    microphone_dropped: int
    audio: NotRequired[SenderStats]
    video: NotRequired[SenderStats]


class ViewerStats(TypedDict):
    """The viewers.

    Attributes:
        count: Number of viewers, connected or on their way.
        connected: Number of viewers to whom media flows.
        thinned: Number of viewers who get key frames alone, since their link carries no more.
    """

    count: int
    connected: int
    thinned: int


class StreamCounts(TypedDict):
    """The live streams.

    Attributes:
        count: Number of streams, connected or not.
        live: Number of streams that are connected.
    """

    count: int
    live: int


class DeviceStats(TypedDict):
    """A virtual camera or microphone.

    Attributes:
        name: Name shown to people.
        state: ``waiting`` while the device is missing.
        opened: Times that it was opened.
        lost: Pictures or packets that it did not take in time.
        reason: Cause of the last closing, in words; absent if nothing was wrong.
    """

    name: str
    state: Literal["waiting", "live", "ended"]
    opened: int
    lost: int
    reason: NotRequired[str]


class SessionStats(TypedDict):
    """A session's live figures: counts since its start, percentiles over the last 30 seconds.

    Attributes:
        id: Names it in routes.
        avatar: Id of the avatar that is shown.
        state: ``live`` while somebody is connected, ``draining`` if the server stops soon, else ``waiting``.
        speaking: Whether the mouth is a spoken one.
        fps: Pictures a second over the last two seconds.
        look_ahead_ms: How much of the coming speech a mouth needs.
        mouth_latency_ms: From the arrival of a frame's sound until its picture leaves.
        av_offset_ms: Median; positive if the sound is ahead of the picture.
        interrupt_tail_ms: 95th percentile of what was still heard after an interruption.
        frames_rendered: Frames with a spoken mouth.
        frames_idle: Frames with the resting mouth.
        frames_repeated: Frames that repeat the mouth before, since their own came too late.
        frames_dropped: Frames that were not sent.
        audio_underruns: Times that there was no sound to send.
        source: The sound that comes in.
        peer: The speaking peer; ``null`` if there is none.
        viewers: Numbers of viewers.
        recorded: Whether a recording runs.
        streams: Numbers of live streams.
        devices: Virtual devices of the server's machine.
    """

    id: str
    avatar: str
    state: Literal["live", "waiting", "draining"]
    speaking: bool
    fps: float | None
    look_ahead_ms: float
    mouth_latency_ms: Percentiles
    av_offset_ms: float | None
    interrupt_tail_ms: float | None
    frames_rendered: int
    frames_idle: int
    frames_repeated: int
    frames_dropped: int
    audio_underruns: int
    source: SourceStats
    peer: PeerStats | None
    viewers: ViewerStats
    recorded: bool
    streams: StreamCounts
    devices: list[DeviceStats]
