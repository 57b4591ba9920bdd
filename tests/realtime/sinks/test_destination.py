"""Hours of a live stream in virtual time: links that break, and what their server misses."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from lipstream.realtime.sinks.destination import MOST_TAGS, TagDestination
from lipstream.realtime.sinks.flv import AUDIO, VIDEO, Tag
from lipstream.realtime.sinks.muxer import KEY_FRAME_FRAMES
from lipstream.realtime.sinks.stream_address import StreamAddress, StreamConnectionError
from lipstream.realtime.timeline import FRAME_RATE_HZ
from tests.virtual_loop import VirtualLoop

HOUR = 3600 * FRAME_RATE_HZ
HOURS = 8
AT_ONCE = 5
"""Pictures that the encoder gives at once, which makes the hours shorter."""


class Encode:
    """Pictures and speech, with a key frame every two seconds and whenever one is asked for."""

    def __init__(self) -> None:
        self.frame = self._key = 0

    def ask_key(self) -> None:
        self._key = self.frame

    def tags(self) -> list[Tag]:
        """Return the next picture and its speech; their bodies end with the frame's number."""
        if self.frame - self._key == KEY_FRAME_FRAMES:
            self._key = self.frame
        kind = b"\x17\x01" if self.frame == self._key else b"\x27\x01"
        time_ms, number = self.frame * 1000 // FRAME_RATE_HZ, self.frame.to_bytes(4, "big")
        self.frame += 1
        return [Tag(VIDEO, time_ms, kind + number), Tag(AUDIO, time_ms, b"\xaf\x01" + number)]


class Server:
    """Takes links in a tenth of a second each, and breaks them.

    Args:
        breaks: By the frame at which a link breaks: the error, and how many links are refused afterwards.

    Attributes:
        last: The last frame that came.
        missed: Numbers of frames that did not come between two that did.
    """

    def __init__(self, breaks: dict[int, tuple[Exception, int]]) -> None:
        self._breaks, self._refusals, self._is_fresh = breaks, 0, True
        self.last = -1
        self.missed: list[int] = []

    async def open(self, _address: StreamAddress, _hosts: Sequence[str]) -> "Server":
        await asyncio.sleep(0.1)
        if self._refusals:
            self._refusals -= 1
            raise ConnectionRefusedError
        self._is_fresh = True
        return self

    async def send(self, tag: Tag) -> None:
        frame = int.from_bytes(tag.body[2:], "big")
        if frame in self._breaks:
            error, self._refusals = self._breaks.pop(frame)
            raise error
        assert not self._is_fresh or (tag.is_key and tag.time_ms == 0)
        self._is_fresh = False
        if frame > self.last + 1:
            self.missed.append(frame - self.last - 1)
        self.last = frame

    async def close(self) -> None:
        pass


def test_two_breaks_in_eight_hours_cost_the_viewer_less_than_two_seconds_each() -> None:
    # The links are back shortly after a key frame of the regular ones, so the next of these is the farthest.
    server, encode = (
        Server(
            {
                2 * HOUR + 45: (ConnectionResetError(), 0),
                6 * HOUR + 25: (StreamConnectionError("the server closed the connection"), 1),
            }
        ),
        Encode(),
    )
    states: list[str] = []

    async def resolve(_address: StreamAddress) -> list[str]:
        return ["127.0.0.1"]

    async def stream() -> tuple[int, int]:
        targets: Any = SimpleNamespace(resolve=resolve)
        destination = TagDestination(
            StreamAddress.parse("rtmp://127.0.0.1/live/key"),
            lambda one: states.append(one.state),
            targets=targets,
            open_link=server.open,
            headers=list,
            ask_key=encode.ask_key,
        )
        destination.start()
        deepest = 0
        while encode.frame < HOURS * HOUR:
            for _ in range(AT_ONCE):
                for tag in encode.tags():
                    destination.take(tag)
            deepest = max(deepest, destination.queue_depth)
            await asyncio.sleep(AT_ONCE / FRAME_RATE_HZ)
        await destination.close()
        return deepest, destination.links

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        deepest, links = runner.run(stream())
    assert links == 3
    assert deepest < MOST_TAGS / 10
    assert states.count("waiting") == 3, "one of them after a refusal"
    began, *missed = server.missed
    assert began <= FRAME_RATE_HZ
    assert len(missed) == 2
    assert max(missed) <= 2 * FRAME_RATE_HZ
    print(f"missed: {[frames / FRAME_RATE_HZ for frames in missed]} s")
    assert server.last == HOURS * HOUR - 1
