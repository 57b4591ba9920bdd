"""What speech endpoints send: every container and coding is heard at its own rate, and what is no sound is refused."""

import io
import struct
from itertools import pairwise
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.synthesis.endpoint import SpeechEndpoint
from lipstream.realtime.synthesis.sound_kind import CONTAINERS, container_of, raw_sound
from lipstream.realtime.synthesis.synthesizer import SynthesisError
from lipstream.realtime.synthesis.wave_stream import WaveStream
from tests.realtime.synthesis.endpoint_server import SpeechServer, endpoint, voice

RATE_HZ = 16_000
PCM = voice(0.4, RATE_HZ)
TONE = np.frombuffer(PCM, "<i2")
FLOATS = TONE.astype(np.float32) / 32768


def chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


LIST = chunk(b"LIST", b"INFOISFT\x05\0\0\0Lavf\0")


def wave(
    pcm: bytes = PCM,
    kind: int = 1,
    bits: int = 16,
    channels: int = 1,
    rate_hz: int = RATE_HZ,
    size: int | None = None,
    before: bytes = b"",
    behind: bytes = b"",
    magic: bytes = b"RIFF",
) -> bytes:
    step = channels * bits // 8
    form = chunk(b"fmt ", struct.pack("<HHIIHH", kind, channels, rate_hz, rate_hz * step, step, bits))
    data = b"data" + struct.pack("<I", len(pcm) if size is None else size) + pcm
    body = b"WAVE" + before + form + data + behind
    return magic + struct.pack("<I", len(body) & 0xFFFFFFFF) + body


def encoded(container: str, codec: str, rate_hz: int = 48_000, *, seconds: float = 0.4, **options: str) -> bytes:
    file, sound = io.BytesIO(), np.frombuffer(voice(seconds, rate_hz), "<i2")[None]
    with av.open(file, "w", format=container, options=options) as output:
        stream: Any = output.add_stream(codec, rate=rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray(sound, format="s16", layout="mono")
        frame.sample_rate = rate_hz
        for part in av.AudioResampler(format=stream.format, layout="mono", rate=rate_hz).resample(frame):
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return file.getvalue()


HALF = len(PCM) // 4 * 2
SIZES = chunk(b"ds64", struct.pack("<QQQI", 0, len(PCM), 0, 0))
WAVES = {
    "plain": wave(),
    "a chunk behind the sound": wave(behind=LIST),
    "a chunk before it": wave(before=LIST),
    "no length": wave(size=0),
    "the greatest length": wave(size=0xFFFFFFFF),
    "the length of the first chunk": wave(size=100),
    "a header on each chunk": wave(PCM[:HALF]) + wave(PCM[HALF:], behind=LIST),
    "a header without a length on each chunk": wave(PCM[:HALF], size=0) + wave(PCM[HALF:], size=0xFFFFFFFF),
    "RF64": wave(size=0xFFFFFFFF, before=SIZES, behind=LIST, magic=b"RF64"),
    "float": wave(FLOATS.astype("<f4").tobytes(), kind=3, bits=32),
    "double": wave(FLOATS.astype("<f8").tobytes(), kind=3, bits=64),
    "24 bit": wave(b"".join(struct.pack("<i", int(one) << 8)[:3] for one in TONE), bits=24),
    "32 bit": wave((TONE.astype("<i4") << 16).tobytes(), bits=32),
    "stereo": wave(np.repeat(TONE, 2).tobytes(), channels=2),
    "stereo float": wave(np.repeat(FLOATS, 2).astype("<f4").tobytes(), kind=3, bits=32, channels=2),
}


@pytest.mark.parametrize("step", [13, 1000])
def test_a_wav_is_heard_whatever_its_writer_did(step: int) -> None:
    for name, file in WAVES.items():
        stream = WaveStream()
        heard = b"".join(stream.push(file[at : at + step]) for at in range(0, len(file), step)) + stream.flush()
        assert stream.rate_hz == RATE_HZ, name
        assert len(heard) == len(PCM), name
        assert np.abs(np.frombuffer(heard, "<i2").astype(int) - TONE).max() <= 2, name


def test_a_rate_above_48_khz_is_brought_down_and_a_second_rate_to_the_first() -> None:
    stream = WaveStream()
    heard = stream.push(wave(voice(0.4, 96_000), rate_hz=96_000)) + stream.flush()
    assert stream.rate_hz == 48_000
    assert len(heard) == pytest.approx(2 * 0.4 * 48_000, rel=0.01)
    stream = WaveStream()
    heard = stream.push(wave() + wave(voice(0.4, 8_000), rate_hz=8_000)) + stream.flush()
    assert stream.rate_hz == RATE_HZ
    assert len(heard) == pytest.approx(2 * len(PCM), rel=0.01)


@given(st.binary(max_size=60), st.lists(st.integers(0, 400), max_size=5), st.integers(0, 200))
def test_any_bytes_behind_a_header_are_sound_or_one_error(data: bytes, cuts: list[int], at: int) -> None:
    file = wave(data + b"RIFF\1\0\0\0WAVE" + data, size=None, behind=data)
    file = file[:at] + data[:1] + file[at + 1 :]
    edges = sorted(min(cut, len(file)) for cut in (0, *cuts, len(file)))
    stream = WaveStream()
    try:
        _ = [stream.push(file[start:end]) for start, end in pairwise(edges)]
        stream.flush()
    except SynthesisError:
        return


async def heard(server: SpeechServer, body: bytes, kind: str) -> tuple[int, float, float]:
    """Return the rate, the seconds and the share of a voice's loudness."""
    server.body, server.kind = body, kind
    engine = SpeechEndpoint(server.url, voice="v", model="m", response_format="pcm")
    try:
        pieces = [piece async for piece in engine.speak("Hello.")]
    finally:
        await engine.close()
    (rate_hz,) = {piece.rate_hz for piece in pieces}
    sound = np.frombuffer(b"".join(piece.pcm for piece in pieces), "<i2")
    loudness = np.sqrt(np.mean(sound.astype(float) ** 2)) / np.sqrt(np.mean(TONE.astype(float) ** 2))
    return rate_hz, sound.size / rate_hz, float(loudness)


SOUNDS = {
    "WAV as PCM": (WAVES["plain"], "audio/pcm", RATE_HZ),
    "WAV": (WAVES["a chunk behind the sound"], "audio/wav", RATE_HZ),
    "a rate in the type": (PCM, "audio/pcm; rate=16000", RATE_HZ),
    "L16": (PCM, "audio/L16;rate=16000", RATE_HZ),
    "L16 with a codec": (PCM, "audio/l16;codec=pcm;rate=16000;channels=1", RATE_HZ),
    "quotes": (PCM, 'audio/pcm; Rate="16000"', RATE_HZ),
    "two channels": (np.repeat(TONE, 2).tobytes(), "audio/pcm;rate=16000;channels=2", RATE_HZ),
    "PCM without a type": (voice(0.4), "", 24_000),
    "PCM as MP3": (voice(0.4), "audio/mpeg", 24_000),
    "PCM that begins like MP3": (b"\xff\xfb\x90\x64" + voice(0.4), "audio/pcm", 24_000),
    "MP3": (encoded("mp3", "libmp3lame"), "audio/mpeg", 48_000),
    "MP3 without a type": (encoded("mp3", "libmp3lame", id3v2_version="0", write_xing="0"), "", 48_000),
    "MP3 as bytes": (encoded("mp3", "libmp3lame", 24_000), "application/octet-stream", 24_000),
    "FLAC": (encoded("flac", "flac"), "audio/flac", 48_000),
    "Opus": (encoded("ogg", "libopus"), "audio/ogg", 48_000),
    "AAC": (encoded("adts", "aac"), "audio/aac", 48_000),
    "CAF": (encoded("caf", "pcm_s16be"), "audio/x-caf", 48_000),
    "AIFF": (encoded("aiff", "pcm_s16be"), "audio/aiff", 48_000),
    "AU": (encoded("au", "pcm_s16be"), "audio/basic", 48_000),
    "Wave64": (encoded("w64", "pcm_s16le"), "", 48_000),
    "u-law in a WAV": (encoded("wav", "pcm_mulaw", 8_000), "audio/wav", 8_000),
    "WebM": (encoded("webm", "libopus"), "audio/webm", 48_000),
}


async def test_every_sound_is_heard_at_its_rate() -> None:
    async with endpoint() as server:
        for name, (body, kind, rate_hz) in SOUNDS.items():
            rate, seconds, loudness = await heard(server, body, kind)
            assert rate == rate_hz, name
            assert seconds == pytest.approx(0.4, abs=0.06), name
            assert loudness == pytest.approx(1.0, abs=0.25), name


async def test_what_is_no_sound_is_one_sentence() -> None:
    damaged = encoded("ogg", "libopus")[:100] + bytes(5000)
    async with endpoint() as server:
        for body, kind, told in (
            (b'{"error": "no voice"}', "audio/pcm", "a text"),
            (b"<!DOCTYPE html><p>Sign in", "audio/wav", "a text"),
            (PCM, "text/html; charset=utf-8", "text/html"),
            (damaged, "audio/ogg", "cannot be decoded"),
            (wave(magic=b"RIFX"), "audio/wav", "rifx, cannot be decoded"),
            (wave(kind=17, bits=4), "audio/wav", "not read"),
        ):
            with pytest.raises(SynthesisError, match=told):
                await heard(server, body, kind)


async def test_a_redirect_is_followed_and_a_listener_may_leave() -> None:
    async with endpoint(body=encoded("mp3", "libmp3lame") * 20) as server:
        engine = SpeechEndpoint(server.url, voice="v", model="m", response_format="pcm")
        sound = engine.speak("moved")
        assert (await anext(sound)).rate_hz == 48_000
        await sound.aclose()
        await engine.close()


def test_types_of_raw_sound() -> None:
    telephone = raw_sound("audio/basic", 24_000)
    assert (telephone.codec, telephone.rate_hz) == ("pcm_mulaw", 8_000)
    assert raw_sound("audio/pcm;rate=many", 24_000).rate_hz == 24_000


@given(st.binary(max_size=80))
def test_any_bytes_have_a_kind(head: bytes) -> None:
    assert container_of(head) in CONTAINERS
