"""Mutated answers of chats, WAV streams and SRT addresses: each is read or refused by its own error."""

import contextlib
import random
from itertools import pairwise

from lipstream.realtime.agent.chat_answer import AnswerReader, ReportedError
from lipstream.realtime.errors import BadRequestError
from lipstream.realtime.sinks.stream_address import LONGEST_ADDRESS, SRT_OPTIONS, StreamAddress, srt_options
from lipstream.realtime.synthesis.sound_kind import CONTAINERS, container_of, needs_more
from lipstream.realtime.synthesis.synthesizer import SynthesisError
from lipstream.realtime.synthesis.wave_stream import WaveStream
from tests.fuzz.mutate import FULL, mutated
from tests.realtime.agent.test_odd_answers import FAULTS, HEARD
from tests.realtime.sinks.test_stream_address import MANUALS
from tests.realtime.synthesis.test_odd_sound import WAVES

COUNT = 200_000 if FULL else 2_000


def cut(chance: random.Random, data: bytes) -> list[bytes]:
    edges = sorted({0, len(data), *(chance.randrange(len(data) + 1) for _ in range(chance.randrange(4)))})
    return [data[start:end] for start, end in pairwise(edges)]


def test_mutated_answers_of_a_chat_give_text_or_one_error() -> None:
    chance = random.Random(7)
    bodies = [body.encode() for body in (*HEARD.values(), *(fault[0] for fault in FAULTS.values()))]
    for _ in range(COUNT):
        reader, texts = AnswerReader(), []
        with contextlib.suppress(ReportedError, ValueError):
            for piece in cut(chance, mutated(chance, chance.choice(bodies))):
                texts += reader.push(piece)
            texts += reader.flush()
        assert all(isinstance(text, str) for text in texts)


def test_mutated_waves_give_whole_samples_or_one_error() -> None:
    chance = random.Random(8)
    files = [file[:400] for file in WAVES.values()] + [file[-400:] for file in WAVES.values()]
    for _ in range(COUNT // 5):
        stream, sound = WaveStream(), b""
        data = mutated(chance, chance.choice(files))
        with contextlib.suppress(SynthesisError):
            for piece in cut(chance, data):
                sound += stream.push(piece)
            sound += stream.flush()
            assert not sound or stream.rate_hz
        assert container_of(data) in CONTAINERS
        needs_more(data)


def test_mutated_srt_addresses_are_read_or_refused() -> None:
    chance = random.Random(5)
    for _ in range(COUNT):
        url = mutated(chance, chance.choice(list(MANUALS)).encode()).decode("utf-8", "replace")
        try:
            address = StreamAddress.parse(url)
        except BadRequestError:
            continue
        assert len(url) <= LONGEST_ADDRESS
        assert address.parts.hostname
        assert address.ignored_options.isprintable()
        if address.parts.scheme == "srt":
            named = [value for name, value in srt_options(address.parts.query) if SRT_OPTIONS.get(name) is int]
            assert all(value.isascii() and value.isdecimal() for value in named)
