"""What do shorter numbers change in the mouths, and what do they save?

The built-in network predicts a sentence for every built-in avatar with each precision of the CPU; float32 is the
reference. Differences are in steps of 8-bit pixels, over the decoded region. *Flicker* is the mean change from one
picture of the clip to the next, relative to float32's: lower precision must not raise it.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.report import Report, at_least, at_most
from benchmarks.signals import speech
from lipstream.avatar_cache.prepare import prepare
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.audio.mel import mel_spectrogram
from lipstream.realtime.audio.resample import Resampler
from lipstream.realtime.lipsync.alignment import mel_columns
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS
from lipstream.realtime.lipsync.openvino_backend import OpenVinoPredictor
from lipstream.realtime.lipsync.predictor import FaceFeatures
from lipstream.realtime.timeline import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, SOUND_RATE_HZ

QUESTION = "What do shorter numbers change in the mouths, and what do they save?"
LEAST_PSNR_DB, MOST_FLICKER = 45.0, 1.05
_PRECISIONS = {"fp32": "f32", "bf16": "bf16", "int8": "int8"}
_BATCH, _ROUNDS = 4, 40

Mouths = npt.NDArray[np.float32]


def run() -> Report:
    """Measure."""
    name, sound = speech()
    report = Report(QUESTION, {"speech": name, "weights": BUILT_IN_WEIGHTS.name, "ms a mouth": f"one core, {_BATCH}"})
    with tempfile.TemporaryDirectory() as folder:
        predictors = {
            key: OpenVinoPredictor(BUILT_IN_WEIGHTS, Path(folder), threads=1, precision=hint)
            for key, hint in _PRECISIONS.items()
        }
        windows = _windows(Resampler(SOUND_RATE_HZ, SAMPLE_RATE_HZ).push(sound), predictors["fp32"])
        store = AvatarStore(Path(folder))
        faces = [prepare(store.load(face.id), predictors["fp32"]).features for face in store.list()]
        drawn = {key: _draw(predictor, windows, faces) for key, predictor in predictors.items()}
        took_ms = {key: _ms(predictor, windows, faces[0]) for key, predictor in predictors.items()}
    truth = drawn["fp32"]
    for key, mouths in drawn.items():
        error = np.abs(np.concatenate(mouths) - np.concatenate(truth))
        report.rows.append(
            {
                "precision": key,
                "PSNR dB": None if key == "fp32" else round(float(10 * np.log10(255**2 / np.square(error).mean())), 1),
                "mean": round(float(error.mean()), 3),
                "p99.9": float(np.percentile(error, 99.9)),
                "flicker": round(_flicker(mouths) / _flicker(truth), 3),
                "ms a mouth": round(took_ms[key], 2),
            }
        )
    eight: dict[str, Any] = report.rows[-1]
    report.goals = [
        at_least("PSNR, int8", eight["PSNR dB"], LEAST_PSNR_DB, "dB"),
        at_most("flicker, int8", eight["flicker"], MOST_FLICKER, ""),
    ]
    return report


def _windows(samples: npt.NDArray[np.float32], predictor: OpenVinoPredictor) -> npt.NDArray[np.float32]:
    """Return the windows of all frames that lie within the speech, ``float32[B, 80, 16]``."""
    mel = mel_spectrogram(samples)
    offset = predictor.metadata.window_offset_samples
    spans = [mel_columns(frame, window_offset_samples=offset) for frame in range(samples.size // SAMPLES_PER_FRAME)]
    return np.stack([mel[:, span.start : span.stop] for span in spans if span.start >= 0 and span.stop <= mel.shape[1]])


def _draw(predictor: OpenVinoPredictor, windows: npt.NDArray[np.float32], faces: list[FaceFeatures]) -> list[Mouths]:
    """Return the mouths of all windows in each face."""
    return [
        predictor.predict(windows, face, np.arange(len(windows)) % len(face.crops)).astype(np.float32) for face in faces
    ]


def _ms(predictor: OpenVinoPredictor, windows: npt.NDArray[np.float32], face: FaceFeatures) -> float:
    took = []
    for _ in range(_ROUNDS):
        began_s = time.perf_counter()
        predictor.predict(windows[:_BATCH], face, np.arange(_BATCH))
        took.append((time.perf_counter() - began_s) * 1000 / _BATCH)
    return statistics.median(took)


def _flicker(mouths: list[Mouths]) -> float:
    return float(np.mean([np.abs(np.diff(each, axis=0)).mean() for each in mouths]))
