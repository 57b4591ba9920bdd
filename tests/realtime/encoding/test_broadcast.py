"""One encode serves all subscribers, and no subscriber delays the others."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.encoding.broadcast import Broadcast
from lipstream.realtime.encoding.encoded_unit import RAW_PICTURES, SPEECH_CODEC, EncodedUnit
from lipstream.realtime.encoding.encoder_choice import picture_codecs
from lipstream.realtime.encoding.rendition import KEY_FRAME_INTERVAL_S, KeyFrames
from lipstream.realtime.timeline import PTS_PER_FRAME
from tests.realtime.rtc.loopback import TonePlayout, until

VP8, H264 = "video/vp8", "video/h264"


class Audience:
    """Takes one codec and keeps what it gets."""

    def __init__(self, *, leads: bool = False, bitrate: int | None = None) -> None:
        self.leads, self.bitrate = leads, bitrate
        self.units: list[EncodedUnit] = []
        self.failed: list[tuple[str, Exception]] = []
        self.wants = False

    def wants_key(self, _: float) -> bool:
        return self.wants

    def on_unit(self, unit: EncodedUnit) -> None:
        self.units.append(unit)
        if unit.key:
            self.wants = False

    def fail(self, unit: str, error: Exception) -> None:
        self.failed.append((unit, error))


@pytest.fixture
async def playout() -> TonePlayout:
    return TonePlayout(size=64)


@pytest.fixture
async def broadcast(playout: TonePlayout) -> AsyncIterator[Broadcast]:
    broadcast = Broadcast(playout)
    yield broadcast
    await broadcast.close()


async def test_everybody_gets_the_same_units_of_one_encode(broadcast: Broadcast) -> None:
    audience = [Audience() for _ in range(6)]
    for subscriber in audience:
        broadcast.subscribe(VP8, subscriber)
        broadcast.subscribe(SPEECH_CODEC, subscriber)
    await until(lambda: len(audience[0].units) > 30, "units")
    assert all(subscriber.units == audience[0].units for subscriber in audience)
    assert sum(broadcast.encoded.values()) == len(audience[0].units)
    assert broadcast.key_frames[VP8] == 1


async def test_nothing_is_encoded_for_nobody(broadcast: Broadcast, playout: TonePlayout) -> None:
    subscriber = Audience()
    broadcast.subscribe(VP8, subscriber)
    await until(lambda: len(subscriber.units) > 3, "units")
    assert broadcast.encoded[SPEECH_CODEC] == 0
    broadcast.unsubscribe(subscriber)
    taken, made = len(subscriber.units), len(playout.pictures_sent)
    await asyncio.sleep(0.2)
    assert len(subscriber.units) == taken
    assert len(playout.pictures_sent) <= made + 1
    broadcast.subscribe(VP8, subscriber)
    await until(lambda: len(subscriber.units) > taken + 3, "units after the return")
    assert subscriber.units[taken].key, "who comes back begins with a key frame"
    assert not playout.skips


async def test_a_second_codec_is_encoded_only_while_somebody_takes_it(broadcast: Broadcast) -> None:
    first, second = Audience(), Audience()
    broadcast.subscribe(VP8, first)
    await until(lambda: len(first.units) > 5, "pictures")
    assert broadcast.codecs[0] == VP8
    broadcast.subscribe(H264, second)
    await until(lambda: len(second.units) > 5, "pictures of the second codec")
    assert {u.timestamp for u in second.units} <= {u.timestamp for u in first.units}, "of the same pictures"
    broadcast.unsubscribe(second)
    encoded = broadcast.encoded[H264]
    seen = len(first.units)
    await until(lambda: len(first.units) > seen + 5, "pictures")
    assert broadcast.encoded[H264] <= encoded + 1
    assert broadcast.codecs[0] == VP8
    broadcast.unsubscribe(first)
    assert broadcast.codecs == list(picture_codecs())


async def test_a_late_joiner_begins_with_a_key_frame_and_one_serves_all_who_wait(broadcast: Broadcast) -> None:
    early = Audience()
    broadcast.subscribe(VP8, early)
    await until(lambda: len(early.units) > 3, "pictures")
    late = [Audience() for _ in range(5)]
    for subscriber in late:
        subscriber.wants = True
        broadcast.subscribe(VP8, subscriber)
    await until(lambda: not any(subscriber.wants for subscriber in late), "key frame")
    assert broadcast.key_frames[VP8] == 2
    assert len({id(next(u for u in subscriber.units if u.key)) for subscriber in late}) == 1


@pytest.mark.parametrize(("bitrate", "every"), [(600_000, 1), (100_000, 2), (50_000, 3)])
async def test_a_narrow_link_gets_fewer_pictures(broadcast: Broadcast, bitrate: int, every: int) -> None:
    subscriber, raw = Audience(bitrate=bitrate), Audience()
    broadcast.subscribe(H264, subscriber)
    broadcast.subscribe(RAW_PICTURES, raw)
    await until(lambda: len(subscriber.units) > 8, "pictures")
    assert all(unit.timestamp % (every * PTS_PER_FRAME) == 0 for unit in subscriber.units)
    assert {unit.bitrate for unit in subscriber.units} == {bitrate}
    assert len(raw.units) >= every * (len(subscriber.units) - 2), "a recording has them all"


async def test_the_encode_follows_the_one_that_leads(broadcast: Broadcast) -> None:
    speaker = Audience(leads=True, bitrate=300_000)
    viewers = [Audience(bitrate=900_000) for _ in range(3)]
    for subscriber in (*viewers, speaker):
        broadcast.subscribe(H264, subscriber)
    await until(lambda: speaker.units, "pictures")
    assert speaker.units[-1].bitrate == 300_000
    assert broadcast.led_bitrate is None
    broadcast.unsubscribe(speaker)
    assert broadcast.led_bitrate == 300_000, "where the next one that leads begins"
    viewers[0].bitrate = 200_000
    await until(lambda: viewers[0].units[-1].bitrate == 900_000, "what half of the viewers take")
    viewers[1].bitrate = 250_000
    await until(lambda: viewers[0].units[-1].bitrate == 250_000, "what half of the viewers take")
    broadcast.unsubscribe(viewers[0])
    assert broadcast.led_bitrate == 300_000


@pytest.mark.parametrize(("kind", "codec"), [("speech", SPEECH_CODEC), ("picture", VP8)])
async def test_a_failure_is_told_to_all_and_the_next_one_begins_anew(
    broadcast: Broadcast, playout: TonePlayout, kind: str, codec: str
) -> None:
    audience = [Audience(), Audience()]
    for subscriber in audience:
        broadcast.subscribe(codec, subscriber)
    await until(lambda: audience[0].units, "units")
    playout.fail = kind
    await until(lambda: all(subscriber.failed for subscriber in audience), "failure")
    assert all(subscriber.failed[0][0] == kind and len(subscriber.failed) == 1 for subscriber in audience)
    playout.fail = None
    again = Audience()
    broadcast.subscribe(codec, again)
    await until(lambda: again.units, "units of a new start")
    for subscriber in audience:
        broadcast.unsubscribe(subscriber)


async def test_an_unknown_codec_is_refused_and_changes_nothing(broadcast: Broadcast) -> None:
    with pytest.raises(ValueError, match="av1"):
        broadcast.subscribe("video/AV1", Audience())
    assert broadcast.codecs == list(picture_codecs())


async def test_closing_lets_go_of_everybody(broadcast: Broadcast) -> None:
    subscriber = Audience()
    broadcast.subscribe(VP8, subscriber)
    broadcast.subscribe(SPEECH_CODEC, subscriber)
    await until(lambda: subscriber.units, "units")
    await broadcast.close()
    before = Counter(broadcast.encoded)
    await asyncio.sleep(0.1)
    assert broadcast.encoded == before
    broadcast.unsubscribe(subscriber)


@given(asked=st.lists(st.floats(0, 5), min_size=1, max_size=50), size=st.integers(1000, 40_000))
def test_key_frames_take_half_of_the_bitrate_at_most(asked: list[float], size: int) -> None:
    keys, bitrate, made = KeyFrames(), 200_000, []
    for now_s in sorted(asked):
        if keys.due(now_s):
            keys.count(size, bitrate, now_s)
            made.append(now_s)
    for before, after in itertools.pairwise(made):
        assert after - before >= KEY_FRAME_INTERVAL_S
        assert size * 8 <= 0.5 * bitrate * (after - before) + 1
