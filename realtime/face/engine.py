"""One network on one device, in a thread of its own, for the faces of a program."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self, TypeVar

import numpy as np

from lipstream.avatar_cache.avatar import PreparedAvatar
from lipstream.avatar_cache.prepare import prepare
from lipstream.avatar_cache.store import AvatarStore, default_root
from lipstream.realtime.audio.mel import SILENCE_LEVEL
from lipstream.realtime.lipsync.backends import create_predictor
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS, WeightsMetadata
from lipstream.realtime.lipsync.mouth_code import SpokenFrame
from lipstream.realtime.lipsync.mouth_drawer import MouthDrawer
from lipstream.realtime.timeline import MEL_BANDS, WINDOW_COLUMNS

_Result = TypeVar("_Result")
_NO_STREAM = -1
"""Stream of the mouth that warms the network up."""


class Engine:
    """Loads a network and draws for any number of faces; a context manager that closes itself.

    Loading takes a second or two; an avatar that is new to the store takes some more.

    Args:
        store: Folder of avatars and 8-bit networks; ``None`` for the one that the server uses.
        weights: Weights file; ``None`` for those that ship with Lipstream.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``auto``, ``fp16``, ``bf16``, ``fp32`` or ``int8``.
        threads: Cores that the network may use at once; ``None`` for all.

    Raises:
        LipstreamError: If the weights cannot be read, or the device cannot be used.
    """

    def __init__(
        self,
        *,
        store: str | Path | None = None,
        weights: str | Path | None = None,
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
    ) -> None:
        self.store = AvatarStore(store or default_root())
        self._predictor = create_predictor(
            Path(weights or BUILT_IN_WEIGHTS),
            device=device,
            cache=self.store.graphs,
            threads=threads,
            precision=None if precision == "auto" else precision,
        )
        self.drawer = MouthDrawer(self._predictor)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lipstream-face")
        self._warm, self._streams = False, 0

    @property
    def metadata(self) -> WeightsMetadata:
        """The metadata of the weights."""
        return self._predictor.metadata

    def load(self, avatar_id: str | None) -> PreparedAvatar:
        """Return an avatar of the store, prepared for the weights; the first use of an avatar takes some seconds.

        Args:
            avatar_id: ``None`` for the first of the store.

        Raises:
            NotFoundError: If the store has no such avatar.
            AvatarError: If the avatar is damaged.
        """
        avatar = self.store.load(avatar_id or self.store.first())
        return self.submit(lambda: self._prepare(prepare(avatar, self._predictor))).result()

    def new_stream(self) -> int:
        """Return a number that tells the mouths of one face from those of the others."""
        self._streams += 1
        return self._streams

    def submit(self, work: Callable[[], _Result]) -> "Future[_Result]":
        """Run ``work`` in the engine's thread, after what was submitted before.

        Raises:
            RuntimeError: If the engine is closed.
        """
        return self._thread.submit(work)

    def close(self) -> None:
        """End the thread, after what was submitted. May be called again."""
        self._thread.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _prepare(self, avatar: PreparedAvatar) -> PreparedAvatar:
        """Draw one mouth, since the first one takes longer; return the avatar."""
        if not self._warm:
            silence = np.full((1, MEL_BANDS, WINDOW_COLUMNS), SILENCE_LEVEL, np.float32)
            spoken = [SpokenFrame(_NO_STREAM, 0, continues=False, articulation=1.0)]
            self.drawer.draw(spoken, silence, avatar.features, np.zeros(1, np.int64))
            self._warm = True
        return avatar
