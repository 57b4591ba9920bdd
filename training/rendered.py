"""Rendered mouths as truth: what ``python -m benchmarks mouths`` compares painted pictures with."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.dataset import SceneMaker
from training.heads import HeadSet
from training.pairs import CROP, DECODED_REGION
from training.speech import read_mouths

SIDE_PX = 384
"""Side of the face boxes, px: about what a picture of 720p shows."""
_QUALITY = 93
_LEAST_INSIDE = 300
"""Pixels of an open mouth; a scene gives its two most open ones."""


def write_rendered(folder: Path, out: Path, *, scenes: int, seed: int) -> None:
    """Render heads that no fit has seen, and the built-in people, each at rest and with two open mouths.

    ``out`` holds ``references`` and ``targets``, JPEG files of the face box, 384 x 384, and of its decoded region,
    288 x 192, as ``uint8[n]`` one after the other with their ``reference_bytes`` and ``target_bytes``;
    ``mouths float32[2 N, 13]``; and ``inside uint8[2 N, n]``, a bit for each pixel of the region.
    """
    rng = np.random.default_rng(seed)
    heads, mouths = HeadSet.load(folder / "heads.npz"), read_mouths(folder, "held-speech")
    top, bottom, left, right = (edge * SIDE_PX // CROP for edge in DECODED_REGION)
    makers = [
        SceneMaker(heads, mouths, held_out=held_out, built_in_share=1.0, size=SIDE_PX, truth=True)
        for held_out in (False, True)
    ]
    references: list[NDArray[np.uint8]] = []
    targets: list[NDArray[np.uint8]] = []
    shown, inside = [], []
    while len(references) < scenes:
        maker = makers[len(references) % 4 != 0]  # every fourth scene is of a built-in person
        (scene,) = maker.scenes(1, rng)
        part = scene["inside"][:, top:bottom, left:right]
        open_first = np.argsort(-(part > 0).sum(axis=(1, 2)), kind="stable")[:2]
        if (part[open_first[1]] > 0).sum() < _LEAST_INSIDE:
            continue
        references.append(_coded(scene["images"][0]))
        for at in open_first:
            targets.append(_coded(scene["images"][at, top:bottom, left:right]))
            shown.append(scene["mouths"][at])
            inside.append(np.packbits(part[at] > 0))
    np.savez_compressed(
        out,
        references=np.concatenate(references),
        reference_bytes=[len(file) for file in references],
        targets=np.concatenate(targets),
        target_bytes=[len(file) for file in targets],
        mouths=np.stack(shown),
        inside=np.stack(inside),
    )


def _coded(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    flags = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    _, file = cv2.imencode(".jpg", picture, flags)
    return np.asarray(file, np.uint8).ravel()
