"""Input for the calibration of quantised networks: a few rendered faces and windows of synthetic speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.augmentation import Sound
from training.pairs import Pictures

WINDOWS, FACES = 48, 12


def write_calibration(data: Path, out: Path, *, seed: int) -> None:
    """Write the file described at `realtime.lipsync.openvino_backend.CALIBRATION`.

    Args:
        data: Folder with the speech and the faces.
        out: Output file, ``.npz``.
        seed: Seed of the random choice.
    """
    rng = np.random.default_rng(seed)
    sound, pictures = Sound(data, "speech"), Pictures(data, "faces")
    mel = sound.windows(rng.integers(len(sound.mouth), size=WINDOWS))
    scenes, shown = (rng.integers(count, size=FACES) for count in pictures.images.shape[:2])
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out, mel=mel.astype(np.float16), crops=pictures.images[scenes, shown])
