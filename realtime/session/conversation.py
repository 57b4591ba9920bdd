"""Takes turns with a visitor in a session that listens.

The session listens to the microphone instead of speaking its sound. A person who begins to speak interrupts the avatar.
When the person has finished, an agent answers, if there is one. If the person goes on before the answer is heard, the
agent gets the earlier and the later words together. A pause for thought thus does not lead to an answer to half a
question.
"""

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lipstream.realtime.agent.agent import Agent, AgentError, MotionWish, Transcript
from lipstream.realtime.agent.pause_judge import PauseJudge
from lipstream.realtime.audio.echo_gate import EchoGate
from lipstream.realtime.audio.resample import Resampler
from lipstream.realtime.audio.turn_detector import TurnBegan, TurnDetector, TurnEnded, TurnPaused
from lipstream.realtime.errors import RateLimitError
from lipstream.realtime.session.budget import Budget
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
    """The part of a session that a conversation uses."""

    def interrupt_for(self, voice_sample: int) -> None:
        """Stop speaking because a person began to speak at sample ``voice_sample``, 16 kHz."""

    def tell(self, event: ServerEvent) -> None:
        """Send an event to the session's clients."""

    @property
    def motion_tags(self) -> Sequence[str]:
        """Names of the avatar's motions."""

    def begin_motion(self, name: str) -> None:
        """Show a motion of the avatar, if it may be shown."""


class Conversation:
    """Listens to the visitor of one session and has the agent answer.

    Args:
        agent: Gives the answers; ``None`` leaves them to programs and text.
        turns: Finds where the visitor begins and stops speaking.
        delay_samples: Samples (16 kHz) from entering the timeline to leaving it.
        judge: Tells whether a visitor who pauses has finished, for turns that ask; ``None`` if silence alone tells.
        budget: Bounds the answers; ``None`` for no bound.
    """

    def __init__(
        self,
        face: SpeechOutput,
        text_queue: TextQueue,
        agent: Agent | None,
        turns: TurnDetector,
        *,
        delay_samples: int,
        judge: PauseJudge | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._judge = judge
        self._face, self._narrator, self._agent, self._budget = face, text_queue, agent, budget
        self._resampler = Resampler(SOUND_RATE_HZ, SAMPLE_RATE_HZ)
        self._turns = turns
        self._gate = EchoGate(delay_samples)
        self._said: list[str] = []
        self._unanswered: Sound | None = None  # the visitor's words, until their answer begins to be heard
        self._is_over = False

    def hear(self, block: Sound, said: Sound, end: int) -> None:
        """Take in a block of the microphone; an echo of the avatar's speech counts as silence.

        Args:
            block: Sound of the microphone, ``float32[480]``, 48 kHz.
            said: Speech of the avatar at the same position, ``float32[480]``, 48 kHz.
            end: Position on the timeline after both blocks, 16 kHz samples.
        """
        self._gate.note_said(said, end)
        is_echo = not self._gate.lets_in(block, end)
        for event in self._turns.push(self._resampler.push(block), end, hidden=is_echo):
            self._take(event)

    def end_turn(self) -> None:
        """End the visitor's turn now, as when the talk button is released."""
        if ended := self._turns.end():
            self._take(ended)

    def note_caption(self, text: str) -> None:
        """Record that a sentence begins to be heard."""
        self._said.append(text)
        self._unanswered = None

    def note_interrupted(self, heard_ms: float | None) -> None:
        """Record that the answer is interrupted: the visitor's earlier words are not asked again.

        Args:
            heard_ms: How much of it was heard, ms; ``None`` if no answer is being said.
        """
        self._unanswered = None
        if self._agent and heard_ms is not None:
            self._agent.note_interrupted(heard_ms)

    async def close(self) -> None:
        """Stop listening. May be called again."""
        self._is_over = True
        if self._judge:
            await self._judge.close()
        if self._agent:
            await self._agent.close()

    def _take(self, event: TurnBegan | TurnPaused | TurnEnded) -> None:
        if isinstance(event, TurnPaused):
            self._ask(event)
            return
        if isinstance(event, TurnBegan):
            self._face.tell(TurnEvent(type="listening", sample=event.sample))
            held, self._unanswered = self._unanswered, None
            self._face.interrupt_for(event.sample)
            self._unanswered = held
            self._gate.clear()  # the visitor's next words may be softer than an echo
            return
        self._face.tell(TurnEvent(type="heard", sample=event.sample))
        if self._agent and not self._is_over and self._pays_turn():
            self._answer(self._agent, event.speech)

    def _ask(self, paused: TurnPaused) -> None:
        def decide(has_finished: bool | None) -> None:  # noqa: FBT001 (the judge's answer)
            if ended := self._turns.judge(paused, has_finished=has_finished):
                self._take(ended)

        if self._judge and not self._is_over:
            self._judge.ask(paused.speech, decide)

    def _pays_turn(self) -> bool:
        """Pay for an answer; tell the clients if the budget is used up."""
        try:
            if self._budget:
                self._budget.pay_turn()
        except RateLimitError as error:
            self._unanswered = None
            self._face.tell(error_event(error.message, code="not_answered"))
            self._face.tell(NoAnswerEvent(type="no_answer"))
            return False
        return True

    def _answer(self, agent: Agent, speech: Sound) -> None:
        if self._said:
            agent.note_said(" ".join(self._said))
            self._said.clear()
        if self._unanswered is not None:
            speech = np.concatenate((self._unanswered, speech))[-self._turns.longest_samples :]
        self._unanswered = speech
        self._face.tell(ThinkingEvent(type="thinking"))
        self._narrator.answer(self._sentences(agent, speech))

    async def _sentences(self, agent: Agent, speech: Sound) -> AsyncGenerator[SpokenSentence]:
        is_silent = True
        try:
            async with aclosing(agent.answer(speech, self._face.motion_tags)) as parts:
                async for part in parts:
                    if isinstance(part, Transcript):
                        self._face.tell(TranscriptEvent(type="transcript", text=part.text))
                    elif isinstance(part, MotionWish):
                        self._face.begin_motion(part.name)
                    else:
                        if self._budget:
                            self._budget.pay_characters(len(part.text))
                        is_silent = False
                        yield part
        except AgentError as error:
            self._face.tell(error_event(str(error), code="not_answered"))
        except RateLimitError as error:
            self._face.tell(error_event(error.message, code="not_answered"))
        if is_silent:  # the agent understood no words, or had no answer
            self._unanswered = None
            self._face.tell(NoAnswerEvent(type="no_answer"))
