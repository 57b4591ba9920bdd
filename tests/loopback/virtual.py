"""A session in virtual time: no peer, no worker, no sleep."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np

from lipstream.avatar_cache.manifest import Manifest
from lipstream.realtime.audio.sample_range import in_range
from lipstream.realtime.packets import RenderJob
from lipstream.realtime.picture.mouth_painter import Box
from lipstream.realtime.rtc.rtc_settings import RtcSettings
from lipstream.realtime.session.session import Session
from lipstream.realtime.session.speech_pipeline import first_block_samples
from lipstream.realtime.session.tick_schedule import TICK_S, tick_of
from lipstream.realtime.timeline import PACKET_SAMPLES, PACKET_SOUND, SAMPLE_RATE_HZ
from tests.realtime.fakes import BOX, FRAMES, SIZE, metadata

EPOCH_S = 1000.0
BEGINS_S = 0.1037
"""The source begins later than the session, and not on its grid."""


def one_clip(avatar_id: str = "ann") -> Manifest:
    return Manifest(avatar_id, avatar_id.title(), "seamless", SIZE, (Box(*BOX),) * FRAMES, "CC0-1.0", "")


class VirtualSession:
    """Pushes sound at its time, ticks every 10 ms, and takes each packet when it leaves.

    Args:
        manifest: That of the avatar; default: an avatar of one clip.
        options: More of the session's.

    Attributes:
        left: ``int16[n]``, all sound that left, 48 kHz.
        submitted_at: The ticks of a frame at which mouths were asked for.
    """

    def __init__(self, manifest: Manifest | None = None, **options: Any) -> None:
        self.submitted = 0
        self.submitted_at: set[int] = set()
        self.spoken_frames = 0
        avatar: Any = SimpleNamespace(manifest=manifest or one_clip(), compositor=lambda _mark: None)
        stream = SimpleNamespace(submit=self._submit, close=lambda: None)
        worker: Any = SimpleNamespace(open_stream=lambda _avatar, _on_mouth, **_: stream)
        self.session = Session(
            avatar,
            worker,
            metadata(),
            rtc=RtcSettings(),
            epoch_s=EPOCH_S - first_block_samples(metadata().look_ahead_samples) / SAMPLE_RATE_HZ,
            most_viewers=0,
            on_over=lambda _session, _why: None,
            **options,
        )
        peer: Any = SimpleNamespace(connected=True, send_control=lambda _: None)
        self.session._speaker._peer = peer
        self._packets: list[np.ndarray] = []
        self.now_s = EPOCH_S

    @property
    def left(self) -> np.ndarray:
        return np.concatenate(self._packets)

    def tick(self) -> list[np.ndarray]:
        """Go on by 10 ms; return the packets that left meanwhile, ``int16[960]`` each."""
        self.now_s += TICK_S
        self.session.tick(self.now_s)
        playout, first = self.session.playout, len(self._packets)
        while playout.clock.leaves_at(len(self._packets) * PACKET_SAMPLES) <= self.now_s:
            packet = playout.speech(len(self._packets))
            assert packet.dtype == np.int16
            assert packet.shape == (PACKET_SOUND,)
            playout.sent_speech(len(self._packets), self.now_s)
            self._packets.append(packet)
        return self._packets[first:]

    def run(
        self, events: Iterable[tuple[float, int, np.ndarray]], seconds: float, *, interrupt_s: float | None = None
    ) -> None:
        """Push each sound (seconds since the beginning, position, samples) when it is due, up to a time."""
        waiting: list[tuple[float, int | None, np.ndarray]] = list(events)
        if interrupt_s is not None:
            waiting.append((interrupt_s, None, np.zeros(0, np.float32)))
        waiting.sort(key=lambda event: -event[0])
        while self.now_s < EPOCH_S + seconds:
            while waiting and EPOCH_S + BEGINS_S + waiting[-1][0] <= self.now_s + TICK_S:
                at_s, position, samples = waiting.pop()
                if position is None:
                    self.session.speech.interrupt()
                else:
                    self.session.speech.microphone.push(position, in_range(samples), EPOCH_S + BEGINS_S + at_s)
            self.tick()

    def _submit(self, job: RenderJob) -> None:
        self.submitted += 1
        self.spoken_frames += job.spoken > 0
        self.submitted_at.add(tick_of(self.now_s))
