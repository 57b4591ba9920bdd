"""One conversation through a face: who speaks, when it is whose turn, and what becomes of an answer nobody waits for.

The microphone is listened to and not spoken. A person who begins to speak while the face does interrupts it; when they
have finished, an agent answers, if there is one. What was said into the making of an answer is heard together with what
was said before it: people who pause for thought are not answered to half a question.
"""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lipstream.realtime.agent.agent import Agent, AgentError, Transcript
from lipstream.realtime.audio.echo_gate import EchoGate
from lipstream.realtime.audio.resample import Resampler
from lipstream.realtime.audio.turn_detector import LONGEST_SAMPLES, TurnBegan, TurnDetector, TurnEnded
from lipstream.realtime.session.text_queue import TextQueue
from lipstream.realtime.synthesis.synthesizer import SpokenSentence
from lipstream.realtime.timeline import SAMPLE_RATE_HZ, SOUND_RATE_HZ
from lipstream.realtime.wire.events import (
    NoAnswerEvent,
    ServerEvent,
    ThinkingEvent,
    TranscriptEvent,
    TurnEvent,
    error_event,
)

logger = logging.getLogger(__name__)

Sound = npt.NDArray[np.float32]


class SpeechOutput(Protocol):
    """What a conversation needs of its session."""

    def interrupt_for(self, voice_sample: int) -> None:
        """Stop speaking, if it does, since a person began to speak at a sample."""

    def tell(self, event: ServerEvent) -> None:
        """Tell the clients."""


class Conversation:
    """Listens in one session.

    Args:
        face: The session.
        text_queue: Says the answers.
        agent: Gives them; ``None`` leaves that to programs and to text.
        delay_samples: From entering the timeline until leaving, 16 kHz.
    """

    def __init__(self, face: SpeechOutput, text_queue: TextQueue, agent: Agent | None, *, delay_samples: int) -> None:
        self._face, self._narrator, self._agent = face, text_queue, agent
        self._resampler = Resampler(SOUND_RATE_HZ, SAMPLE_RATE_HZ)
        self._turns = TurnDetector()
        self._gate = EchoGate(delay_samples)
        self._said: list[str] = []
        self._unanswered: Sound | None = None  # what the answer in the making is to
        self._is_over = False

    def hear(self, block: Sound, said: Sound, end: int) -> None:
        """Take in what the microphone heard; what is an echo of the face is silence.

        Args:
            block: ``float32[480]``, 48 kHz.
            said: What the face says at the same place of the timeline, likewise.
            end: Where on the timeline they end, 16 kHz.
        """
        self._gate.note_said(said, end)
        if not self._gate.lets_in(block, end):
            block = np.zeros_like(block)
        for event in self._turns.push(self._resampler.push(block), end):
            self._take(event)

    def end_turn(self) -> None:
        """End the turn now: the person let go of the button."""
        if ended := self._turns.end():
            self._take(ended)

    def note_caption(self, text: str) -> None:
        """Learn that a sentence begins to be heard."""
        self._said.append(text)
        self._unanswered = None

    def note_interrupted(self) -> None:
        """Learn that the answer was cut off on request: what it was to is not asked again."""
        self._unanswered = None

    async def close(self) -> None:
        """Stop listening. May be called again."""
        self._is_over = True
        if self._agent:
            await self._agent.close()

    def _take(self, event: TurnBegan | TurnEnded) -> None:
        if isinstance(event, TurnBegan):
            self._face.tell(TurnEvent(type="listening", sample=event.sample))
            held, self._unanswered = self._unanswered, None
            self._face.interrupt_for(event.sample)
            self._unanswered = held
            self._gate.clear()  # the visitor's next words may be softer than an echo
            return
        self._face.tell(TurnEvent(type="heard", sample=event.sample))
        if self._agent and not self._is_over:
            self._answer(self._agent, event.speech)

    def _answer(self, agent: Agent, speech: Sound) -> None:
        if self._said:
            agent.note_said(" ".join(self._said))
            self._said.clear()
        if self._unanswered is not None:
            speech = np.concatenate((self._unanswered, speech))[-LONGEST_SAMPLES:]
        self._unanswered = speech
        self._face.tell(ThinkingEvent(type="thinking"))
        self._narrator.answer(self._sentences(agent, speech))

    async def _sentences(self, agent: Agent, speech: Sound) -> AsyncGenerator[SpokenSentence]:
        is_silent = True
        try:
            async with aclosing(agent.answer(speech)) as parts:
                async for part in parts:
                    if isinstance(part, Transcript):
                        self._face.tell(TranscriptEvent(type="transcript", text=part.text))
                    else:
                        is_silent = False
                        yield part
        except AgentError as error:
            self._face.tell(error_event(str(error), code="not_answered"))
        if is_silent:  # there was nothing to understand, or no answer to it
            self._unanswered = None
            self._face.tell(NoAnswerEvent(type="no_answer"))
