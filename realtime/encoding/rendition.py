"""Decides for one codec at which bitrate pictures are encoded, how many of them, and when a key frame is due."""

import statistics
from collections.abc import Sequence

from lipstream.realtime.encoding.encoded_unit import Subscriber
from lipstream.realtime.encoding.picture_backend import Encoded, EncodeRequest

KEY_FRAME_INTERVAL_S = 0.5
FEWER_BELOW = ((80_000, 3), (150_000, 2))
"""Below such a bitrate every third or second frame is encoded: few sharp pictures look better than many blurred
ones."""


class Rendition:
    """The encode decisions for one codec.

    Args:
        codec: MIME type, such as ``video/vp8``.
    """

    def __init__(self, codec: str) -> None:
        self.codec = codec
        self._every = 1
        self._keys = KeyFrames()

    def request(self, subscribers: Sequence[Subscriber], now_s: float) -> EncodeRequest:
        """Return the request for the next picture.

        The bitrate is the leading subscriber's. Without one it is the lower median of all subscribers' bitrates.
        """
        known = [subscriber.bitrate for subscriber in subscribers if subscriber.leads] or [
            subscriber.bitrate for subscriber in subscribers
        ]
        rates = [rate for rate in known if rate is not None]
        bitrate = statistics.median_low(rates) if rates else None
        if bitrate is not None:
            self._every = next((every for below, every in FEWER_BELOW if bitrate < below), 1)
        key = self._keys.due(now_s) and any(subscriber.wants_key(now_s) for subscriber in subscribers)
        return EncodeRequest(self.codec, bitrate, key, self._every)

    def note(self, picture: Encoded, now_s: float) -> None:
        """Take note of an encoded picture: a key frame delays the next one."""
        if picture.key:
            self._keys.count(sum(map(len, picture.payloads)), picture.bitrate, now_s)


class KeyFrames:
    """Limits how soon one key frame may follow another."""

    def __init__(self) -> None:
        self._next_s = float("-inf")

    def due(self, now_s: float) -> bool:
        """Return whether a key frame may be made now; an earlier request stays pending."""
        return now_s >= self._next_s

    def count(self, size_bytes: int, target_bitrate: int, now_s: float) -> None:
        """Record a key frame.

        Key frames may use half of the bitrate; more would be lost on a narrow link and asked for again.
        """
        self._next_s = now_s + max(KEY_FRAME_INTERVAL_S, 2 * 8 * size_bytes / target_bitrate)
