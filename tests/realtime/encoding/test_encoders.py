import fractions
import math
import time

import av
import numpy as np
import pytest
from aiortc.codecs.opus import OpusEncoder
from aiortc.codecs.vpx import Vp8Encoder
from aiortc.rtp import compute_audio_level_dbov
from av.video.frame import PictureType

from lipstream.realtime.encoding.encoders import (
    SETTLED_PACKETS,
    LiveH264Encoder,
    LiveVp8Encoder,
    SpeechEncoder,
    sound_level_dbov,
)
from lipstream.realtime.encoding.pacing import speech_frame
from lipstream.realtime.encoding.rate_control import start_bitrate
from lipstream.realtime.rtc.aiortc_patches.receiver import SoundDecoder
from tests.realtime.speech import voice

SIZE = 256
RNG = np.random.default_rng(0)
BACKGROUND = np.kron(RNG.integers(60, 200, (SIZE * 3 // 16, SIZE // 8), dtype=np.uint8), np.ones((8, 8), np.uint8))
VIDEO_ENCODERS = [LiveVp8Encoder, LiveH264Encoder]
LBRR_FLAG = 0x40
"""In the first byte after the TOC of a mono 20 ms SILK or hybrid packet (RFC 6716, section 4.2.3)."""


def picture(index: int, *, busy: bool = True, size: int = SIZE) -> av.VideoFrame:
    i420 = BACKGROUND[: size * 3 // 2, :size].copy()
    if busy:
        i420[40:200, 40:200] = RNG.integers(100, 140, (160, 160), dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(i420, format="yuv420p")
    frame.pts, frame.time_base = index * 3600, fractions.Fraction(1, 90000)
    return frame


def sound_frames(samples: np.ndarray) -> list[av.AudioFrame]:
    frames = []
    for n in range(len(samples) // 960):
        frame = av.AudioFrame.from_ndarray(samples[None, n * 960 : (n + 1) * 960], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 960 * n, fractions.Fraction(1, 48000)
        frames.append(frame)
    return frames


def speech_s16() -> np.ndarray:
    return (voice(2.0, rate=48000) * 32767).astype(np.int16)


def lbrr_packets(encoder: OpusEncoder | SpeechEncoder) -> int:
    packets = [encoder.encode(frame)[0] for frame in sound_frames(speech_s16())]
    return sum(packet[0][1] & LBRR_FLAG != 0 for packet in packets if packet and packet[0][0] >> 3 < 16)


def test_speech_carries_its_own_correction_and_stock_does_not() -> None:
    assert lbrr_packets(SpeechEncoder()) > 20
    assert lbrr_packets(OpusEncoder()) == 0


def test_each_packet_of_speech_keeps_its_index() -> None:
    encoder = SpeechEncoder()
    out = [encoder.encode(frame) for frame in sound_frames(speech_s16())]
    assert [timestamp for _, timestamp in out] == [960 * n for n in range(len(out))]
    assert all(len(payloads) == 1 for payloads, _ in out)
    assert all(payloads[0][0] & 4 == 0 for payloads, _ in out), "mono"
    assert 30_000 < sum(len(payloads[0]) for payloads, _ in out) * 8 / 2 < 70_000


def test_lasting_silence_is_encoded_no_more_and_speech_after_it_is_heard_as_ever() -> None:
    spoken = speech_s16()[: 50 * 960].reshape(-1, 960)
    sound = np.concatenate((spoken, np.zeros((100, 960), np.int16), spoken))
    prompt, always = SpeechEncoder(), SpeechEncoder()
    encode = prompt.encode
    encoded: list[int] = []

    def count(frame: av.AudioFrame) -> tuple[list[bytes], int]:
        encoded.append((frame.pts or 0) // 960)
        return encode(frame)

    prompt.encode = count  # type: ignore[method-assign]
    heard = []
    for packets in (
        [prompt.payloads(index, samples) for index, samples in enumerate(sound)],
        [always.encode(speech_frame(index, samples))[0] for index, samples in enumerate(sound)],
    ):
        decoder = SoundDecoder()
        heard.append(np.concatenate([decoder.decode(payload) for (payload,) in packets]).reshape(-1, 960))
    assert encoded == [*range(50 + SETTLED_PACKETS), *range(150, 200)]
    difference = np.abs(heard[0] - heard[1])
    assert difference[50:149].max() < 1e-4
    error = np.sqrt(np.mean((heard[1][150:] - heard[1][:50]) ** 2))  # of what Opus itself makes of the same sound twice
    assert np.sqrt(np.mean(difference[150:] ** 2)) < 2 * error


@pytest.mark.parametrize("make", VIDEO_ENCODERS)
def test_a_picture_comes_out_at_once_with_its_own_time(make: type) -> None:
    encoder = make()
    for n in (0, 1, 2, 17, 18):
        payloads, timestamp = encoder.encode(picture(n))
        assert payloads
        assert timestamp == 3600 * n
        assert max(map(len, payloads)) <= 1300
        assert encoder.sent_key_frame == (n == 0)
    assert encoder.codec.thread_count == 1


@pytest.mark.parametrize("make", VIDEO_ENCODERS)
def test_a_frame_sent_again_after_a_key_frame_is_no_key_frame(make: type) -> None:
    encoder, again = make(), picture(0)
    keys = []
    for n in range(10):
        again.pts, again.time_base = n * 3600, fractions.Fraction(1, 90000)
        encoder.encode(again, force_keyframe=n == 2)
        keys.append(encoder.sent_key_frame)
    assert keys == [True, False, True] + [False] * 7


def test_stock_vp8_makes_key_frames_for_ever_from_such_a_frame() -> None:
    encoder, again = Vp8Encoder(), picture(0)
    encoder.encode(again)
    encoder.encode(again, force_keyframe=True)
    assert again.pict_type == PictureType.I


def rate_of(encoder: LiveVp8Encoder | LiveH264Encoder, start: int, frames: int) -> float:
    """Return the bitrate over the second half of some busy pictures, bit/s."""
    sizes = [sum(map(len, encoder.encode(picture(start + n))[0])) for n in range(frames)]
    return sum(sizes[frames // 2 :]) * 8 * 25 / (frames - frames // 2)


@pytest.mark.parametrize("make", VIDEO_ENCODERS)
def test_the_target_is_met_at_25_frames_a_second(make: type) -> None:
    encoder = make()
    encoder.target_bitrate = 600_000
    assert rate_of(encoder, 0, 150) == pytest.approx(600_000, rel=0.15)


def test_h264_follows_the_target_without_a_key_frame() -> None:
    encoder = LiveH264Encoder()
    encoder.target_bitrate = 1_000_000
    rate_of(encoder, 0, 75)
    codec = encoder.codec
    encoder.target_bitrate = 300_000
    assert rate_of(encoder, 75, 100) == pytest.approx(300_000, rel=0.25)
    encoder.target_bitrate = 1_200_000
    assert rate_of(encoder, 175, 100) > 700_000
    assert encoder.codec is codec


def test_h264_for_a_narrow_link_has_small_key_frames_and_keeps_to_its_bitrate() -> None:
    encoder, sizes, ways = LiveH264Encoder(), {}, {}
    for target, every in ((1_000_000, 1), (60_000, 3), (250_000, 1), (400_000, 1)):
        encoder.target_bitrate, encoder.every = target, every
        frames = range(0, 150, every)
        sizes[target] = [sum(map(len, encoder.encode(picture(n), n == 75)[0])) for n in frames]
        ways[target] = encoder.codec
    assert sizes[60_000][75 // 3] < sizes[1_000_000][75] / 2
    assert sum(sizes[60_000][25:]) * 8 / 3 == pytest.approx(60_000, rel=0.3)
    assert ways[1_000_000] is not ways[60_000]
    assert ways[250_000] is ways[60_000], "not reopened for a little more"
    assert ways[400_000] is not ways[250_000]


def test_a_key_frame_of_vp8_is_bounded_and_stock_ones_are_not() -> None:
    noise = RNG.integers(0, 255, (SIZE * 3 // 2, SIZE), dtype=np.uint8)
    sizes = []
    for encoder in (LiveVp8Encoder(), Vp8Encoder()):
        for n in range(30):
            frame = av.VideoFrame.from_ndarray(BACKGROUND if n < 29 else noise, format="yuv420p")
            frame.pts, frame.time_base = n * 3600, fractions.Fraction(1, 90000)
            payloads, _ = encoder.encode(frame, force_keyframe=n == 29)
        sizes.append(sum(map(len, payloads)))
    assert sizes[0] < sizes[1]


def test_vp8_is_opened_anew_only_for_a_large_and_lasting_change(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    encoder = LiveVp8Encoder()
    encoder.target_bitrate = 1_000_000
    encoder.encode(picture(0))
    codec = encoder.codec
    steps = [  # seconds later, target, whether a new encoder takes over
        (0.5, 500_000, False),
        (0.5, 800_000, False),
        (0.0, 500_000, True),
        (2.9, 800_000, False),
        (0.1, 640_000, False),
        (0.0, 800_000, True),
    ]
    for n, (later_s, target, anew) in enumerate(steps, start=1):
        now_s += later_s
        encoder.target_bitrate = target
        encoder.encode(picture(n))
        assert (encoder.codec is not codec) == anew
        assert encoder.codec is not None
        assert encoder.codec.bit_rate == target or not anew
        codec = encoder.codec


@pytest.mark.parametrize("make", VIDEO_ENCODERS)
def test_another_size_of_picture_is_taken(make: type) -> None:
    encoder = make()
    encoder.encode(picture(0))
    assert encoder.encode(picture(1, size=128, busy=False))[0]
    assert encoder.sent_key_frame


@pytest.mark.parametrize("make", VIDEO_ENCODERS)
def test_until_a_bitrate_is_set_it_fits_the_picture(make: type) -> None:
    encoder = make()
    assert encoder.target_bitrate == 0
    encoder.encode(picture(0))
    assert encoder.target_bitrate == start_bitrate(SIZE * SIZE)


@pytest.mark.parametrize("amplitude", [0, 1, 100, 8000, 32767])
def test_the_level_is_that_of_the_stock_formula(amplitude: int) -> None:
    samples = np.round(amplitude * np.sin(np.arange(960) * 0.05)).astype(np.int16)
    assert sound_level_dbov(samples) == compute_audio_level_dbov(sound_frames(samples)[0])
    assert not math.isnan(sound_level_dbov(samples[:0]))
