"""Messages between the parts of a session: small, frozen, each with its position on the timeline."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class PcmChunk:
    """Sound for analysis that enters the timeline.

    Attributes:
        sample: Position of the first sample, 16 kHz.
        samples: ``float32[n]`` in -1..1, 16 kHz.
    """

    sample: int
    samples: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class RenderJob:
    """The content of one video frame.

    Attributes:
        frame: Frame on the timeline, from 0; it shows the samples from ``640 * frame`` on.
        clip_frame: Frame of the avatar's clip, from 0.
        spoken: Weight of the spoken mouth against the rest mouth, 0..1; 0 needs no prediction.
        mel: ``float32[80, 16]``, the window for the network; ``None`` if ``spoken`` is 0.
        continues: Whether the mouth continues the one of the frame before, which was spoken too, without an
            interruption between; default true.
        stress: How far it stands out in its speech, 0..1.
    """

    frame: int
    clip_frame: int
    spoken: float
    mel: npt.NDArray[np.float32] | None
    continues: bool = True
    stress: float = 0.0
