import asyncio
import io
from collections.abc import AsyncGenerator

import av
import numpy as np

from lipstream.realtime.synthesis.container_decoder import MOST_UNREAD_BYTES, decode_container

PIECE = 16 * 1024


def mp3(seconds: int) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="mp3") as file:
        stream = file.add_stream("mp3", rate=24_000, layout="mono", bit_rate=64_000)
        noise = np.random.default_rng(1).integers(-8000, 8000, (1, 24_000 * seconds), np.int16)
        frame = av.AudioFrame.from_ndarray(noise, format="s16", layout="mono")
        frame.rate = 24_000
        for part in av.AudioResampler("s16p", "mono", 24_000).resample(frame):
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return out.getvalue()


async def test_a_fast_endpoint_waits_for_a_slow_listener_and_nothing_is_lost() -> None:
    file, sent = mp3(120), 0

    async def pieces() -> AsyncGenerator[bytes]:
        nonlocal sent
        for start in range(0, len(file), PIECE):
            sent += PIECE
            yield file[start : start + PIECE]

    samples = 0
    async for sound in decode_container(pieces(), "mp3"):
        if not samples:
            await asyncio.sleep(0.5)  # long enough to send it all
            assert sent < MOST_UNREAD_BYTES + 8 * PIECE < len(file)
        samples += len(sound.pcm) // 2
    assert abs(samples - 120 * 24_000) < 5_000
