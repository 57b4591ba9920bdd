"""What OpenAI's Realtime API tells of one turn, and its answer as sentences with their sound."""

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Callable
from typing import Any

from lipstream.realtime.agent.agent import AgentError
from lipstream.realtime.agent.answer_text import AnswerText
from lipstream.realtime.synthesis.synthesizer import SpokenPcm, SpokenSentence
from lipstream.realtime.wire.bounded_connection import parse_message

logger = logging.getLogger(__name__)

RATE_HZ = 24_000
"""Rate of sound both ways, by the API reference."""
HELD_BYTES = 2 * RATE_HZ
"""Sound of an answer, one second, after which it begins although its first sentence is not written to its end."""
LONGEST_MS = 90 * 1000
"""Most sound of one answer, ms: 4.3 MB, which may all come before the first word is heard."""
MOST_CHARACTERS = 1 << 16
"""Most text of one turn: the visitor's words and the answer's."""

_MOMENT = bytes(2 * RATE_HZ // 50)
"""Silence of 20 ms."""

Event = dict[str, Any]


class Exchange:
    """One turn and its answer, as items of the API's conversation.

    Attributes:
        name: Tells its response and errors from those of earlier turns.
        question, answer: Ids of the items; empty before they are known.
        response: Id of the response; empty before it begins.
        is_open: Whether the API is still answering.
        sound_ms: Length of the answer's sound that has come, ms.
        was_heard: Whether any of it was heard.
        characters: Length of the text that has come.
        calls: Calls of the tool that shows motions, which wait to be answered: id and the motion's name.
        heard_ms: How much of it was heard before it was interrupted, ms; ``None`` if it was not.
    """

    def __init__(self) -> None:
        self.name = secrets.token_hex(8)
        self.question = self.answer = self.response = ""
        self.is_open = False
        self.sound_ms = 0.0
        self.characters = 0
        self.was_heard = False
        self.calls: list[tuple[str, str]] = []
        self._was_called = self._is_asked_again = False  # the tool; for words, which is done once
        self.heard_ms: float | None = None

    def note(self, event: Event) -> None:
        """Take note of an event.

        Raises:
            AgentError: If it says that there is no answer.
            KeyError: If the event lacks a field.
        """
        match event["type"]:
            case "input_audio_buffer.committed":
                self.question = event["item_id"]
            case "response.created" if self._owns(event["response"]):
                self.response = event["response"]["id"]
            case "response.function_call_arguments.done" if event["response_id"] == self.response:
                self.note_call(event["call_id"], event["arguments"])
            case "response.done" if event["response"]["id"] == self.response:
                self.is_open = False
                if event["response"].get("status") == "failed":
                    raise AgentError("the realtime API could not answer")
            case "error" if self._is_failed_by(event["error"]):
                logger.warning("the realtime API reports an error: %.200a", event["error"].get("code"))
                raise AgentError("the realtime API reports an error; the server's log says which")

    def note_call(self, call: str, arguments: str) -> None:
        """Take note of a call of the tool, whose arguments are JSON.

        Raises:
            AgentError: If there are more than a turn may have.
            ValueError: If the arguments are no JSON.
        """
        asked = parse_message(self.note_words(arguments))
        self.calls.append((call, str(asked.get("name", "")) if isinstance(asked, dict) else ""))
        self._was_called = True

    def take_calls(self) -> list[tuple[str, str]]:
        """Return the calls that are to be answered."""
        calls, self.calls = self.calls, []
        return calls

    def lacks_words(self) -> bool:
        """Return once whether the response has ended in which the tool was called and nothing was said."""
        if self.is_open or not self._was_called or self.sound_ms or self._is_asked_again:
            return False
        self._is_asked_again, self.is_open, self.response = True, True, ""
        return True

    def note_sound(self, item: str, size: int) -> None:
        """Take note of ``size`` bytes of the answer's sound.

        Raises:
            AgentError: If it is longer than an answer may be.
        """
        self.answer = item
        self.sound_ms += size * 1000 / (2 * RATE_HZ)
        if self.sound_ms > LONGEST_MS:
            raise AgentError("the realtime API's answer has no end")

    def note_words(self, words: str) -> str:
        """Take note of text that has come; return it.

        Raises:
            AgentError: If it is more than a turn may have.
        """
        self.characters += len(words)
        if self.characters > MOST_CHARACTERS:
            raise AgentError("the realtime API's answer has no end")
        return words

    def transcript_in(self, event: Event) -> str:
        """Return the visitor's words if an event holds them; else nothing."""
        if event["type"] != "conversation.item.input_audio_transcription.completed":
            return ""
        return str(event["transcript"]).strip() if event["item_id"] == self.question else ""

    def _owns(self, response: Event) -> bool:
        """Return whether a response answers this turn; a server that does not repeat its metadata has one at a time."""
        turn: str = (response.get("metadata") or {}).get("turn", self.name)
        return turn == self.name

    def _is_failed_by(self, error: Event) -> bool:
        """Return whether an error ends this turn, and is not about a correction that came too late."""
        about = error.get("event_id")
        return about.startswith(self.name) if about else not self.response


class SpokenAnswer:
    """Joins words and sound, which come side by side, into sentences with their sound.

    A sentence begins with the sound that comes after its words, so a sentence never lacks sound.

    Args:
        say: Called with each sentence when its sound begins.
    """

    def __init__(self, say: Callable[[SpokenSentence], None]) -> None:
        self._say = say
        self._text = AnswerText()
        self._unspoken: list[str] = []  # sentences that wait for their sound
        self._written = ""  # words that may be part of a sentence without an end
        self._held = b""  # sound that came before the first sentence
        self._sound: asyncio.Queue[bytes | None] | None = None

    def write(self, words: str) -> None:
        """Add words; they may end within one."""
        self._written += words
        self._unspoken += self._text.push(words)
        if self._held and self._unspoken:
            self._begin(self._held)

    def sound(self, pcm: bytes) -> None:
        """Add sound: s16le, mono, 24 kHz."""
        if self._unspoken:
            self._begin(self._held + pcm)
        elif self._sound:
            self._sound.put_nowait(pcm)
        else:
            self._held += pcm
            if len(self._held) >= HELD_BYTES:
                self._unspoken = [self._written.strip()]
                self._begin(self._held)

    def end_words(self) -> None:
        """Take note that no words follow: the last sentence is whole."""
        self._unspoken += self._text.flush()

    def end(self) -> None:
        """End the answer: say what is left of it. Words whose sound went before get a moment, to be shown."""
        self.end_words()
        if self._held or (self._sound and self._unspoken):
            self._begin(self._held or _MOMENT)
        self._close()

    def _begin(self, pcm: bytes) -> None:
        self._close()
        sound: asyncio.Queue[bytes | None] = asyncio.Queue()
        sound.put_nowait(pcm)
        self._sound = sound
        self._say(SpokenSentence(" ".join(self._unspoken), _sound_of(sound)))
        self._unspoken, self._held = [], b""

    def _close(self) -> None:
        if self._sound:
            self._sound.put_nowait(None)
        self._sound = None


async def _sound_of(pieces: "asyncio.Queue[bytes | None]") -> AsyncGenerator[SpokenPcm]:
    while (pcm := await pieces.get()) is not None:
        yield SpokenPcm(RATE_HZ, pcm)
