"""The session's integer timeline: every rate, every whole ratio, every conversion.

Positions are samples at 16 kHz from the session's start; frame ``n`` shows the samples from ``640 n`` on.
Everything here is an integer, so that no conversion can drift.
"""


def exact_ratio(numerator: int, denominator: int) -> int:
    """Return ``numerator / denominator``, which must be whole.

    Raises:
        ValueError: If the division leaves a remainder.
    """
    quotient, remainder = divmod(numerator, denominator)
    if remainder:
        message = f"{numerator} is not a multiple of {denominator}"
        raise ValueError(message)
    return quotient


SAMPLE_RATE_HZ = 16_000
"""Rate of the timeline and of all analysis."""
SOUND_RATE_HZ = 48_000
"""Rate of the sound that enters and leaves."""
VIDEO_CLOCK_HZ = 90_000
"""RTP clock of every video codec (RFC 3551)."""
FRAME_RATE_HZ = 25

SOUND_PER_SAMPLE = exact_ratio(SOUND_RATE_HZ, SAMPLE_RATE_HZ)
SAMPLES_PER_FRAME = exact_ratio(SAMPLE_RATE_HZ, FRAME_RATE_HZ)
PTS_PER_FRAME = exact_ratio(VIDEO_CLOCK_HZ, FRAME_RATE_HZ)

BLOCK_SAMPLES = exact_ratio(SAMPLE_RATE_HZ, 100)
"""Samples that enter the timeline at once: 10 ms, which is also the shortest frame of the voice detector."""
BLOCKS_PER_FRAME = exact_ratio(SAMPLES_PER_FRAME, BLOCK_SAMPLES)
BLOCK_SOUND = BLOCK_SAMPLES * SOUND_PER_SAMPLE

PACKET_SOUND = exact_ratio(SOUND_RATE_HZ, 50)
"""Sound samples (48 kHz) in one outgoing packet: 20 ms, Opus's usual frame."""
PACKET_SAMPLES = exact_ratio(PACKET_SOUND, SOUND_PER_SAMPLE)

MEL_HOP_SAMPLES = 200
MEL_WINDOW_SAMPLES = 800
MEL_BANDS = 80
WINDOW_COLUMNS = 16
"""Mel columns that the network reads for one frame: 200 ms."""


def frame_to_sample(frame: int) -> int:
    """Return the first sample shown by video frame ``frame``."""
    return frame * SAMPLES_PER_FRAME


def sample_to_frame(sample: int) -> int:
    """Return the video frame that shows ``sample``."""
    return sample // SAMPLES_PER_FRAME


def frames_covering(samples: int) -> int:
    """Return the number of frames that show ``samples`` samples; the last one may be partial."""
    return -(-samples // SAMPLES_PER_FRAME)


def ms_to_samples(milliseconds: int) -> int:
    """Return the timeline samples in a whole number of milliseconds; ValueError if they are not whole."""
    return exact_ratio(milliseconds * SAMPLE_RATE_HZ, 1000)


def samples_to_ms(samples: int) -> float:
    """Return the duration of ``samples`` in milliseconds."""
    return samples * 1000 / SAMPLE_RATE_HZ
