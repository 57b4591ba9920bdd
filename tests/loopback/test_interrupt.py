"""An interruption is heard within 100 ms and seen within five pictures, and what is said later is spoken."""

import asyncio
import statistics
import time
from dataclasses import dataclass

import numpy as np

from benchmarks.signals import TimelineSource
from lipstream.realtime.rtc.aiortc_patches.sender import NTP_EPOCH_S
from lipstream.realtime.session.session import Session
from lipstream.realtime.test_client.call_recording import decode_pictures, decode_sound
from lipstream.realtime.test_client.click_track import Sound, voice
from lipstream.realtime.timeline import (
    PACKET_SAMPLES,
    SAMPLE_RATE_HZ,
    SAMPLES_PER_FRAME,
    SOUND_PER_SAMPLE,
    SOUND_RATE_HZ,
    ms_to_samples,
)
from tests.loopback.conftest import MOUTH, SHADES, Callers, Serve, until

ROUNDS = 2
SPOKEN = 20
"""Luma above the face's shade from which a mouth counts as open: a third of a spoken one."""
QUIET = 0.01
FADE_SOUND = SOUND_RATE_HZ * 5 // 1000
SMEAR_SOUND = SOUND_RATE_HZ * 20 // 1000
"""Opus spreads an edge over a packet."""


class TalkingSource:
    """A voice that stops when it is told to, on the timeline."""

    def __init__(self) -> None:
        self.silent_from = self.silent_to = 0

    def hush(self, sample: int, count: int) -> None:
        self.silent_from, self.silent_to = sample * SOUND_PER_SAMPLE, (sample + count) * SOUND_PER_SAMPLE

    def __call__(self, start: int, count: int) -> Sound:
        position = np.arange(start, start + count)
        loud = (position < self.silent_from) | (position >= self.silent_to)
        return voice(start, count) * loud.astype(np.float32)


@dataclass
class Round:
    sample: int  # from which on there is silence
    frame: int  # the next one to leave
    left: int  # sample that was leaving at the call
    resumed: int  # sample at which the voice goes on


async def interrupt_once(session: Session, talker: TalkingSource) -> Round:
    """Interrupt, and let the voice go on 0.8 s later; return when that has left."""
    entered = session.playout.sound_end // SOUND_PER_SAMPLE
    hush_samples = ms_to_samples(800)
    left = session.clock.left(asyncio.get_running_loop().time())
    talker.hush(entered, hush_samples)
    frame = session.playout._last_frame + 1
    done = Round(session.speech.interrupt(), frame, left, entered + hush_samples)
    await until(lambda: session.clock.left(asyncio.get_running_loop().time()) > done.resumed + 16000, "later speech")
    return done


async def test_an_interruption_is_heard_and_seen_and_ends(serve: Serve, callers: Callers) -> None:
    sessions = await serve()
    caller, session = await callers.call(sessions)
    talker = TalkingSource()
    session.speech.source = TimelineSource(session.clock, talker)
    await until(lambda: session.playout.counts.rendered > 30, "speech")
    rounds = [await interrupt_once(session, talker) for _ in range(ROUNDS)]
    await callers.hang_up()

    tails = session.playout.interrupt_tail_ms
    assert len(tails) == ROUNDS
    assert statistics.median(tails) <= 100
    heard = decode_sound(caller.recording.sound)
    seen = list(decode_pictures(caller.recording.picture))
    origin = round(_sample(session, heard.media_s[0]) * SOUND_PER_SAMPLE)
    open_mouths = {
        round(_sample(session, picture.media_s) / SAMPLES_PER_FRAME): float(picture.luma[MOUTH].mean()) - SHADES["ann"]
        for picture in seen
    }
    for done in rounds:
        assert -PACKET_SAMPLES <= done.sample - done.left <= ms_to_samples(100)
        begins, ends = (at * SOUND_PER_SAMPLE - origin for at in (done.sample, done.resumed))
        silent = heard.samples[begins + FADE_SOUND + SMEAR_SOUND : ends - SMEAR_SOUND]
        assert np.abs(silent).max() < QUIET
        for start in (begins - SOUND_RATE_HZ // 3, ends):
            assert np.abs(heard.samples[start : start + SOUND_RATE_HZ // 3]).max() > 10 * QUIET
        resumed = done.resumed // SAMPLES_PER_FRAME
        shut = [frame for frame in open_mouths if done.frame + 5 <= frame < resumed - 3]
        assert len(shut) > 5
        assert all(open_mouths[frame] < SPOKEN / 4 for frame in shut)
        assert any(open_mouths.get(frame, 0) > SPOKEN for frame in range(resumed, resumed + 12))
        assert any(open_mouths.get(frame, 0) > SPOKEN for frame in range(done.frame - 5, done.frame))


def _sample(session: Session, media_s: float) -> float:
    """Return the place on the timeline of a time that sender reports gave."""
    monotonic_s = media_s - NTP_EPOCH_S - (time.time() - time.monotonic())
    return (monotonic_s - session.clock.leaves_at(0)) * SAMPLE_RATE_HZ
