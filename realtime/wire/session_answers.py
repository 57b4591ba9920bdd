"""Answers of the routes of one session."""

from typing import Literal, NotRequired

from typing_extensions import TypedDict


class IceServer(TypedDict):
    """A STUN or TURN server, as ``RTCPeerConnection`` takes it.

    Attributes:
        urls: A URL, or a list of URLs.
        username: Absent for a server that needs none, as STUN.
        credential: Absent for a server that needs none, as STUN; may run out after ten minutes.
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
        sdp: Session description (RFC 8866).
    """

    sdp: str
    type: Literal["answer"]


class PeerAnswer(TypedDict):
    """The peer speaks now.

    Attributes:
        answer: The server's answer to the offer, an SDP.
    """

    answer: SdpAnswer


class ViewerUrls(TypedDict):
    """Paths of a session.

    Attributes:
        self: Path of the session, from ``/api``.
        whep: Path that viewers send offers to, from ``/api``.
    """

    self: str
    whep: str


class RoomUrls(TypedDict):
    """Paths of a session that takes part in a room.

    Attributes:
        self: Path of the session, from ``/api``; it ends there.
    """

    self: str


class RoomAnswer(TypedDict):
    """A session that takes part in a room of LiveKit.

    Attributes:
        id: Id of the session.
        token: Opens the session's routes.
        urls: Paths of the session.
        motions: Names of the motions that may be asked for; empty without any.
    """

    id: str
    token: str
    urls: RoomUrls
    motions: list[str]


class SessionUrls(TypedDict):
    """Paths of a new session.

    Attributes:
        self: Path of the session, from ``/api``.
        peer: Path that the speaking peer sends offers to, from ``/api``.
        audio: Path of a program's WebSocket, from ``/api``.
        whep: Path that viewers send offers to, from ``/api``.
    """

    self: str
    peer: str
    audio: str
    whep: str


class SessionAnswer(TypedDict):
    """A new session.

    Attributes:
        id: Names it in routes; 22 URL-safe characters.
        token: Opens the session's routes; 32 URL-safe characters.
        viewer_token: Opens its WHEP alone; 32 URL-safe characters.
        look_ahead_ms: How much of the coming speech a mouth needs, ms: the least delay.
        articulation: How far the mouth goes, 0.5 to 1.5 of what was heard; ``null`` if the weights have none.
        liveliness: How much of the stress in speech the head of a photograph with motions shows, 0 to 1.
        ice_servers: STUN and TURN servers; empty if none are needed.
        ice_transport_policy: ``relay`` if media may pass through TURN alone.
        urls: Paths of the session's routes, from ``/api``.
        speaks_text: Whether the server has an engine that turns text into speech.
        motions: Names of the motions that may be asked for; empty without any.
        local_audio: Devices of the server's machine that it uses; absent unless they were asked for.
        answer: The server's answer; absent without an offer.
    """

    id: str
    token: str
    viewer_token: str
    look_ahead_ms: float
    articulation: float | None
    liveliness: float
    ice_servers: list[IceServer]
    ice_transport_policy: Literal["all", "relay"]
    urls: SessionUrls
    speaks_text: bool
    motions: list[str]
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
        p50: The median, in the unit of the values; ``null`` without values.
        p95: 95 of 100 are at most this; ``null`` without values.
        p99: 99 of 100 are at most this; ``null`` without values.
    """

    p50: float | None
    p95: float | None
    p99: float | None


class SourceStats(TypedDict):
    """Counts of the source's sound.

    Attributes:
        filled: Samples (48 kHz) of silence put in for lost packets.
        dropped: Samples (48 kHz) thrown away because more than 40 ms was waiting.
        underruns: Number of blocks of 10 ms that were due before their sound had come.
        corrections: Number of blocks stretched by a sample or two to follow the source's clock.
    """

    filled: int
    dropped: int
    underruns: int
    corrections: int


class SenderStats(TypedDict):
    """Counts of the media sent of one kind; ``null`` where the other side has not reported yet.

    Attributes:
        bytes_sent: Payload sent so far, bytes.
        packets_sent: Number of RTP packets sent so far.
        packets_lost: Number of packets that the other side reports as lost; ``null`` before its first report.
        round_trip_ms: Mean time to the other side and back, ms; ``null`` before it is measured.
        target_bitrate: Estimated capacity of the link, bit/s; ``null`` for sound and before the first picture.
        key_frames: Number of key frames sent so far; 0 for sound.
        thinned: Whether only key frames are sent, since the link carries no more.
        doubled: Whether each picture is sent twice, since many packets are lost.
    """

    bytes_sent: int
    packets_sent: int
    packets_lost: int | None
    round_trip_ms: float | None
    target_bitrate: int | None
    key_frames: int
    thinned: bool
    doubled: bool


class PeerStats(TypedDict):
    """One WebRTC connection.

    Attributes:
        connected: Whether media flows.
        microphone_dropped: Number of chunks of the client's sound that came before the end of the last one.
        audio: Figures of the sound; absent if none is sent.
        video: Figures of the pictures; absent if none are sent.
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
        opened: Number of times that it was opened.
        lost: Number of pictures or packets that it did not take in time.
        reason: Cause of the last closing, in words; absent if nothing was wrong.
    """

    name: str
    state: Literal["waiting", "live", "ended"]
    opened: int
    lost: int
    reason: NotRequired[str]


class ScriptAnswer(TypedDict):
    """The lines that wait to be read aloud.

    Attributes:
        lines: Number of lines, those too that are read again and again.
        characters: Number of their characters.
    """

    lines: int
    characters: int


class SessionStats(TypedDict):
    """A session's live figures: counts since its start, percentiles over the last 30 seconds.

    Attributes:
        id: Names it in routes; 22 URL-safe characters.
        avatar: Id of the avatar that is shown, ``[a-z0-9][a-z0-9-]{0,62}``.
        motions: Names of the motions of that avatar that may be asked for; empty without any.
        liveliness: How much of the stress in speech the head of a photograph with motions shows, 0 to 1.
        articulation: How far the mouth goes, 0.5 to 1.5 of what was heard; ``null`` if the weights have none.
        state: ``waiting`` without a connected client or program, ``draining`` with one when the server stops soon, else
            ``live``.
        speaking: Whether the mouth is a spoken one; false while it rests.
        fps: Pictures a second over the last two seconds; ``null`` before the first picture.
        look_ahead_ms: How much of the coming speech a mouth needs, ms.
        mouth_latency_ms: From the arrival of a frame's sound until its picture leaves, over the last 30 s, ms.
        av_offset_ms: Median of the last 30 s, ms; positive if the sound is ahead of the picture; ``null`` without
            pictures.
        interrupt_tail_ms: 95th percentile of what was still heard after an interruption, over the last 30 s, ms;
            ``null`` without one.
        frames_rendered: Number of frames with a spoken mouth.
        frames_idle: Number of frames with the resting mouth.
        frames_repeated: Number of frames that repeat the mouth before, since their own came too late.
        frames_dropped: Number of frames that were not sent.
        audio_underruns: Number of packets of 20 ms that were due before their sound had come.
        source: Counts of the sound that comes in.
        peer: The speaking peer; ``null`` if there is none.
        viewers: Numbers of viewers, 0 without one.
        recorded: Whether a recording runs; false after its end.
        streams: Numbers of streams, 0 without one.
        devices: Virtual devices of the server's machine; empty without one.
    """

    id: str
    avatar: str
    motions: list[str]
    liveliness: float
    articulation: float | None
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


class NoticesAnswer(TypedDict):
    """What a page must tell those who see or hear a session.

    Attributes:
        recorded: Whether a recording runs.
        streamed: Whether a live stream is connected.
    """

    recorded: bool
    streamed: bool
