"""What the render worker draws with, and into, where the rest of the server may be missing."""

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
    """Load the network on the CPU in the card's place."""
    return TorchPredictor(settings.weights, device=Processor())


def noise(
    settings: WorkerSettings,  # noqa: ARG001 (what is called takes them)
    avatar_id: str,
    predictor: MouthPredictor,
    progress: Callable[[float], None],  # noqa: ARG001 (likewise)
) -> FaceFeatures:
    """Encode a clip of noise; the avatar ``short`` has few frames."""
    return predictor.encode_faces(faces(8 if avatar_id == "short" else FRAMES, predictor.metadata.size))
