"""An agent made of a transcriber, a chat model and a speech engine.

It speaks the first sentence of an answer while the next ones are being written.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import numpy as np
import numpy.typing as npt

from lipstream.realtime.agent.agent import Transcript
from lipstream.realtime.agent.answer_text import AnswerText
from lipstream.realtime.agent.endpoints import Chat, Message, Transcriber
from lipstream.realtime.synthesis.synthesizer import SpeechSynthesizer, SpokenSentence

REMEMBERED_MESSAGES = 40
"""Messages of the conversation that are kept."""
PROMPT = (
    "You are a friendly face on a screen. A person stands before you and talks to you; your answer is spoken aloud. "
    "Answer in the language that they speak, in two or three short sentences, without lists, links or formatting."
)


class Talker:
    """One conversation. The transcriber and the chat are closed with it; the synthesizer is shared and stays open.

    Args:
        prompt: System prompt for the chat; empty for ``PROMPT``.
    """

    def __init__(self, transcriber: Transcriber, chat: Chat, synthesizer: SpeechSynthesizer, prompt: str) -> None:
        self._transcriber, self._chat, self._synthesizer = transcriber, chat, synthesizer
        self._prompt: Message = {"role": "system", "content": prompt or PROMPT}
        self._history: list[Message] = []
        self._question = ""

    async def answer(self, speech: npt.NDArray[np.float32]) -> AsyncGenerator[Transcript | SpokenSentence]:
        """Answer ``float32[n]`` at 16 kHz: yield the transcript, then the answer by sentences.

        Raises:
            AgentError: If an endpoint fails.
        """
        self._question = await self._transcriber.transcribe(speech)
        if not any(char.isalnum() for char in self._question):
            return
        yield Transcript(self._question)
        messages = [self._prompt, *self._history, {"role": "user", "content": self._question}]
        async with aclosing(sentences_of(self._chat.stream(messages))) as sentences:
            async for sentence in sentences:
                yield SpokenSentence(sentence, self._synthesizer.speak(sentence))

    def note_said(self, text: str) -> None:
        """Add the question, and the part of its answer that was heard, to the history."""
        self._history += [{"role": "user", "content": self._question}, {"role": "assistant", "content": text}]
        del self._history[:-REMEMBERED_MESSAGES]

    async def close(self) -> None:
        """Close the connections."""
        await self._transcriber.close()
        await self._chat.close()


async def sentences_of(pieces: AsyncGenerator[str]) -> AsyncGenerator[str]:
    """Yield whole sentences of a text that arrives in pieces, each as soon as the next one begins."""
    text = AnswerText()
    async with aclosing(pieces):
        async for piece in pieces:
            for sentence in text.push(piece):
                yield sentence
    for sentence in text.flush():
        yield sentence
