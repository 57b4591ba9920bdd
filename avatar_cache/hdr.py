"""Converts high dynamic range to standard: HLG and PQ (ITU-R BT.2100) to gamma-coded BT.709 RGB."""

from typing import Literal

import numpy as np
import numpy.typing as npt

Transfer = Literal["hlg", "pq"]

_WHITE_NITS = 203.0
"""Diffuse white of both systems by BT.2408; it becomes the white of the standard picture."""
_PEAK_NITS = 1000.0
"""Peak of the display assumed for HLG, with its system gamma of 1.2 (BT.2100, table 5)."""
_KNEE = 0.7
"""Share of white up to which light is unchanged; above, it rolls off towards white."""
_DISPLAY_GAMMA = 2.4  # BT.1886
_STEPS = 4096

# BT.2020 primaries to BT.709's (BT.2087, annex 2).
_BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
_BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)


def hlg_to_scene(signal: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return scene light (0..1) of an HLG signal (0..1): BT.2100's inverse OETF."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    light: npt.NDArray[np.float32] = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return light.astype(np.float32)


def pq_to_nits(signal: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return display light in cd/m² of a PQ signal (0..1): SMPTE ST 2084."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = signal ** (1 / m2)
    nits: npt.NDArray[np.float32] = 10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    return nits.astype(np.float32)


def to_standard(rgb: npt.NDArray[np.uint16], transfer: Transfer) -> npt.NDArray[np.uint8]:
    """Return ``uint8[h, w, 3]`` BGR, BT.709, of coded ``uint16[h, w, 3]`` BT.2020 RGB.

    Light up to the knee is unchanged. Above it, the brightest of the three colours rolls off and scales the other two,
    so that hues stay.
    """
    codes = np.linspace(0, 1, _STEPS, dtype=np.float32)
    curve = hlg_to_scene(codes) if transfer == "hlg" else pq_to_nits(codes) / np.float32(_WHITE_NITS)
    light = curve[rgb >> 4]
    if transfer == "hlg":
        luma = np.maximum(light @ _BT2020_LUMA, 1e-6)
        light = light * (luma ** np.float32(0.2) * np.float32(_PEAK_NITS / _WHITE_NITS))[..., None]
    light = np.maximum(light @ _BT2020_TO_BT709.T, 0)
    brightest = np.maximum(light.max(axis=2, keepdims=True), 1e-6)
    over = np.maximum(brightest - np.float32(_KNEE), 0)
    rolled = np.float32(_KNEE) + np.float32(1 - _KNEE) * (1 - np.exp(-over / np.float32(1 - _KNEE)))
    light *= np.where(brightest > _KNEE, rolled, brightest) / brightest
    # The gamma curve is steep near black: a table over the square root has enough steps there too.
    gamma = np.rint(255 * (codes**2) ** np.float32(1 / _DISPLAY_GAMMA)).astype(np.uint8)
    index = np.rint(np.sqrt(np.clip(light, 0, 1)) * (_STEPS - 1)).astype(np.uint16)
    return np.ascontiguousarray(gamma[index][..., ::-1])
