"""Makes the sentence that *Hear a sample* on the call page plays: ``python -m training.sample``.

One of Kokoro's voices speaks it (Apache-2.0, see `training.kokoro`), so the recording has no other owner. MP3 is what
every browser decodes.
"""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from training import espeak, kokoro

SAMPLE = Path(__file__).parent.parent / "web" / "call" / "sample.mp3"
TEXT = "Hello! I am not a real person, but I say whatever I hear. Talk to me, and watch my lips."
VOICE = "af_heart"
_PAUSE_S = 0.25
_BIT_RATE = 48_000
_PEAK = 0.7


def speak() -> NDArray[np.float32]:
    """Return the sentence with a pause around it, ``float32[n]`` at `kokoro.RATE_HZ`.

    Raises:
        FileNotFoundError: If Kokoro is not installed.
    """
    ipa = ", ".join(espeak.in_ipa(TEXT, "en-us")) + "."
    said = kokoro.speak(ipa, (VOICE, VOICE), 0.0, english=True)
    return np.pad(_PEAK * said / np.abs(said).max(), round(_PAUSE_S * kokoro.RATE_HZ)).astype(np.float32)


def write_mp3(path: Path, samples: NDArray[np.float32], rate_hz: int) -> None:
    """Write mono samples, ``float32[n]`` within -1..1."""
    with av.open(str(path), "w", format="mp3") as file:
        stream = file.add_stream("libmp3lame", rate=rate_hz, layout="mono", bit_rate=_BIT_RATE)
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
        for whole in (frame, None):
            file.mux(stream.encode(whole))


if __name__ == "__main__":
    write_mp3(SAMPLE, speak(), kokoro.RATE_HZ)
