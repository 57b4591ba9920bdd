"""Predictors and face features for the render worker, for machines without the rest of the server's packages."""

from collections.abc import Callable

from benchmarks.cuda.mouths import FRAMES, faces
from lipstream.realtime.lipsync.card import Processor
from lipstream.realtime.lipsync.predictor import FaceFeatures, MouthPredictor
from lipstream.realtime.lipsync.torch_backend import TorchPredictor
from lipstream.realtime.workers.render_worker import WorkerSettings


def on_card(settings: WorkerSettings) -> MouthPredictor:
    """Load the network on the card."""
    return TorchPredictor(settings.weights, device="cuda")


def on_stand_in(settings: WorkerSettings) -> MouthPredictor:
    """Load the network on the CPU in place of the card."""
    return TorchPredictor(settings.weights, device=Processor())


def noise(
    settings: WorkerSettings,  # noqa: ARG001 (signature of WorkerSettings.features)
    avatar_id: str,
    predictor: MouthPredictor,
    progress: Callable[[float], None],  # noqa: ARG001 (signature of WorkerSettings.features)
) -> FaceFeatures:
    """Encode a clip of noise; the avatar ``short`` has few frames."""
    return predictor.encode_faces(faces(8 if avatar_id == "short" else FRAMES, predictor.metadata.size))
