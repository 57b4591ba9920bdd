"""Reads the answers of ``…/chat/completions``: streamed as server-sent events, or as one piece of JSON."""

import json
from collections.abc import Iterator
from typing import Any

from lipstream.realtime.wire.event_stream import EventStream

_DONE = "[DONE]"
_MOST_EVENT_BYTES = 256 * 1024
_LONGEST_REASON = 200
_TEXT_PARTS = ("text", "output_text")


class ReportedError(Exception):
    """The endpoint reports a failure inside an answer with status 200; the message is the endpoint's own."""


class AnswerReader:
    """Extracts the texts of an answer that arrives in pieces, cut anywhere.

    Attributes:
        ended: Whether the endpoint has marked the answer's end.
    """

    def __init__(self) -> None:
        self.ended = False
        self._events = EventStream(_MOST_EVENT_BYTES)
        self._head = bytearray()  # the body until it is known to be a stream; all of it if it is not
        self._is_stream = False
        self._is_empty = True

    def push(self, piece: bytes) -> list[str]:
        """Return the texts that a piece completes.

        Raises:
            ReportedError: If the endpoint reports a failure.
            ValueError: If the answer is not one of this API.
        """
        if not self._is_stream:
            self._head += piece
            begins = bytes(self._head[:64]).lstrip()[:1]
            self._is_stream = bool(begins) and begins not in b"{["
            piece = bytes(self._head) if self._is_stream else b""
        return self._read(self._events.push(piece))

    def flush(self) -> list[str]:
        """Return the texts that the end of the body completes.

        Raises:
            ReportedError: If the endpoint reports a failure.
            ValueError: If the answer is not one of this API, such as a page of a proxy.
        """
        if not self._is_stream:
            return [answer_text(json.loads(self._head))]
        texts = self._read(self._events.flush())
        if self._is_empty:
            raise ValueError("no events")
        return texts

    def _read(self, events: list[str]) -> list[str]:
        found = []
        for data in events:
            self._is_empty = False
            for text in event_texts(data):
                self.ended = self.ended or text is None
                if text and not self.ended:
                    found.append(text)
        return found


def event_texts(data: str) -> Iterator[str | None]:
    """Yield the texts in the data of one event, and ``None`` at the end of the answer.

    An event holds one piece of JSON. Servers that leave out the empty lines between events send several in one.

    Raises:
        ReportedError: If the endpoint reports a failure.
        ValueError: If the data is no JSON of this API.
    """
    data = data.strip()
    try:
        parts = [data] if data == _DONE else [json.loads(data)] if data else []
    except ValueError:
        lines = [line.strip() for line in data.split("\n")]
        if len(lines) == 1:
            raise
        parts = [line if line == _DONE else json.loads(line) for line in lines if line]
    for part in parts:
        yield None if part == _DONE else answer_text(part)


def answer_text(answer: Any) -> str:
    """Return the text in a chunk of a streamed answer, or in a whole answer; empty if it has none.

    Raises:
        ReportedError: If the answer reports a failure.
        ValueError: If it is no JSON object.
    """
    if not isinstance(answer, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 (the endpoint's fault, not the caller's)
    choices = answer.get("choices")
    found = [one for one in choices if isinstance(one, dict)] if isinstance(choices, list) else []
    choice = next((one for one in found if not one.get("index")), {})  # the first of several answers
    if error := answer.get("error") or choice.get("error") or (None if "choices" in answer else _bare_error(answer)):
        raise ReportedError(error_text(error))
    message = choice.get("delta") or choice.get("message")
    if not isinstance(message, dict):
        return _text(choice.get("text"))
    return _text(message.get("content")) or _text(message.get("refusal"))


def _bare_error(answer: dict[str, Any]) -> Any:
    """Return what an error without the usual envelope reports, as vLLM, FastAPI and named events send it."""
    is_error = answer.get("object") == "error" or "error_code" in answer or answer.get("type") == "error"
    told = answer.get("detail") or answer.get("message")
    return answer if is_error else told if isinstance(told, str) else None


def _text(content: Any) -> str:
    """Return a message's content, a text or a list of parts, as text; parts of other kinds are left out."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (
        (part.get("text") if part.get("type", "text") in _TEXT_PARTS else None) if isinstance(part, dict) else part
        for part in content
    )
    return "".join(text for text in texts if isinstance(text, str))


def error_text(error: Any) -> str:
    """Return what an endpoint's error says, a text or an object, in 200 characters at most."""
    reason = error.get("message") or error.get("code") or error.get("type") if isinstance(error, dict) else error
    return str(reason or "no reason given")[:_LONGEST_REASON]
