"""How one receiver follows pictures that it shares with others: from a key frame on, and only as long as it can.

One encode cannot suit every link. It suits the one that leads, the speaking peer's; where nobody leads, half of the
receivers. One that cannot follow gets key frames alone, and its sound, until it is tried again.
"""

from lipstream.realtime.encoding.rate_control import RateControl

FOLLOW_SHARE = 0.7
"""Of the shared bitrate: a link that carries less than this cannot follow."""
ASK_INTERVAL_S = 3.0
"""Between two key frames for one who only watches: they cost everybody else sharpness."""
FIRST_REST_S, LONGEST_REST_S = 3.0, 30.0
"""Without pictures, before the next attempt: doubled with each that fails."""
THINNED_INTERVAL_S = 2.0
"""Between two key frames on a link that carries no more."""


class ReceiverAdaptation:
    """The pictures that one receiver gets.

    Args:
        leads: Whether the encode follows this receiver instead.

    Attributes:
        rate: What its link carries.
        leads: As given.
        key_frames: That it was given.
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
        """Whether it gets key frames alone, because it cannot follow."""
        return self._rests_until_s is not None

    def ask(self) -> None:
        """Note that the receiver has lost its way and needs a key frame."""
        self._asked = True

    def wants_key(self, now_s: float) -> bool:
        """Tell whether the next picture should be a key frame for this receiver's sake.

        One that has just come is served at once. A request too soon after the last one waits.
        """
        if self._rests_until_s is not None:
            return now_s >= self._rests_until_s
        return (self._asked or not self._has_key) and now_s >= self._next_ask_s

    def passes(self, *, key: bool, pixels: int, bitrate: int, now_s: float) -> bool:
        """Tell whether a picture goes to this receiver, and count it if so.

        Args:
            key: Whether it can be decoded alone.
            pixels: Its size.
            bitrate: That it is encoded at, bit/s.
            now_s: Monotonic time.
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
