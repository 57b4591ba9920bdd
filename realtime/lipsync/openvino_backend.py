"""The CPU back end: OpenVINO, with graphs that are built from the weights file at every start.

Nothing of them is kept on disk but what takes long to make: graphs of eight bits.
"""

import logging
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import openvino as ov

from lipstream.realtime.lipsync.batched_graph import SIZES, BatchedGraph
from lipstream.realtime.lipsync.metadata import Pads, WeightsMetadata, file_sha256
from lipstream.realtime.lipsync.openvino_graphs import NetworkGraphs
from lipstream.realtime.lipsync.predictor import FaceFeatures
from lipstream.realtime.lipsync.quantize import quantize
from lipstream.realtime.lipsync.sealed_folder import is_whole, seal, sync_folder
from lipstream.realtime.lipsync.weights_file import read_file

logger = logging.getLogger(__name__)

_FORMAT = "3"  # raise with any change of graphs, quantize, layers or CALIBRATION
_SPEECH, _MOUTH = "speech", "mouth"
_PIXELS, _FIELDS = 0, 1
"""Outputs of a mouth graph; the second only of a copying head."""
_SEAL = "graphs.sums.json"
_EXACT = {"INFERENCE_PRECISION_HINT": "f32"}
CALIBRATION = Path(__file__).parent / "weights" / "calibration.npz"
"""``mel: float16[N, 80, 16]``, windows of speech, and ``crops: uint8[M, 96, 96, 3]``, BGR faces."""


def quantized(weights: Path, cache: Path) -> dict[str, Path]:
    """Return the 8-bit graphs of a weights file under ``cache``, by name; make them if they are missing or damaged.

    They are ``mouth`` and, of weights that articulate, ``speech``. The value ranges come from rendered faces and
    synthetic speech, which suit every network.

    Raises:
        WeightsError: If the file is invalid.
    """
    folder = cache / f"int8-{_FORMAT}-{file_sha256(weights)[:16]}"
    file = read_file(weights)
    names = (_SPEECH, _MOUTH) if file.metadata.articulates else (_MOUTH,)
    files = tuple(f"{name}{kind}" for name in names for kind in (".bin", ".xml"))
    graphs = {name: folder / f"{name}.xml" for name in names}
    if is_whole(folder, _SEAL, files):
        return graphs
    if folder.exists():
        logger.warning("the network of eight bits in %s is damaged, and is made again", folder)
    logger.info("fitting the network to eight bits, once")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".int8-", dir=cache) as scratch:
        made = Path(scratch, folder.name)
        made.mkdir()
        _fit(NetworkGraphs(file), file.metadata, names, made)
        seal(made, _SEAL, files)
        sync_folder(made)
        try:
            if folder.exists():
                folder.replace(Path(scratch, "damaged"))  # another process never sees half a folder
            made.replace(folder)
        except OSError:
            if not is_whole(folder, _SEAL, files):  # if it is, another process has made it meanwhile
                raise
    return graphs


def _fit(graphs: NetworkGraphs, metadata: WeightsMetadata, names: tuple[str, ...], folder: Path) -> None:
    """Write the 8-bit graphs into a folder."""
    core, size = ov.Core(), metadata.size
    with np.load(CALIBRATION) as known:
        mel = known["mel"].astype(np.float32)
        crops = np.stack([cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA) for crop in known["crops"]])
    levels = core.compile_model(graphs.face(), "CPU", _EXACT)([crops])
    faces = [crops, *(levels[level] for level in range(len(levels)))]
    windows = [[mel[at : at + 1]] for at in range(len(mel))]
    if metadata.articulates:
        mel = core.compile_model(graphs.speech(), "CPU", _EXACT)([mel])[0]  # the mouth is drawn of codes
    mouths = [[mel[at : at + 1], *(part[at % len(crops)][None] for part in faces)] for at in range(len(mel))]
    for name in names:
        model = graphs.speech() if name == _SPEECH else graphs.mouth()
        quantize(model, windows if name == _SPEECH else mouths, core)
        ov.save_model(model, folder / f"{name}.xml", compress_to_fp16=False)


class OpenVinoPredictor:
    """``MouthPredictor`` on the CPU.

    Attributes:
        device: ``cpu``.
        feature_windows: Window of each level of the face encoder that it reads.

    Args:
        weights: The weights file.
        cache: Folder for the 8-bit graphs, made when they are first needed.
        window_offset_samples: Replaces the window offset of the file, samples at 16 kHz; ``None`` keeps it.
        threads: Cores that one call may use; ``None`` for all.
        pads: Replace the pads of weights with a detector's crop; ``None`` keeps them.
        precision: ``int8``, ``bf16``, ``f32``, or ``None`` for the shortest floats that the processor has instructions
            for. With ``int8`` the wide convolutions of speech and mouth use 8 bits, the rest those floats.
        quick_start: Whether :meth:`complete` is left to the caller. Until it ends, the last bits of a mouth depend on
            its progress. By default the predictor is whole when it is returned.

    Raises:
        WeightsError: If the file is invalid.
        SettingsError: If pads are given to weights with Lipstream's own crop.
    """

    device = "cpu"

    def __init__(
        self,
        weights: Path,
        cache: Path,
        *,
        window_offset_samples: int | None = None,
        threads: int | None = None,
        precision: str | None = None,
        pads: Pads | None = None,
        quick_start: bool = False,
    ) -> None:
        file = read_file(weights, window_offset_samples=window_offset_samples)
        graphs, core = NetworkGraphs(file), ov.Core()
        eight_bits = quantized(weights, cache) if precision == "int8" else {}
        if precision in (None, "int8"):
            precision = "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
        options: dict[str, object] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = threads
        self._metadata = file.metadata.with_pads(pads)
        self.feature_windows = graphs.feature_windows
        self._core, self._options = core, options
        self._face_model = graphs.face()
        self._mouth_model = core.read_model(eight_bits[_MOUTH]) if eight_bits else graphs.mouth()
        mouth = BatchedGraph(core, self._mouth_model, options, _served(self._metadata))
        self._mouths = {_served(self._metadata): mouth}  # by output
        self._speech: BatchedGraph | None = None
        if self._metadata.articulates:
            speech = core.read_model(eight_bits[_SPEECH]) if eight_bits else graphs.speech()
            self._speech = BatchedGraph(core, speech, options)
        if not quick_start:
            self.complete()

    @property
    def metadata(self) -> WeightsMetadata:
        """The metadata of the loaded weights."""
        return self._metadata

    def complete(self) -> None:
        """Compile the graphs for larger batches; another thread may draw meanwhile."""
        mouth = self._mouths[_served(self._metadata)]
        _add_sizes(*([mouth, self._speech] if self._speech else [mouth]))

    def encode_faces(self, crops: npt.NDArray[np.uint8]) -> FaceFeatures:
        """Encode ``uint8[N, size, size, 3]`` crops, eight at a time."""
        parts: list[list[npt.NDArray[np.float16]]] = [[] for _ in self._face.outputs]
        for start in range(0, len(crops), 8):
            result = self._face([crops[start : start + 8]])
            for level, part in enumerate(parts):
                part.append(result[level].copy())
        return FaceFeatures(tuple(np.concatenate(part) for part in parts), crops)

    def predict(
        self, mel: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Predict ``uint8[B, h, w, 3]`` mouths for ``mel[B, 80, 16]`` in the clip's ``frames``."""
        return self._draw(_PIXELS, self.encode_speech(mel) if self._speech else mel, features, frames)

    def predict_fields(
        self, mel: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Predict ``uint8[B, h, w, 8 or 20]`` fields of a copying head, as :meth:`predict` predicts pixels."""
        return self.draw_fields(self.encode_speech(mel) if self._speech else mel, features, frames)

    def encode_speech(self, mel: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Encode mel windows ``float32[B, 80, 16]`` as codes ``float32[B, C]``; for weights that articulate."""
        assert self._speech
        return np.concatenate([self._speech([mel[batch]]) for batch in self._speech.batches(len(mel))])

    def draw_mouths(
        self, codes: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Draw ``uint8[B, h, w, 3]`` mouths of ``codes[B, C]`` in the clip's ``frames``; as above."""
        assert self._speech
        return self._draw(_PIXELS, codes, features, frames)

    def draw_fields(
        self, codes: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Draw ``uint8[B, h, w, 8 or 20]`` fields of a copying head, as :meth:`draw_mouths` draws pixels."""
        return self._draw(_FIELDS, codes, features, frames).view(np.uint8)

    @cached_property
    def _face(self) -> Any:
        """The graph of the face. Only what prepares an avatar needs it."""
        return self._core.compile_model(self._face_model, "CPU", self._options)

    def _mouth(self, output: int) -> BatchedGraph:
        """Return the mouth's graph with one of its outputs; the first call for the one that is not served compiles."""
        if output not in self._mouths:
            graph = BatchedGraph(self._core, self._mouth_model, self._options, output)
            _add_sizes(graph)
            self._mouths[output] = graph
        return self._mouths[output]

    def _draw(
        self, output: int, heard: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[Any]:
        mouth = self._mouth(output)
        drawn = []
        for batch in mouth.batches(len(frames)):
            part = frames[batch]
            drawn.append(mouth([heard[batch], features.crops[part], *(level[part] for level in features.levels)]))
        return np.concatenate(drawn)


def _served(metadata: WeightsMetadata) -> int:
    """Return the output of the mouth's graph that a server draws."""
    return _FIELDS if metadata.head == "copy" else _PIXELS


def _add_sizes(*graphs: BatchedGraph) -> None:
    """Compile graphs for the larger batches."""
    for size in SIZES[1:]:
        for graph in graphs:
            graph.add(size)
