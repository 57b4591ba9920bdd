"""An agent made of a transcriber, a chat model and a speech engine.

It speaks the first sentence of an answer while the next ones are being written.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import numpy as np
import numpy.typing as npt

from lipstream.realtime.agent.agent import Transcript
from lipstream.realtime.agent.answer_text import AnswerText
from lipstream.realtime.agent.endpoints import Chat, Message, Transcriber
from lipstream.realtime.agent.heard_words import heard_words
from lipstream.realtime.agent.thoughts import ThinkingHabit
from lipstream.realtime.audio.motion_tags import take_motions
from lipstream.realtime.audio.silero import has_voice
from lipstream.realtime.synthesis.synthesizer import SpeechSynthesizer, SpokenSentence
from lipstream.realtime.timeline import SAMPLE_RATE_HZ

REMEMBERED_MESSAGES = 40
"""Messages of the conversation that are kept."""
_LONGEST_COURTESY = 10 * SAMPLE_RATE_HZ
"""Sound in which the voice of a turn of one word is looked for, 16 kHz samples."""
PROMPT = (
    "You are a friendly face on a screen. A person stands before you and talks to you; your answer is spoken aloud. "
    "Answer in the language that they speak, in two or three short sentences, without lists, links or formatting."
)

_TAGS = "Where it suits, begin a sentence with one of these tags, which moves your head and is not spoken: {tags}."


class Talker:
    """One conversation. The transcriber and the chat are closed with it; the synthesizer is shared and stays open.

    Args:
        prompt: System prompt for the chat; empty for ``PROMPT``.
        habit: How the chat's model thinks, shared by its conversations.
    """

    def __init__(
        self, transcriber: Transcriber, chat: Chat, synthesizer: SpeechSynthesizer, prompt: str, habit: ThinkingHabit
    ) -> None:
        self._habit = habit
        self._transcriber, self._chat, self._synthesizer = transcriber, chat, synthesizer
        self._prompt: Message = {"role": "system", "content": prompt or PROMPT}
        self._history: list[Message] = []
        self._question = ""

    async def answer(
        self, speech: npt.NDArray[np.float32], motions: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript | SpokenSentence]:
        """Answer ``float32[n]`` at 16 kHz: yield the transcript, then the answer by sentences.

        The chat's model is told of the avatar's motions, and shows them by tags in its text.

        Raises:
            AgentError: If an endpoint fails.
        """
        self._question = await self._understand(speech)
        if not self._question:
            return
        yield Transcript(self._question)
        prompt = self._prompt
        if motions:
            tags = ", ".join(f"[{name}]" for name in motions)
            prompt = {**prompt, "content": f"{prompt['content']} {_TAGS.format(tags=tags)}"}
        messages = [prompt, *self._history, {"role": "user", "content": self._question}]
        text = AnswerText(begins_in_thought=self._habit.begins_in_thought, motions=motions)
        waiting: tuple[str, ...] = ()
        async with aclosing(sentences_of(self._chat.stream(messages), text)) as sentences:
            async for marked in sentences:
                sentence, found = take_motions(marked, motions)
                waiting += found
                if any(map(str.isalnum, sentence)):
                    yield SpokenSentence(sentence, self._synthesizer.speak(sentence), waiting)
                    waiting = ()
        self._habit.learn(begins_in_thought=text.begins_in_thought)

    async def _understand(self, speech: npt.NDArray[np.float32]) -> str:
        """Return the words of a turn; empty if nobody spoke."""
        transcript = await self._transcriber.transcribe(speech)
        words = heard_words(transcript, has_voice=True)
        if not words or heard_words(transcript, has_voice=False):
            return words
        return words if await asyncio.to_thread(has_voice, speech[:_LONGEST_COURTESY]) else ""

    def note_said(self, text: str) -> None:
        """Add the question, and the part of its answer that was heard, to the history."""
        self._history += [{"role": "user", "content": self._question}, {"role": "assistant", "content": text}]
        del self._history[:-REMEMBERED_MESSAGES]

    def note_interrupted(self, heard_ms: float) -> None:
        """Do nothing: the history holds what :meth:`note_said` is told."""

    async def close(self) -> None:
        """Close the connections."""
        await self._transcriber.close()
        await self._chat.close()


async def sentences_of(pieces: AsyncGenerator[str], text: AnswerText) -> AsyncGenerator[str]:
    """Yield whole sentences of a text that arrives in pieces, each as soon as the next one begins."""
    async with aclosing(pieces):
        async for piece in pieces:
            for sentence in text.push(piece):
                yield sentence
            if text.is_full:
                break
    for sentence in text.flush():
        yield sentence
