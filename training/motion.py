"""Idle motion for a face at rest: breath, sway, blinks and glances, all periodic, so that clips loop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.appearance import HeadPose

Floats = NDArray[np.float32]
_BLINK_S = 0.30


def periodic(frames: int, rng: np.random.Generator, cycles: tuple[int, ...]) -> NDArray[np.float64]:
    """Return a smooth periodic curve of about unit size.

    Args:
        frames: Length of the period, frames.
        rng: Source of phases and weights.
        cycles: Numbers of whole cycles in the period.
    """
    turn = 2 * np.pi * np.arange(frames) / frames
    parts = [rng.uniform(0.5, 1.0) / n**0.5 * np.sin(n * turn + rng.uniform(0, 2 * np.pi)) for n in cycles]
    curve = np.sum(parts, axis=0)
    return np.asarray(curve / np.abs(curve).max())


def blinks(frames: int, rate_hz: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how far the lids are shut, 0..1: a blink about every three seconds, none across the seam."""
    closed = np.zeros(frames)
    at = rng.uniform(0.8, 1.6)
    while at < frames / rate_hz - 0.6:
        age = np.arange(frames) / rate_hz - at
        # Lids fall faster than they rise.
        fall, rise = np.clip(age / 0.09, 0, 1), np.clip((_BLINK_S - age) / 0.19, 0, 1)
        closed = np.maximum(closed, np.minimum(fall, rise) * (age > 0))
        at += rng.uniform(2.2, 4.2)
    return closed * closed * (3 - 2 * closed)


def idle_clip(frames: int, rate_hz: float, rng: np.random.Generator) -> tuple[list[HeadPose], list[dict[str, float]]]:
    """Return pose and facial actions of each frame of a seamless loop.

    Args:
        frames: Length of the loop, frames.
        rate_hz: Frames a second.
        rng: Source of all random choices.
    """
    yaw, pitch, roll = (periodic(frames, rng, (1, 2, 3)) for _ in range(3))
    breath = periodic(frames, rng, (2,)) if frames / rate_hz < 9 else periodic(frames, rng, (3,))
    sway, brow = periodic(frames, rng, (1, 2)), periodic(frames, rng, (1, 2, 3))
    look_side, look_up = periodic(frames, rng, (1, 3, 4)), periodic(frames, rng, (2, 3))
    shut = blinks(frames, rate_hz, rng)
    poses, actions = [], []
    for i in range(frames):
        head = (2.6 * yaw[i], 1.3 * pitch[i] + 0.25 * breath[i], 1.2 * roll[i])
        neck = (0.7 * yaw[i - 4], 0.4 * breath[i], 0.5 * sway[i])
        poses.append(HeadPose(head=head, neck=neck, shift=(0.0012 * sway[i], 0.0, 0.0011 * breath[i])))
        # The eyes keep looking at the camera while the head moves, and wander a little.
        side = -0.055 * 2.6 * yaw[i] * 0.5 + 0.03 * look_side[i]
        up = -0.025 * 1.3 * pitch[i] + 0.03 * look_up[i]
        lids = shut[i]
        actions.append(
            {
                "eyeBlink": lids,
                "browInnerUp": 0.05 + 0.05 * brow[i] - 0.05 * shut[i],
                "browOuterUp": max(0.06 + 0.06 * brow[i], 0.0),
                "eyeLookInLeft": max(-side, 0.0),
                "eyeLookOutRight": max(-side, 0.0),
                "eyeLookOutLeft": max(side, 0.0),
                "eyeLookInRight": max(side, 0.0),
                "eyeLookUp": max(up, 0.0),
                "eyeLookDown": max(-up, 0.0),
                "noseSneer": 0.02 + 0.02 * breath[i],
            }
        )
    return poses, actions
