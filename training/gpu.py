"""A fit on a machine with a graphics card, no network, and little time: each part is one call of some minutes.

A part renders scenes that no part before has drawn, goes on from the weights that the part before has brought back,
measures, and leaves small files. Speech needs synthesisers, which such a machine lacks, and the heads need anny: both
are packed beforehand.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lipstream.realtime.errors import SettingsError
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS
from training.dataset import build_faces
from training.evaluate import evaluate
from training.export import export
from training.fit import fit
from training.speech import shards_of

LARGEST_FILE = 16 * 2**20
"""Size that no file that comes back may exceed, bytes."""
LARGEST_PACK = 24 * 2**20
"""Size of what is packed, bytes; the checkout's own files are some 30 MB."""
_NEEDED = ("heads.npz", "held-speech-0000.npz")
_RENDERING, _MEASURING, _LEAST_FITTING = 0.35, 0.2, 0.1
"""Shares of a part's time: until rendering ends, for export and measures, and for fitting however long that takes."""
_SCENES = 40


@dataclass(frozen=True)
class Part:
    """One call.

    Attributes:
        number: Which part, from 1; it decides which scenes are drawn.
        minutes: Length of the whole call.
        workers: Processes that render.
        batch_size: Mouths a step, a multiple of 3.
        clips: Held-out sentences that are measured.
        scenes: Scenes a shard.
    """

    number: int
    minutes: float
    workers: int
    batch_size: int = 144
    clips: int = 2
    scenes: int = _SCENES


def pack(folder: Path, out: Path, *, most_bytes: int = LARGEST_PACK) -> list[Path]:
    """Copy what a run needs of a dataset, and as much of its speech as there is room for.

    Args:
        folder: Dataset with heads and speech.
        out: Folder to write.
        most_bytes: Size of all files together.

    Returns:
        The files written.

    Raises:
        FileNotFoundError: If the dataset lacks something.
        SettingsError: If not even one shard of speech has room.
    """
    out.mkdir(parents=True, exist_ok=True)
    files = [folder / name for name in _NEEDED]
    room = most_bytes - sum(path.stat().st_size for path in files)
    for shard in shards_of(folder, "speech"):
        room -= shard.stat().st_size
        if room < 0:
            break
        files.append(shard)
    if len(files) == len(_NEEDED):
        raise SettingsError(f"heads and one shard of speech exceed {most_bytes / 2**20:.0f} MiB: make fewer heads")
    return [Path(shutil.copy2(path, out / path.name)) for path in files]


def run_part(data: Path, out: Path, part: Part, *, weights: Path = BUILT_IN_WEIGHTS, progress: Any = print) -> None:
    """Render, fit, export and measure.

    ``out`` then holds ``part-<number>.safetensors``, with which the next part begins, and ``part-<number>.txt``, the
    table.

    Args:
        data: What `pack` has written; scenes and checkpoint are added.
        out: Folder for what comes back.
        part: The call.
        weights: Weights to go on from.
        progress: Called with a line of text now and then.

    Raises:
        WeightsError: If the weights are invalid.
        SettingsError: If a file that comes back is too large.
    """
    begin = time.monotonic()

    def spent() -> float:
        return (time.monotonic() - begin) / 60 / part.minutes

    shards = 0
    while not shards or spent() * (1 + part.workers / shards) < _RENDERING:  # there is time for as many again
        shards += part.workers
        build_faces(
            data,
            shards=shards,
            scenes=part.scenes,
            seed=1_000 + part.number,
            workers=part.workers,
            progress=progress,
        )
    progress(f"{shards * part.scenes} scenes after {spent():.0%} of the time")
    checkpoint = data / f"part-{part.number}.pt"
    fit(
        data,
        checkpoint,
        minutes=max(1 - _MEASURING - spent(), _LEAST_FITTING) * part.minutes,
        weights=weights,
        batch_size=part.batch_size,
        seed=part.number,
        progress=progress,
    )
    out.mkdir(parents=True, exist_ok=True)
    made = out / f"part-{part.number}.safetensors"
    export(weights, checkpoint, made)
    progress(f"fitted after {spent():.0%} of the time")
    figures = evaluate(made, data, None, clips=part.clips)
    table = out / f"part-{part.number}.txt"
    table.write_text("".join(f"{name:48} {value:8.3f}\n" for name, value in figures.items()))
    progress(f"done after {spent():.0%} of the time")
    for path in (made, table):
        if path.stat().st_size > LARGEST_FILE:
            raise SettingsError(f"{path.name} has {path.stat().st_size / 2**20:.1f} MiB: too much to come back")
