"""The protocol of an end-of-turn detection: what tells whether a visitor who pauses has finished."""

from collections.abc import Awaitable, Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

Transcribe = Callable[[npt.NDArray[np.float32]], Awaitable[str]]
"""Returns the words spoken in ``float32[n]`` at 16 kHz; raises :class:`AgentError` without a transcriber."""


class EndOfTurn(Protocol):
    """Tells the end of a turn from a pause, for all conversations of a server.

    Without one, silence alone ends a turn. With one, a turn may end sooner, and a visitor may think for longer:
    `lipstream.realtime.audio.turn_detector` has the times.
    """

    async def has_finished(self, speech: npt.NDArray[np.float32], transcribe: Transcribe) -> bool:
        """Return whether a visitor has finished.

        It is asked once in each pause, on the server's event loop, and cancelled if the visitor speaks on: what
        computes for more than a millisecond belongs into ``asyncio.to_thread``. If it fails, silence ends the turn.

        Args:
            speech: ``float32[n]``, 16 kHz: the turn so far, with the beginning of the pause.
            transcribe: The server's own transcriber.
        """
