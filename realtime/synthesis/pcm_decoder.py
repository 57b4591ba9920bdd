"""Converts samples of any width, rate and number of channels to 16 bits, one channel. FFmpeg does the arithmetic."""

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext

from lipstream.realtime.synthesis.synthesizer import SynthesisError

HIGHEST_RATE_HZ = 48_000
"""Rate that faster sound is brought to."""
_LEAST_HZ, _MOST_HZ = 4_000, 384_000
_LAYOUTS = ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")


class PcmDecoder:
    """Decodes a stream of samples that is cut anywhere.

    Args:
        codec: FFmpeg's name, such as ``pcm_f32le``.
        rate_hz: Sample rate of the stream, Hz.
        target_hz: Sample rate of the result, Hz; 0 for that of the stream, or 48 kHz if it is higher.

    Raises:
        SynthesisError: If the rate or the number of channels is not read.
    """

    def __init__(self, codec: str, rate_hz: int, channels: int, target_hz: int = 0) -> None:
        if not _LEAST_HZ <= rate_hz <= _MOST_HZ or not 1 <= channels <= len(_LAYOUTS):
            raise SynthesisError(f"the engine's sound of {channels} channels at {rate_hz} Hz is not read")
        self.rate_hz = target_hz or min(rate_hz, HIGHEST_RATE_HZ)
        self._is_ready = codec == "pcm_s16le" and channels == 1 and rate_hz == self.rate_hz
        context = av.CodecContext.create(codec, "r")
        assert isinstance(context, AudioCodecContext)
        self._context = context
        self._context.sample_rate, self._context.layout = rate_hz, _LAYOUTS[channels - 1]
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=self.rate_hz)
        width = {"pcm_alaw": 1, "pcm_mulaw": 1}.get(codec) or int("".join(filter(str.isdigit, codec))) // 8
        self._step, self._rest = width * channels, b""

    def push(self, data: bytes) -> bytes:
        """Return the sound of some bytes: s16le, mono. The beginning of a sample waits for its rest."""
        if self._is_ready:
            return data
        data = self._rest + data
        whole = len(data) // self._step * self._step
        self._rest = data[whole:]
        if not whole:
            return b""
        frames = self._context.decode(av.Packet(data[:whole]))
        return b"".join(map(_bytes, (part for frame in frames for part in self._resampler.resample(frame))))

    def flush(self) -> bytes:
        """Return the sound that the change of rate has held back."""
        return b"" if self._is_ready else b"".join(map(_bytes, self._resampler.resample(None)))


def _bytes(frame: av.AudioFrame) -> bytes:
    return np.ascontiguousarray(frame.to_ndarray(), "<i2").tobytes()
