"""The CPU back end: OpenVINO, with graphs that are converted once per weights file and cached with their binaries.

Only the conversion imports torch: a server with converted graphs starts without it.
"""

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
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

_FORMAT = "13"  # raise with any change of graphs, quantize, network, metadata or CALIBRATION
_SPEECH, _INT8 = "speech", "-int8"
_PIXELS, _FIELDS = 0, 1
"""Outputs of a mouth graph; the second only of a copying head."""
_GRAPHS = ("face.bin", "face.xml", "metadata.json", "mouth.bin", "mouth.xml", "speech.bin", "speech.xml")
_SEAL, _INT8_SEAL = "graphs.sums.json", "int8.sums.json"
CALIBRATION = Path(__file__).parent / "weights" / "calibration.npz"
"""``mel: float16[N, 80, 16]``, windows of speech, and ``crops: uint8[M, 96, 96, 3]``, BGR faces."""
BATCHES = (8, 4, 2, 1)
"""Batch sizes that the graphs of speech and mouth are compiled for. With a fixed size, a call for one mouth takes a
quarter less time. A batch of another size is split into two or three of these, which takes no longer than a batch of
that size."""


def graph_folder(weights: Path, cache: Path, window_offset_samples: int | None) -> Path:
    """Return the folder for the graphs of a weights file under ``cache``."""
    offset = "" if window_offset_samples is None else f"-at{window_offset_samples}"
    return cache / f"openvino{_FORMAT}-{file_sha256(weights)[:16]}{offset}"


def convert(weights: Path, cache: Path, window_offset_samples: int | None = None) -> Path:
    """Return the folder with the graphs of a weights file; convert them if they are missing or damaged.

    The mouth graph of a copying head has two outputs: pixels, then fields.
    Where the weights articulate, the mouth graph takes codes, and another graph gives them; else it takes mel windows.

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
    from lipstream.realtime.lipsync.graphs import FaceGraph, FieldGraph, MouthGraph, SpeechGraph  # noqa: PLC0415
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
            speech = SpeechGraph(folded)
            region, of_codes = metadata.decoded_region, metadata.articulates
            mouth: torch.nn.Module = MouthGraph(folded, region, of_codes=of_codes)
            if metadata.head == "copy":
                mouth = FieldGraph(folded, region, of_codes=of_codes, pixels=True)
            heard = speech(mel) if metadata.articulates else mel
            for name, graph, example in (
                ("face", face, (crops,)),
                (_SPEECH, speech, (mel,)),
                ("mouth", mouth, (heard, crops, *levels)),
            ):
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

    The 8-bit graph of speech is made with it. The value ranges come from rendered faces and synthetic speech, which
    suit every network.
    """
    graphs = (_SPEECH, "mouth") if (folder / f"{_SPEECH}.xml").exists() else ("mouth",)
    path = folder / f"mouth{_INT8}.xml"
    names = tuple(f"{graph}{_INT8}{kind}" for graph in graphs for kind in (".bin", ".xml"))
    if is_whole(folder, _INT8_SEAL, names):
        return path
    from lipstream.realtime.lipsync.quantize import quantize  # noqa: PLC0415 (only a conversion needs it)

    logger.info("fitting the network to eight bits, once")
    core = ov.Core()
    metadata = WeightsMetadata.from_json((folder / "metadata.json").read_text())
    size = metadata.size
    with np.load(CALIBRATION) as known:
        mel = known["mel"].astype(np.float32)
        crops = np.stack([cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA) for crop in known["crops"]])
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    levels = core.compile_model(folder / "face.xml", "CPU", exact)([crops])
    faces = [crops, *(levels[level] for level in range(len(levels)))]
    windows = [[mel[at : at + 1]] for at in range(len(mel))]
    if metadata.articulates:
        mel = core.compile_model(folder / f"{_SPEECH}.xml", "CPU", exact)([mel])[0]  # the mouth is drawn of codes
    mouths = [[mel[at : at + 1], *(part[at % len(crops)][None] for part in faces)] for at in range(len(mel))]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        for graph in graphs:
            model = core.read_model(folder / f"{graph}.xml")
            quantize(model, windows if graph == _SPEECH else mouths, core)
            ov.save_model(model, Path(scratch, f"{graph}{_INT8}.xml"), compress_to_fp16=False)
        seal(Path(scratch), _INT8_SEAL, names)
        sync_folder(Path(scratch))
        (folder / _INT8_SEAL).unlink(missing_ok=True)  # of files that are about to be replaced
        for name in (*names, _INT8_SEAL):  # mouth.xml last of the graphs: without a seal, it says that all are there
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
            for. With ``int8`` the wide convolutions of speech and mouth use 8 bits, the rest those floats.
    """

    device = "cpu"

    def __init__(
        self, folder: Path, *, threads: int | None = None, precision: str | None = None, pads: Pads | None = None
    ) -> None:
        os.environ.setdefault("OPENVINO_TELEMETRY_OPT_OUT", "1")
        core = ov.Core()
        mouth_path = quantized(folder) if precision == "int8" else folder / "mouth.xml"
        speech_path = folder / mouth_path.name.replace("mouth", _SPEECH)
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
        self._mouths: dict[int, dict[int, Any]] = {}  # by output, then by size of the batch
        self._mouth(_FIELDS if self._metadata.head == "copy" else _PIXELS)  # what a server draws
        self._speech = _compiled(core, speech_path, options) if self._metadata.articulates else None

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
        return self._draw(_PIXELS, self.encode_speech(mel) if self._speech else mel, features, frames)

    def predict_fields(
        self, mel: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Predict ``uint8[B, h, w, 8]`` fields of a copying head, as :meth:`predict` predicts pixels."""
        return self.draw_fields(self.encode_speech(mel) if self._speech else mel, features, frames)

    def encode_speech(self, mel: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Encode mel windows ``float32[B, 80, 16]`` as codes ``float32[B, C]``; for weights that articulate."""
        assert self._speech is not None
        parts = [mel[batch] for batch in _batches(len(mel))]
        return np.concatenate([self._speech[len(part)]([part], share_inputs=True)[0] for part in parts])

    def draw_mouths(
        self, codes: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Draw ``uint8[B, h, w, 3]`` mouths of ``codes[B, C]`` in the clip's ``frames``; as above."""
        assert self._speech is not None
        return self._draw(_PIXELS, codes, features, frames)

    def draw_fields(
        self, codes: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Draw ``uint8[B, h, w, 8]`` fields of a copying head, as :meth:`draw_mouths` draws pixels."""
        return self._draw(_FIELDS, codes, features, frames).view(np.uint8)

    def _mouth(self, output: int) -> dict[int, Any]:
        """Return the mouth graph with one of its outputs, compiled for each size of batch by the first call."""
        if output not in self._mouths:
            self._mouths[output] = _compiled(self._core, self._mouth_path, self._options, output)
        return self._mouths[output]

    def _draw(
        self, output: int, heard: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[Any]:
        mouth = self._mouth(output)
        drawn = []
        for batch in _batches(len(frames)):
            part = frames[batch]
            inputs = [heard[batch], features.crops[part], *(level[part] for level in features.levels)]
            drawn.append(mouth[len(part)](inputs, share_inputs=True)[0])
        return np.concatenate(drawn)


def _batches(count: int) -> Iterator[slice]:
    """Yield slices of the sizes in :data:`BATCHES` that cover ``count`` items."""
    start = 0
    for size in BATCHES:
        while count - start >= size:
            yield slice(start, start + size)
            start += size


def _compiled(core: ov.Core, path: Path, options: dict[str, object], output: int = 0) -> dict[int, Any]:
    """Return a graph with one of its outputs, compiled for each size of batch."""
    model = core.read_model(path)
    for at, result in enumerate(model.get_results()):
        if at != output:
            model.remove_result(result)
    compiled = {}
    for size in BATCHES:
        model.reshape({at: [size, *_known(model.input(at))] for at in range(len(model.inputs))})
        compiled[size] = core.compile_model(model, "CPU", options)
    return compiled


def _known(port: Any) -> list[int]:
    """Return the dimensions of an input without the first one, the batch."""
    return [size.get_length() for size in list(port.partial_shape)[1:]]
