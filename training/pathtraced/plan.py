"""Writes what Blender needs to render training pictures of many people."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.dataset import random_laugh
from training.identities import local_labels, random_identity
from training.pathtraced.export import export_heads
from training.pathtraced.scenes import HELD_OUT, Plan
from training.pathtraced.shards import HEADS, PLAN
from training.speech import read_mouths
from training.visemes import MOUTH_ACTIONS

_SPREAD = 0.16
_LAUGHS = 500


def write_plan(folder: Path, *, people: int, mouths: int, seed: int) -> None:
    """Write ``traced-heads.npz`` and ``traced-plan.npz``.

    Args:
        folder: Dataset with speech.
        people: Number of people, of whom the last `HELD_OUT` are kept for evaluation.
        mouths: Number of mouths to choose from among those of the speech that are not at rest.
        seed: Seed of all random choices.
    """
    if people <= HELD_OUT:
        raise ValueError(f"{HELD_OUT} people are kept out: there must be more")
    rng = np.random.default_rng(seed)
    labels = local_labels()
    identities = [random_identity(f"t{number:03d}", labels, rng, spread=_SPREAD) for number in range(people)]
    spoken = read_mouths(folder, "speech")
    moving = np.flatnonzero(spoken.sum(axis=1) > 0.02)
    Plan(
        MOUTH_ACTIONS,
        spoken[rng.choice(moving, mouths)],
        np.stack([random_laugh(rng) for _ in range(_LAUGHS)]),
        np.array([identity.phenotype["gender"] < 0.5 for identity in identities]),
    ).save(folder / PLAN)
    export_heads(identities, folder / HEADS)
