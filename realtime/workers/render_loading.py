"""Loads the network and the features of avatars for a render worker."""

from collections.abc import Callable

from lipstream.avatar_cache.prepare import prepare
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.lipsync.backends import create_predictor
from lipstream.realtime.lipsync.predictor import FaceFeatures, MouthPredictor
from lipstream.realtime.workers.render_worker import WorkerSettings, default_threads


def load_predictor(settings: WorkerSettings) -> MouthPredictor:
    """Load the network that the settings name."""
    return create_predictor(
        settings.weights,
        device=settings.device,
        cache=AvatarStore(settings.store).graphs,
        window_offset_samples=settings.window_offset_samples,
        threads=settings.threads or default_threads(),
        precision=None if settings.precision == "auto" else settings.precision,
        fall_back=settings.fall_back,
        pads=settings.pads,
        model=settings.model,
        quick_start=settings.quick_start,
    )


def load_features(
    settings: WorkerSettings, avatar_id: str, predictor: MouthPredictor, progress: Callable[[float], None]
) -> FaceFeatures:
    """Load a stored avatar's features; compute them if the store has none for these weights."""
    avatar = AvatarStore(settings.store).load(avatar_id)
    return prepare(avatar, predictor, progress=progress, keeps_old=settings.keeps_old).features
