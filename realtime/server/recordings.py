"""The store's recordings: listed, found, deleted, and removed when they have been kept long enough."""

import asyncio
import logging
import time
from pathlib import Path

from lipstream.realtime.errors import ConflictError, NotFoundError
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.sinks.recording_files import (
    KeptFile,
    kept_recordings,
    recorded_file,
    remove_overdue,
    remove_recording,
)

logger = logging.getLogger(__name__)

FOLDER = "recordings"
"""Folder of the store."""
_LOOK_S = 60.0


class Recordings:
    """The recordings of a server's store; those that are being written are neither handed out nor deleted."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self.folder = sessions.store.root / FOLDER
        self._retention = sessions.settings.recordings_keep

    async def all(self) -> list[KeptFile]:
        """Return all recordings, the latest first."""
        return await asyncio.to_thread(kept_recordings, self.folder)

    async def file(self, name: str) -> Path:
        """Return the path of a file of a recording that has ended.

        Raises:
            NotFoundError: If there is no such file.
            ConflictError: If it is being written.
        """
        self._check_ended(name.rpartition(".")[0])
        return await asyncio.to_thread(recorded_file, self.folder, name)

    async def remove(self, name: str) -> None:
        """Delete both files of a recording that has ended.

        Args:
            name: File names without their suffix.

        Raises:
            NotFoundError: If there is no such recording.
            ConflictError: If it is being written.
        """
        self._check_ended(name)
        await asyncio.to_thread(remove_recording, self.folder, name)
        logger.info("recording deleted: %s", name)

    async def run(self) -> None:
        """Delete each minute, until cancelled, what has been kept long enough."""
        while self._retention:
            try:
                over = await asyncio.to_thread(
                    remove_overdue, self.folder, self._retention, time.time(), written=self._sessions.being_recorded()
                )
            except (OSError, NotFoundError) as error:
                logger.warning("recordings could not be deleted: %s", error)
            else:
                for name in over:
                    logger.info("recording deleted, since it was kept long enough: %s", name)
            await asyncio.sleep(_LOOK_S)

    def _check_ended(self, name: str) -> None:
        if name in self._sessions.being_recorded():
            raise ConflictError("this recording is being written: end it first")
