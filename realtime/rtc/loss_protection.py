"""Decides when pictures are sent twice: on a long lossy link it takes too long to ask for what was lost.

A lost packet is there after a round trip, a picture that waits for it is hardly late. If the request or its answer is
lost too, the receiver asks again one round trip later. At 5 % loss each way and a round trip of 80 ms every tenth
repair needs a second request and every hundredth a third; with four packets a picture that is three freezes a minute.
A second copy that comes unasked leaves the square of the loss to be asked for.

The copies cost no more than the link carries: pictures are encoded at half of the bitrate. That takes 2 dB of 45 from
a talking head (``python -m benchmarks encoders``), and fewer packets can be lost.
"""

from lipstream.realtime.encoding.rate_control import RateControl

BEGIN_LOSS, END_LOSS = 0.03, 0.01
"""Least mean loss at which sending twice begins, and the loss below which it ends."""
LEAST_ROUND_TRIP_S = 0.05
"""With a shorter round trip three requests take less time than a freeze."""
BEGIN_SHARE, END_SHARE = 2 / 3, 1 / 2
"""Shares of the picture's usual bitrate that a link must carry; half of less would look worse than a short freeze."""
LEAST_S = 10.0
"""Least time from a begin to an end: VP8 pays for each with a key frame."""
COPIES = 2


class LossProtection:
    """The protection of one receiver's pictures.

    Attributes:
        active: Whether pictures are sent twice.
    """

    def __init__(self) -> None:
        self.active = False
        self._begun_s = float("-inf")

    def update(self, rate: RateControl, *, round_trip_s: float | None, now_s: float) -> None:
        """Decide by the receiver's last report.

        Args:
            rate: The receiver's rate control, which has taken the report.
            round_trip_s: Mean round trip, s; ``None`` before it is measured.
            now_s: Monotonic time, s.
        """
        if rate.target is None or rate.usual is None or round_trip_s is None:
            return
        if not self.active:
            noisy = rate.loss >= BEGIN_LOSS and not rate.is_queueing(now_s)  # copies help no link that is full
            self.active = noisy and round_trip_s >= LEAST_ROUND_TRIP_S and rate.target >= BEGIN_SHARE * rate.usual
            if self.active:
                self._begun_s = now_s
        elif rate.target < END_SHARE * rate.usual or (rate.loss < END_LOSS and now_s - self._begun_s >= LEAST_S):
            self.active = False

    def encode_bitrate(self, target: int | None) -> int | None:
        """Return the bitrate to encode at on a link that carries ``target``, bit/s."""
        return target // COPIES if self.active and target is not None else target

    def covers(self, bitrate: int, target: int | None) -> bool:
        """Return whether there is room for a second copy of a picture.

        Others may have chosen the bitrate of a shared encode.

        Args:
            bitrate: Target bitrate of the picture's encode, bit/s.
            target: Bitrate that the link carries, bit/s; ``None`` before the first picture.
        """
        return self.active and target is not None and COPIES * bitrate <= target
