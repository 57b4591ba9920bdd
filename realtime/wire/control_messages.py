"""Requests of clients to a session, over the data channel ``control`` and over the WebSocket of a program.

Each message is text: one JSON object of at most 4 KiB.
"""

import json
import reprlib
from typing import Any, Literal

from typing_extensions import TypedDict

from lipstream.realtime.errors import BadRequestError

MAX_CONTROL_BYTES = 4096


class InterruptMessage(TypedDict):
    """Stop speaking now. Speech that was not heard yet is dropped."""

    type: Literal["interrupt"]


class SayMessage(TypedDict):
    """Speak a text. Sound that was sent waits until the text is spoken.

    Attributes:
        text: Plain text of any number of sentences; the message has at most 4 KiB.
    """

    type: Literal["say"]
    text: str


class EndOfSpeechMessage(TypedDict):
    """An utterance of the program's sound is over. On the WebSocket alone."""

    type: Literal["end_of_speech"]


class EndOfTurnMessage(TypedDict):
    """The visitor has finished speaking: the button was released. In a conversation alone."""

    type: Literal["end_of_turn"]


class MotionMessage(TypedDict):
    """Show a motion of the avatar once.

    Attributes:
        name: One of the avatar's motions, such as ``greet``.
    """

    type: Literal["motion"]
    name: str


ControlMessage = InterruptMessage | SayMessage | MotionMessage | EndOfSpeechMessage | EndOfTurnMessage


def parse_control(message: object) -> ControlMessage:
    """Return a client's message.

    Args:
        message: The received text, ``str``; every other type is refused.

    Raises:
        BadRequestError: If it is not text, over 4 KiB, not JSON, not an object, of an unknown type, or misses a
            field of its type.
    """
    parsed = _parse_object(message)
    match parsed.get("type"):
        case "interrupt":
            return InterruptMessage(type="interrupt")
        case "end_of_speech":
            return EndOfSpeechMessage(type="end_of_speech")
        case "end_of_turn":
            return EndOfTurnMessage(type="end_of_turn")
        case "say":
            text = parsed.get("text")
            if not isinstance(text, str):
                raise BadRequestError("say needs a text")
            return SayMessage(type="say", text=text)
        case "motion":
            name = parsed.get("name")
            if not isinstance(name, str):
                raise BadRequestError("motion needs a name")
            return MotionMessage(type="motion", name=name)
        case kind:
            raise unknown_type(kind)


def unknown_type(kind: object) -> BadRequestError:
    """Return the refusal of a message whose type is unknown, or has no meaning for this session.

    Args:
        kind: Value of the message's ``type``, ``None`` if it has none.
    """
    # shortened: the refusal goes to a client that chose its length
    return BadRequestError(f"control message of type {reprlib.repr(kind)} is not known here")


def _parse_object(message: object) -> dict[str, Any]:
    if not isinstance(message, str):
        raise BadRequestError("A control message is text.")
    if len(message.encode("utf-8", errors="replace")) > MAX_CONTROL_BYTES:
        raise BadRequestError(f"A control message is at most {MAX_CONTROL_BYTES} bytes long.")
    try:
        parsed = json.loads(message, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequestError("The control message is not JSON.") from error
    if not isinstance(parsed, dict):
        raise BadRequestError("A control message is a JSON object.")
    return parsed


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
