"""Measures of pictures and curves: pure arithmetic."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from training.heads import Floats

Images = NDArray[np.uint8]

MOUTH_BOX = (slice(50, 90), slice(20, 76))
"""Rows and columns of the crop for the measures: lips, chin and the skin beside them."""


def crop_mouth(images: Images) -> Floats:
    """Return the mouths of pictures ``uint8[T, 96, 96, 3]``, ``float32[T, 40, 56, 3]``."""
    cropped: Floats = images[:, MOUTH_BOX[0], MOUTH_BOX[1]].astype(np.float32)
    return cropped


def mouth_error(a: Images, b: Images) -> float:
    """Return the mean absolute difference over the mouth, out of 255."""
    return float(np.abs(crop_mouth(a) - crop_mouth(b)).mean())


def peak_ratio_db(a: Images, b: Images) -> float:
    """Return the peak signal-to-noise ratio over the mouth, mean over pictures, dB."""
    square = ((crop_mouth(a) - crop_mouth(b)) ** 2).mean(axis=(1, 2, 3))
    return float((10 * np.log10(255**2 / np.maximum(square, 1e-3))).mean())


def similarity(a: Images, b: Images) -> float:
    """Return the structural similarity over the mouth, grey, mean over pictures.

    Wang et al., "Image quality assessment", IEEE TIP 2004: Gaussian windows of 1.5 pixels.
    """

    def smooth(values: Floats) -> Floats:
        blurred: Floats = cv2.GaussianBlur(values, (11, 11), 1.5).astype(np.float32)
        return blurred

    scores = []
    for x, y in zip(crop_mouth(a).mean(axis=3), crop_mouth(b).mean(axis=3), strict=True):
        mean_x, mean_y = smooth(x), smooth(y)
        squares = mean_x**2 + mean_y**2
        covariance, variances = smooth(x * y) - mean_x * mean_y, smooth(x * x + y * y) - squares
        score = (2 * mean_x * mean_y + 6.5025) * (2 * covariance + 58.5225)
        scores.append(float((score / ((squares + 6.5025) * (variances + 58.5225))).mean()))
    return float(np.mean(scores))


def sharpness(images: Images) -> float:
    """Return the mean variance of the Laplacian over the mouth."""
    grey = crop_mouth(images).mean(axis=3)
    bend = grey[:, 1:-1, 2:] + grey[:, 1:-1, :-2] + grey[:, 2:, 1:-1] + grey[:, :-2, 1:-1] - 4 * grey[:, 1:-1, 1:-1]
    return float(bend.var(axis=(1, 2)).mean())


def change(images: Images) -> Floats:
    """Return the mean absolute change of each picture's mouth from the one before, ``float32[T - 1]``."""
    moved: Floats = np.abs(np.diff(crop_mouth(images), axis=0)).mean(axis=(1, 2, 3))
    return moved


def correlation(a: Floats, b: Floats, lag: int = 0) -> float:
    """Return Pearson's r of ``a[n + lag]`` with ``b[n]``."""
    if lag > 0:
        a, b = a[lag:], b[:-lag]
    elif lag < 0:
        a, b = a[:lag], b[-lag:]
    return float(np.corrcoef(a, b)[0, 1])


def best_lag(a: Floats, b: Floats, most: int = 3) -> float:
    """Return the lag of the highest correlation, by a parabola through the three values around it."""
    scores = [correlation(a, b, lag) for lag in range(-most, most + 1)]
    at = int(np.clip(np.argmax(scores), 1, 2 * most - 1))
    before, peak, after = scores[at - 1 : at + 2]
    bend = before - 2 * peak + after
    return at - most + (float(np.clip(0.5 * (before - after) / bend, -1, 1)) if bend < 0 else 0.0)
