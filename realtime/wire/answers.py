"""Answers of the routes. A field that may be absent is ``NotRequired``; one that is not known yet is ``None``."""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from lipstream.realtime.errors import UnavailableReason, UnreadyReason
from lipstream.realtime.wire.session_answers import ViewerUrls

AvatarState = Literal["building", "ready", "failed"]


class ErrorBody(TypedDict):
    """An error.

    Attributes:
        code: A word for programs, such as ``bad_request``.
        message: The cause, in one sentence for people.
        reason: The cause as a word; absent unless the code is ``unavailable``.
    """

    code: str
    message: str
    reason: NotRequired[UnavailableReason]


class ErrorAnswer(TypedDict):
    """The answer to every request that fails."""

    error: ErrorBody


class HealthAnswer(TypedDict):
    """The server serves, or can take a session."""

    status: Literal["ok"]


class NotReadyAnswer(TypedDict):
    """No session can be taken now.

    Attributes:
        reason: The cause as a word, as in errors of code ``unavailable``.
    """

    reason: UnreadyReason


class TokenAnswer(TypedDict):
    """A join token.

    Attributes:
        id: Names it in routes and in the audit log; 12 URL-safe characters.
        token: URL-safe; goes after ``#join=`` of a link.
        expires_in: Lifetime, s: 300, or 366 days for a kiosk.
    """

    id: str
    token: str
    expires_in: int


class SignedTokenItem(TypedDict):
    """A join token that has not expired.

    Attributes:
        id: Names it in routes and in the audit log; 12 URL-safe characters.
        label: What was said of it when it was signed; may be empty.
        key: Name of the API key that asked for it.
        signed: Unix time, s.
        expires: Unix time, s.
        kiosk: Whether it lasts for a kiosk's year.
        max_sessions: Most sessions at once.
        max_minutes: Longest session, minutes; ``null`` for the server's own limit.
        avatars: Ids of the avatars that its sessions may show; ``null`` for all.
        conversation: Whether its sessions may be conversations.
        once: Whether it begins one session in all.
        local_audio: Whether its sessions may use microphone and loudspeaker of the server's machine.
        motions: Whether its sessions may ask for motions of the avatar.
        used: Whether a token for one session has begun it.
        revoked: Whether it was taken back.
        sessions: Number of sessions that it has now.
    """

    id: str
    label: str
    key: str
    signed: int
    expires: int
    kiosk: bool
    max_sessions: int | None
    max_minutes: float | None
    avatars: list[str] | None
    conversation: bool
    once: bool
    local_audio: bool
    motions: bool
    used: bool
    revoked: bool
    sessions: int


class RevokedTokenAnswer(TypedDict):
    """A join token was taken back.

    Attributes:
        sessions: Number of its sessions that are being ended.
    """

    sessions: int


class AvatarListItem(TypedDict):
    """An avatar in the list.

    Attributes:
        id: Names it in routes; ``[a-z0-9][a-z0-9-]{0,62}``.
        name: Name shown to people; several avatars may share it.
        state: ``building`` while it is made, or prepared for the server's weights; ``ready`` when a session may begin
            with it, which the first time takes some seconds.
        own: Whether it was uploaded or built, and so can be removed; false for a built-in one.
        forms: Ids of larger or other pictures of the same person, which are avatars too: each is filmed when a session
            first wants it, and listed from then on. Absent without any.
    """

    id: str
    name: str
    state: AvatarState
    own: bool
    forms: NotRequired[list[str]]


class AvatarUploadAnswer(TypedDict):
    """The upload was taken; the avatar is being made.

    Attributes:
        id: Names it in routes; ``[a-z0-9][a-z0-9-]{0,62}``.
    """

    id: str


class AvatarBuildAnswer(TypedDict):
    """How far an upload is.

    Attributes:
        id: Names the avatar in routes; ``[a-z0-9][a-z0-9-]{0,62}``.
        state: ``building`` until it is made.
        progress: Finished share, 0..1.
        message: Reason of a failure, one sentence; ``null`` while there is none.
    """

    id: str
    state: AvatarState
    progress: float
    message: str | None


class AvatarAnswer(TypedDict):
    """An avatar's facts.

    Attributes:
        id: Names it in routes; ``[a-z0-9][a-z0-9-]{0,62}``.
        name: Name shown to people; several avatars may share it.
        state: ``building`` while it is prepared for the server's weights; ``ready`` when a session may begin with it,
            which the first time takes some seconds.
        progress: Finished share of the preparation, 0..1; 1 if it is ready.
        size: Width and height of the picture, px.
        frames: Length of the clip in frames, 25 a second; of several clips, of the one that is shown at rest.
        motions: Names of the motions that it can show once; empty for an avatar without.
        face: The face box of the first frame: x, y, width, height, px.
        loop: ``seamless`` if the last frame flows into the first, else ``pingpong``.
        licence: Licence of the clip; ``unknown`` if nothing was said.
        consent: The name of the person shown and how they agreed; empty without a record. Absent unless an API key
            asks.
        description: Text shown to people; may be empty.
        report: The report of the build, with ``lines`` and ``notes``; ``null`` for an avatar without report.
    """

    id: str
    name: str
    state: AvatarState
    progress: float
    size: tuple[int, int]
    frames: int
    motions: list[str]
    face: tuple[int, int, int, int]
    loop: Literal["seamless", "pingpong"]
    licence: str
    consent: NotRequired[str]
    description: str
    report: dict[str, Any] | None


class SessionListItem(TypedDict):
    """A session in the list.

    Attributes:
        id: Names it in routes; 22 URL-safe characters.
        avatar: Id of the avatar that is shown, ``[a-z0-9][a-z0-9-]{0,62}``.
        state: ``waiting`` without a connected client or program, ``draining`` with one when the server stops soon, else
            ``live``.
        viewers: Number of viewers, connected or on their way.
        viewer_token: Opens the session's WHEP; 32 URL-safe characters.
        since: Unix time at which it began, s.
        idle_s: Time since something was said or heard last, s.
        token: Id of the join token that began it; empty if none did.
        key: Name of the API key that began it; empty if none did.
        urls: Paths of the session's routes, from ``/api``.
    """

    id: str
    avatar: str
    state: Literal["live", "waiting", "draining"]
    viewers: int
    viewer_token: str
    since: int
    idle_s: float
    token: str
    key: str
    urls: ViewerUrls


class RecordingAnswer(TypedDict):
    """A recording, running or ended.

    Attributes:
        state: ``failed`` if a fault ended it.
        file: Name of the MP4 in the folder of recordings.
        transcript: Name of the file of events beside it, JSON lines.
        seconds: Stored so far, s.
        bytes: Stored so far, bytes.
        repeated_pictures: Number of pictures that stand in for lost ones.
        silent_packets: Number of packets of 20 ms that stand in for lost ones.
        lost_units: Number of pictures and packets that came faster than they could be stored.
        reason: ``disk_full`` or ``failed`` after a fault, ``longest`` at the longest time that is allowed,
            ``unattended`` if nobody was there any more; absent if it was ended by a request or with its session.
    """

    state: Literal["recording", "ended", "failed"]
    file: str
    transcript: str
    seconds: float
    bytes: int
    repeated_pictures: int
    silent_packets: int
    lost_units: int
    reason: NotRequired[str]


class StoredRecording(TypedDict):
    """A recording in the store.

    Attributes:
        name: Names it in routes; starts with the session's id. Its files are ``name.mp4`` and ``name.jsonl``.
        bytes: Size of both files, bytes.
        changed: Time of the last write, UTC, ISO 8601.
        running: Whether it is being written: then it can be neither fetched nor deleted.
    """

    name: str
    bytes: int
    changed: str
    running: bool


class RecordingListAnswer(TypedDict):
    """The recordings in the store.

    Attributes:
        count: Number of all of them.
        bytes: Size of all of them, bytes.
        recordings: The part that was asked for, the latest first.
    """

    count: int
    bytes: int
    recordings: list[StoredRecording]


class EncodeStats(TypedDict):
    """The encode that RTMP and SRT share.

    Attributes:
        seconds: Encoded so far, s.
        repeated_pictures: Number of pictures that stand in for lost ones.
        silent_packets: Number of packets of 20 ms that stand in for lost ones.
    """

    seconds: float
    repeated_pictures: int
    silent_packets: int


class StreamAnswer(TypedDict):
    """A live stream.

    Attributes:
        id: Names it in routes; 12 URL-safe characters.
        to: Protocol, host and port of the address, such as ``rtmps://live.example``; no key.
        state: ``waiting`` between two attempts to connect; ``failed`` if a fault ended it.
        links: Number of connections that came about so far.
        reason: Cause of the last broken connection, in words; absent if nothing was wrong.
        lost_tags: RTMP and SRT: number of packets that the server did not take in time.
        seconds: RTMP and SRT: encoded so far, s. These three are in the list of streams alone.
        repeated_pictures: RTMP and SRT: number of pictures that stand in for lost ones.
        silent_packets: RTMP and SRT: number of packets of 20 ms that stand in for lost ones.
    """

    id: str
    to: str
    state: Literal["connecting", "live", "waiting", "ended", "failed"]
    links: int
    reason: NotRequired[str]
    lost_tags: NotRequired[int]
    seconds: NotRequired[float]
    repeated_pictures: NotRequired[int]
    silent_packets: NotRequired[int]
