"""Does the mouth shimmer while a vowel is held? Slow speech of the held-out voice, on heads that sway."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lipstream.realtime.lipsync.articulation import DEFAULT_ARTICULATION
from lipstream.realtime.lipsync.weights import load_weights
from training.clips import HeldClips
from training.evaluate import read_lips, render
from training.figures import change, correlation
from training.speech import HELD_OUT, held_vowels, make_clip
from training.voices import Manner, speak
from training.windows import windows_of

_SENTENCES = (
    "Moon, car, see, law, bee, far, shoe, day.",
    "Ah, we two saw four more, high as a star.",
    "Go far away and see the sea.",
    "Who are you, and why are they here?",
)
_SLOWLY = Manner(stretch=2.5, pitch_hz=170.0)


def vowel_figures(
    weights: Path,
    folder: Path,
    *,
    sentences: int = 4,
    seed: int = 5,
    articulation: float | None = DEFAULT_ARTICULATION,
) -> dict[str, float]:
    """Return how much mouths change from frame to frame in held vowels, and how well they follow slow speech.

    Args:
        weights: Weights file, safetensors.
        folder: Dataset with ``heads.npz``.
        sentences: Number of sentences, four at most.
        seed: Seed of light and pose.
        articulation: See `training.evaluate.render`.
    """
    network, metadata = load_weights(weights)
    drawn = HeldClips(folder, seed)
    ((engine, voice, _),) = HELD_OUT
    changed, true, rs = [], [], []
    for number, sentence in enumerate(_SENTENCES[:sentences]):
        said = make_clip(speak(sentence, engine, voice, _SLOWLY))
        windows = windows_of(said.samples, metadata.window_offset_samples)
        clip = drawn.clip("slow", number, said.mouth[: len(windows)], living=True)
        output = render(network, windows, clip.rest, clip.rest, articulation=articulation)
        still = held_vowels(said.phones, len(windows))
        changed.append(change(output)[still])
        true.append(change(clip.truth)[still])
        rs.append(correlation(read_lips(output, clip)[:, 0], clip.lips_m[:, 0]))
    return {
        "held vowels: change / truth": float(np.concatenate(changed).mean() / np.concatenate(true).mean()),
        "slow speech: aperture r": float(np.mean(rs)),
    }
