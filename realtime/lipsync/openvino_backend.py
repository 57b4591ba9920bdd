"""The CPU back end: OpenVINO, with graphs that are converted once per weights file and cached with their binaries.

Only the conversion imports torch: a server with converted graphs starts without it.
"""

import contextlib
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import openvino as ov

from lipstream.realtime.lipsync.metadata import Pads, WeightsMetadata, file_sha256
from lipstream.realtime.lipsync.predictor import FaceFeatures
from lipstream.realtime.lipsync.sealed_folder import is_whole, seal, sync_folder

logger = logging.getLogger(__name__)

_FORMAT = "11"  # raise with any change of graphs, quantize, network, metadata or CALIBRATION
_GRAPHS = ("face.bin", "face.xml", "metadata.json", "mouth.bin", "mouth.xml")
_SEAL, _INT8_SEAL = "graphs.sums.json", "int8.sums.json"
_PIXELS, _FIELDS = 0, 1
"""Outputs of a mouth graph."""
CALIBRATION = Path(__file__).parent / "weights" / "calibration.npz"
"""``mel: float16[N, 80, 16]``, windows of speech, and ``crops: uint8[M, 96, 96, 3]``, BGR faces."""
BATCHES = (8, 4, 2, 1)
"""Batch sizes that the mouth graph is compiled for. With a fixed size, a call for one mouth takes a quarter less time.
A batch of another size is split into two or three of these, which takes no longer than a batch of that size."""


def graph_folder(weights: Path, cache: Path, window_offset_samples: int | None) -> Path:
    """Return the folder for the graphs of a weights file under ``cache``."""
    offset = "" if window_offset_samples is None else f"-at{window_offset_samples}"
    return cache / f"openvino{_FORMAT}-{file_sha256(weights)[:16]}{offset}"


def convert(weights: Path, cache: Path, window_offset_samples: int | None = None) -> Path:
    """Return the folder with the graphs of a weights file; convert them if they are missing or damaged.

    The mouth graph of a copying head has two outputs: pixels, then fields.

    Raises:
        WeightsError: If the file is invalid.
    """
    folder = graph_folder(weights, cache, window_offset_samples)
    if is_whole(folder, _SEAL, _GRAPHS):
        return folder
    if folder.exists():
        logger.warning("the converted network in %s is damaged, and is made again", folder)
        discard(weights, cache, window_offset_samples)
    import torch  # noqa: PLC0415 (only a conversion needs it)

    from lipstream.realtime.lipsync.folding import fold  # noqa: PLC0415
    from lipstream.realtime.lipsync.graphs import FaceGraph, FieldGraph, MouthGraph  # noqa: PLC0415
    from lipstream.realtime.lipsync.weights import load_weights  # noqa: PLC0415

    network, metadata = load_weights(weights, window_offset_samples=window_offset_samples)
    logger.info("converting %s for OpenVINO, once", weights.name)
    cache.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".convert-", dir=cache))
    try:
        crops = torch.zeros(2, metadata.size, metadata.size, 3, dtype=torch.uint8)
        mel = torch.full((2, 80, 16), -4.0)
        with torch.no_grad():
            folded = fold(network)
            face = FaceGraph(folded)
            levels = face(crops)
            region = metadata.decoded_region
            copies = metadata.head == "copy"
            mouth = FieldGraph(folded, region, pixels=True) if copies else MouthGraph(folded, region)
            for name, graph, example in (("face", face, (crops,)), ("mouth", mouth, (mel, crops, *levels))):
                model = ov.convert_model(graph, example_input=example)
                model.reshape({i: [-1, *x.shape[1:]] for i, x in enumerate(example)})
                ov.save_model(model, scratch / f"{name}.xml", compress_to_fp16=False)
        (scratch / "metadata.json").write_text(metadata.to_json())
        seal(scratch, _SEAL, _GRAPHS)
        sync_folder(scratch)
        scratch.replace(folder)
    except OSError:
        if not is_whole(folder, _SEAL, _GRAPHS):  # if it exists, another process has converted the file meanwhile
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def discard(weights: Path, cache: Path, window_offset_samples: int | None = None) -> None:
    """Remove the converted graphs of a weights file, so that the next call of :func:`convert` makes them again."""
    folder = graph_folder(weights, cache, window_offset_samples)
    away = Path(tempfile.mkdtemp(prefix=".damaged-", dir=cache))  # another process never sees half a folder
    with contextlib.suppress(FileNotFoundError):
        folder.replace(away / folder.name)
    shutil.rmtree(away, ignore_errors=True)


def quantized(folder: Path) -> Path:
    """Return the 8-bit mouth graph in a folder from :func:`convert`; make it if it is missing or damaged.

    The value ranges come from rendered faces and synthetic speech, which suit every network.
    """
    path = folder / "mouth-int8.xml"
    names = (path.with_suffix(".bin").name, path.name)
    if is_whole(folder, _INT8_SEAL, names):
        return path
    from lipstream.realtime.lipsync.quantize import quantize  # noqa: PLC0415 (only a conversion needs it)

    logger.info("fitting the network to eight bits, once")
    core = ov.Core()
    size = WeightsMetadata.from_json((folder / "metadata.json").read_text()).size
    with np.load(CALIBRATION) as known:
        mel = known["mel"].astype(np.float32)
        crops = np.stack([cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA) for crop in known["crops"]])
    levels = core.compile_model(folder / "face.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([crops])
    faces = [crops, *(levels[level] for level in range(len(levels)))]
    samples = ([mel[at : at + 1], *(part[at % len(crops)][None] for part in faces)] for at in range(len(mel)))
    model = core.read_model(folder / "mouth.xml")
    quantize(model, samples, core)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        ov.save_model(model, Path(scratch, path.name), compress_to_fp16=False)
        seal(Path(scratch), _INT8_SEAL, names)
        sync_folder(Path(scratch))
        (folder / _INT8_SEAL).unlink(missing_ok=True)  # of files that are about to be replaced
        for name in (
            *names,
            _INT8_SEAL,
        ):  # the .xml after the .bin: without a seal, its presence means that both are there
            Path(scratch, name).replace(folder / name)
    return path


class OpenVinoPredictor:
    """``MouthPredictor`` on the CPU.

    Attributes:
        device: ``cpu``.

    Args:
        threads: Cores that one call may use; ``None`` for all.
        pads: Replace the pads of weights with a detector's crop; ``None`` keeps them.
        precision: ``int8``, ``bf16``, ``f32``, or ``None`` for the shortest floats that the processor has instructions
            for. With ``int8`` the wide convolutions of the mouth graph use 8 bits, the rest those floats.
    """

    device = "cpu"

    def __init__(
        self, folder: Path, *, threads: int | None = None, precision: str | None = None, pads: Pads | None = None
    ) -> None:
        os.environ.setdefault("OPENVINO_TELEMETRY_OPT_OUT", "1")
        core = ov.Core()
        mouth_path = quantized(folder) if precision == "int8" else folder / "mouth.xml"
        if precision in (None, "int8"):
            precision = "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
        options: dict[str, object] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": precision,
            "CACHE_DIR": str(folder / "compiled"),
        }
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = threads
        self._metadata = WeightsMetadata.from_json((folder / "metadata.json").read_text()).with_pads(pads)
        self._face = core.compile_model(folder / "face.xml", "CPU", options)
        self._core, self._options, self._mouth_path = core, options, mouth_path
        self._compiled: dict[int, dict[int, Any]] = {}  # by output, then by size of the batch
        self._mouths(_FIELDS if self._metadata.head == "copy" else _PIXELS)  # what a server draws

    @property
    def metadata(self) -> WeightsMetadata:
        """The metadata of the loaded weights."""
        return self._metadata

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
        return self._draw(_PIXELS, mel, features, frames)

    def predict_fields(
        self, mel: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Predict ``uint8[B, h, w, 8]`` fields of a copying head, as :meth:`predict` predicts pixels."""
        return self._draw(_FIELDS, mel, features, frames).view(np.uint8)

    def _mouths(self, output: int) -> dict[int, Any]:
        """Return the mouth graph with one of its outputs, compiled for each size of batch by the first call."""
        if output not in self._compiled:
            model = self._core.read_model(self._mouth_path)
            for at, result in enumerate(model.get_results()):
                if at != output:
                    model.remove_result(result)
            self._compiled[output] = {}
            for size in BATCHES:
                model.reshape({at: [size, *_known(model.input(at))] for at in range(len(model.inputs))})
                self._compiled[output][size] = self._core.compile_model(model, "CPU", self._options)
        return self._compiled[output]

    def _draw(
        self, output: int, mel: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[Any]:
        mouths = self._mouths(output)
        drawn = []
        start = 0
        for size in BATCHES:
            while len(frames) - start >= size:
                part = frames[start : start + size]
                inputs = [mel[start : start + size], features.crops[part], *(level[part] for level in features.levels)]
                drawn.append(mouths[size](inputs, share_inputs=True)[0])
                start += size
        return np.concatenate(drawn)


def _known(port: Any) -> list[int]:
    """Return the dimensions of an input without the first one, the batch."""
    return [size.get_length() for size in list(port.partial_shape)[1:]]
