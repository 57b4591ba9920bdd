"""The control channel's messages: text, JSON, one object each."""

import json
from typing import Any

from lipstream.realtime.errors import BadRequestError

MAX_CONTROL_BYTES = 4096


def parse_control(message: object) -> dict[str, Any]:
    """Return the object that a message from a client holds.

    Raises:
        BadRequestError: If it is not text, over 4 KiB, no JSON, or not an object.
    """
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


def said_text(message: dict[str, Any]) -> str:
    """Return the text of a message of type ``say``.

    Raises:
        BadRequestError: If it has none.
    """
    text = message.get("text")
    if not isinstance(text, str):
        raise BadRequestError("say needs a text")
    return text


def control_error(message: str, *, code: str = "") -> dict[str, Any]:
    """Return the message that tells a client what was wrong, with a word for programs where there is one."""
    return {"type": "error", **({"code": code} if code else {}), "message": message}


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
