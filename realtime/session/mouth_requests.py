"""A session's requests for mouths: of the avatar that is shown, with the articulation that is set."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from lipstream.realtime.lipsync.metadata import WeightsMetadata
from lipstream.realtime.packets import RenderJob
from lipstream.realtime.workers.render_client import RenderWorker
from lipstream.realtime.workers.render_jobs import OnMouth


class MouthRequests:
    """Asks a worker for the mouths of one session.

    Args:
        worker: Has loaded the avatar, and draws with the weights that ``metadata`` describes.
        on_mouth: Called with a frame's number and its mouth, ``uint8[h, w, 3]`` pixels, or fields
            in the layout of `lipstream.realtime.lipsync.fields`.
        on_fault: Called with what ``on_mouth`` raises, since the worker's batch holds mouths of other sessions too.
        articulation: How far the mouth goes, 0.5 to 1.5 of what was heard; ``None`` for the weights' own.

    Raises:
        ConflictError: If the weights have no articulation, and one is given.
    """

    def __init__(
        self,
        worker: RenderWorker,
        avatar_id: str,
        metadata: WeightsMetadata,
        *,
        on_mouth: OnMouth,
        on_fault: Callable[[Exception], None],
        articulation: float | None,
    ) -> None:
        self._worker, self._metadata = worker, metadata
        self._on_mouth, self._on_fault = on_mouth, on_fault
        self._articulation = metadata.articulation(articulation)
        self._open(avatar_id)

    @property
    def articulation(self) -> float | None:
        """How far the mouth goes, 0.5 to 1.5 of what was heard; ``None`` if the weights have no articulation."""
        return self._articulation

    def check_articulates(self) -> None:
        """Check that the articulation can be changed.

        Raises:
            ConflictError: If the weights have no articulation.
        """
        self._metadata.check_articulates()

    def articulate(self, articulation: float) -> None:
        """Let the mouth go further, or less far, in the frames requested from now on.

        Raises:
            ConflictError: If the weights have no articulation.
        """
        self.check_articulates()
        self._articulation = self._stream.articulation = articulation

    def submit(self, job: RenderJob) -> None:
        """Request a mouth of the avatar that is shown."""
        self._stream.submit(job)

    def show(self, avatar_id: str) -> None:
        """Request mouths of another avatar, which the worker has loaded; those under way are discarded."""
        self.close()
        self._open(avatar_id)

    def close(self) -> None:
        """Request no more mouths, and discard those under way. May be called again."""
        self._stream.close()

    def _open(self, avatar_id: str) -> None:
        self._stream = self._worker.open_stream(avatar_id, self._take, articulation=self._articulation or 1.0)

    def _take(self, frame: int, mouth: npt.NDArray[np.uint8]) -> None:
        try:
            self._on_mouth(frame, mouth)
        except Exception as error:  # noqa: BLE001 (a fault of one session must not stop the others)
            self._on_fault(error)
