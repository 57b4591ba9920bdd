"""Events that a session sends to its clients, over the data channel ``control`` and over the WebSocket of a program.

``sample`` is a position on the session's timeline, 16 kHz, silence included.
"""

from typing import Literal, NotRequired

from typing_extensions import TypedDict


class SpeechEvent(TypedDict):
    """The avatar begins to speak, or has spoken.

    Attributes:
        sample: Position on the timeline, samples at 16 kHz.
    """

    type: Literal["speech_started", "speech_ended"]
    sample: int


class InterruptedEvent(TypedDict):
    """The avatar was interrupted.

    Attributes:
        sample: Position of the silence's beginning, samples at 16 kHz.
        heard_ms: How much was heard of what the program sent, or of the text, ms; absent without both.
        heard_text: Sentences of the text that were heard to their end; absent if no text was spoken.
        cut_text: Sentence that was cut off; empty if none was; absent if no text was spoken.
        by: Absent if a request interrupted, and not a visitor's voice.
        after_ms: Time from the voice's first frame to the silence, ms; absent if a request interrupted.
    """

    type: Literal["interrupted"]
    sample: int
    heard_ms: NotRequired[float]
    heard_text: NotRequired[str]
    cut_text: NotRequired[str]
    by: NotRequired[Literal["voice"]]
    after_ms: NotRequired[float]


class CaptionEvent(TypedDict):
    """A sentence of a text begins to be heard.

    Attributes:
        sample: Position on the timeline, samples at 16 kHz.
        text: One sentence, as it is heard.
    """

    type: Literal["caption"]
    sample: int
    text: str


class StarvedEvent(TypedDict):
    """A gap within a sentence has ended: the speech engine was slower than real time.

    Attributes:
        sample: Position on the timeline where the sound goes on, samples at 16 kHz.
        gap_ms: Length of the silence, ms.
    """

    type: Literal["starved"]
    sample: int
    gap_ms: int


class TurnEvent(TypedDict):
    """In a conversation, the visitor began to speak (``listening``), or has finished (``heard``).

    Attributes:
        sample: Position on the timeline, samples at 16 kHz.
    """

    type: Literal["listening", "heard"]
    sample: int


class ThinkingEvent(TypedDict):
    """In a conversation, the agent was asked for an answer."""

    type: Literal["thinking"]


class TranscriptEvent(TypedDict):
    """In a conversation, the agent understood the visitor.

    Attributes:
        text: The words that the transcriber understood.
    """

    type: Literal["transcript"]
    text: str


class NoAnswerEvent(TypedDict):
    """In a conversation, there was nothing to understand, or nothing to say."""

    type: Literal["no_answer"]


class MotionEvent(TypedDict):
    """A motion of the avatar begins to be seen, or is seen no more.

    Attributes:
        sample: Position of its first picture, or of the first one after it, samples at 16 kHz.
        motion: Its name, ``[a-z][a-z0-9-]{0,30}``.
    """

    type: Literal["motion_started", "motion_ended"]
    sample: int
    motion: str


RecordingEnd = Literal["disk_full", "failed", "longest", "unattended"]


class RecordingStartedEvent(TypedDict):
    """From now on picture and sound are stored.

    Attributes:
        avatar: Id of the avatar that is shown, ``[a-z0-9][a-z0-9-]{0,62}``.
        time: UTC, ISO 8601.
    """

    type: Literal["recording_started"]
    avatar: str
    time: str


class RecordingEndedEvent(TypedDict):
    """The recording is over.

    Attributes:
        time: UTC, ISO 8601.
        reason: ``disk_full`` or ``failed`` after a fault, ``longest`` at the longest time that is allowed,
            ``unattended`` if nobody was there any more; absent if it was ended by a request or with its session.
    """

    type: Literal["recording_ended"]
    time: str
    reason: NotRequired[RecordingEnd]


class StreamEvent(TypedDict):
    """A live stream is connected, lost its connection and tries again, or is over.

    Attributes:
        stream: Id of the stream, 12 URL-safe characters.
        reason: Cause of the broken connection, in words; absent if nothing was wrong.
    """

    type: Literal["stream_started", "stream_lost", "stream_ended"]
    stream: str
    reason: NotRequired[str]


class DrainingEvent(TypedDict):
    """The server stops soon; no new session begins.

    Attributes:
        seconds: Time that running sessions have, s.
    """

    type: Literal["draining"]
    seconds: float


class EndingEvent(TypedDict):
    """A limit ends the session, now or soon. A new session may begin afterwards, unless the reason is ``revoked``.

    Attributes:
        reason: ``longest_call``: the session lasts as long as it may; ``idle``: nothing was said for too long;
            ``revoked``: the operator took the join token back.
        seconds: Time that the session has, s; 0 at its end.
    """

    type: Literal["ending"]
    reason: Literal["longest_call", "idle", "revoked"]
    seconds: float


class ErrorEvent(TypedDict):
    """A message could not be carried out, or the session failed.

    Attributes:
        code: ``not_said``: a text was not spoken; ``not_answered``: the agent failed; ``session_failed``: the
            session ends. Absent if a message was wrong.
        message: The cause, in one sentence for people.
    """

    type: Literal["error"]
    code: NotRequired[Literal["not_said", "not_answered", "session_failed"]]
    message: str


class CreditEvent(TypedDict):
    """The sound that a program may send. Sound above it is read when there is room.

    Attributes:
        until: Sound that may be sent in all from the connection's beginning, bytes.
    """

    type: Literal["credit"]
    until: int


class PlayoutEvent(TypedDict):
    """How much of a program's sound was heard; ten times a second while that grows.

    Attributes:
        sample: Position of the sound that leaves now, samples at 16 kHz.
        heard_ms: Heard in all from the connection's beginning, ms.
        queued_ms: Received and not heard yet, ms.
    """

    type: Literal["playout"]
    sample: int
    heard_ms: float
    queued_ms: float


class WarningEvent(TypedDict):
    """A program's sound was read, though it is not as it should be.

    Attributes:
        message: What was odd, in one sentence for people.
    """

    type: Literal["warning"]
    message: str


ServerEvent = (
    SpeechEvent
    | InterruptedEvent
    | CaptionEvent
    | StarvedEvent
    | TurnEvent
    | ThinkingEvent
    | TranscriptEvent
    | NoAnswerEvent
    | MotionEvent
    | RecordingStartedEvent
    | RecordingEndedEvent
    | StreamEvent
    | DrainingEvent
    | EndingEvent
    | ErrorEvent
)
"""An event that every client of a session gets."""

ProgramEvent = CreditEvent | PlayoutEvent | WarningEvent
"""An event that only the WebSocket of a program gets."""


def error_event(message: str, *, code: Literal["", "not_said", "not_answered", "session_failed"] = "") -> ErrorEvent:
    """Return the event that tells a client what went wrong.

    Args:
        code: A word for programs; left out if empty.
    """
    if code:
        return ErrorEvent(type="error", code=code, message=message)
    return ErrorEvent(type="error", message=message)
