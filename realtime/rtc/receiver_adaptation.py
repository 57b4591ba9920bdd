"""Adapts shared pictures to one receiver: pictures pass from a key frame on, while the receiver's link carries them.

One encode cannot suit every link. Its bitrate is that of the leading receiver (the speaking peer), or without one the
median of all. A receiver below it gets key frames and sound only, until the next attempt.
"""

from lipstream.realtime.encoding.rate_control import RateControl

FOLLOW_SHARE = 0.7
"""A link that carries less than this share of the encode's bitrate cannot follow."""
ASK_INTERVAL_S = 3.0
"""Least time between key frames for a watcher: each one costs all receivers sharpness."""
FIRST_REST_S, LONGEST_REST_S = 3.0, 30.0
"""Time with key frames alone before the next attempt; doubled with each failure."""
THINNED_INTERVAL_S = 2.0
"""Time between key frames on a link that carries no more."""


class ReceiverAdaptation:
    """Decides which pictures one receiver gets.

    Attributes:
        key_frames: Number of key frames passed to the receiver.
    """

    def __init__(self, *, leads: bool) -> None:
        self.rate = RateControl()
        self.leads = leads
        self.key_frames = 0
        self._has_key = False
        self._asked = False
        self._next_ask_s = self._key_passed_s = self._resumed_s = float("-inf")
        self._rests_until_s: float | None = None
        self._rest_s = FIRST_REST_S

    @property
    def key_frames_only(self) -> bool:
        """Whether the receiver gets key frames alone, because its link is too slow."""
        return self._rests_until_s is not None

    def ask(self) -> None:
        """Note that the receiver needs a key frame, after a loss."""
        self._asked = True

    def wants_key(self, now_s: float) -> bool:
        """Return whether the next picture should be a key frame for this receiver.

        A new receiver gets one at once. A request too soon after the last one waits.
        """
        if self._rests_until_s is not None:
            return now_s >= self._rests_until_s
        return (self._asked or not self._has_key) and now_s >= self._next_ask_s

    def passes(self, *, key: bool, pixels: int, bitrate: int, now_s: float) -> bool:
        """Return whether a picture goes to this receiver, and record it.

        Args:
            pixels: Width times height of the picture, px.
            bitrate: Target bitrate of the encode, bit/s.
            now_s: Monotonic time, s.
        """
        self.rate.start(pixels)
        if key:
            return self._key_passes(bitrate, pixels, now_s)
        if not self._has_key or self.key_frames_only:
            return False
        if not self.leads:
            if (self.rate.target or 0) < FOLLOW_SHARE * bitrate:
                self._rests_until_s = now_s + self._rest_s
                self._rest_s = min(2 * self._rest_s, LONGEST_REST_S)
                return False
            self.rate.raise_to(bitrate, now_s)
            if now_s - self._resumed_s > LONGEST_REST_S:
                self._rest_s = FIRST_REST_S
        return True

    def _key_passes(self, bitrate: int, pixels: int, now_s: float) -> bool:
        if self._rests_until_s is not None:
            if now_s < self._rests_until_s:
                if now_s - self._key_passed_s < THINNED_INTERVAL_S:
                    return False
            else:
                self._rests_until_s, self._resumed_s = None, now_s
                self.rate = RateControl()
                self.rate.start(pixels)
        if not self.leads:
            self.rate.raise_to(bitrate, now_s)
            self._next_ask_s = now_s + ASK_INTERVAL_S
        self._has_key, self._asked, self._key_passed_s = True, False, now_s
        self.key_frames += 1
        return True
