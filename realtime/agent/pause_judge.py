"""Asks an end-of-turn detection about the pauses of one conversation."""

import asyncio
import logging
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from lipstream.realtime.agent.agent import AgentError
from lipstream.realtime.agent.end_of_turn import EndOfTurn
from lipstream.realtime.agent.endpoints import Transcriber

logger = logging.getLogger(__name__)


class PauseJudge:
    """Asks about one pause at a time.

    Args:
        transcriber: Writes down what was said before a pause; ``None`` if the server names no transcriber.
    """

    def __init__(self, detection: EndOfTurn, transcriber: Transcriber | None) -> None:
        self._detection, self._transcriber = detection, transcriber
        self._asking: asyncio.Task[None] | None = None

    def ask(self, speech: npt.NDArray[np.float32], decide: Callable[[bool | None], None]) -> None:
        """Ask whether the speaker has finished, in place of the pause before.

        Args:
            speech: ``float32[n]``, 16 kHz: the turn so far.
            decide: Called with the answer; with ``None`` if there is none.
        """
        if self._asking:
            self._asking.cancel()
        self._asking = asyncio.create_task(self._ask(speech, decide), name="end-of-turn")

    async def close(self) -> None:
        """Ask no longer. May be called again."""
        if self._asking:
            self._asking.cancel()
            await asyncio.wait([self._asking])
            self._asking = None
        if self._transcriber:
            await self._transcriber.close()

    async def _ask(self, speech: npt.NDArray[np.float32], decide: Callable[[bool | None], None]) -> None:
        try:
            has_finished = await self._detection.has_finished(speech, self._transcribe)
        except AgentError as error:
            logger.warning("the end of a turn cannot be told: %s", error)
            decide(None)
        except Exception:
            logger.exception("the end-of-turn detection failed")
            decide(None)
        else:
            decide(bool(has_finished))

    async def _transcribe(self, speech: npt.NDArray[np.float32]) -> str:
        if not self._transcriber:
            raise AgentError("the server has no transcriber")
        return await self._transcriber.transcribe(speech)
