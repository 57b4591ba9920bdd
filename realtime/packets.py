"""What travels between the parts of a session: small, frozen, each with its position on the timeline."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class PcmChunk:
    """Analysis sound that enters the timeline.

    Attributes:
        sample: Position of the first sample, 16 kHz.
        samples: ``float32[n]`` in -1..1.
    """

    sample: int
    samples: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class RenderJob:
    """What one video frame shows.

    Attributes:
        frame: Index on the timeline: shows the samples from ``640 * frame`` on.
        clip_frame: Index into the avatar's clip.
        spoken: Weight of the spoken mouth against the rest mouth, 0..1; 0 needs no model.
        mel: ``float32[80, 16]``, the window that the network reads; ``None`` where ``spoken`` is 0.
    """

    frame: int
    clip_frame: int
    spoken: float
    mel: npt.NDArray[np.float32] | None
