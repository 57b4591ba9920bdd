import logging
import time

from lipstream.realtime.log_format import LIKE_BURST, LIKE_PER_S, LOGGER_BURST, LOGGER_PER_S, Bounds


class Written(logging.Handler):
    """Keeps what passes the bounds, on a clock of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.lines: list[str] = []
        self.addFilter(Bounds(lambda: self.now_s))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def log(self, name: str, message: str, *args: object, level: int = logging.WARNING) -> None:
        self.handle(logging.LogRecord(name, level, "", 0, message, args, None))


def test_lines_that_are_alike_come_seldom_and_the_next_says_how_many_there_were() -> None:
    written = Written()
    for number in range(1000):
        written.log("a", "request %d failed", number)
    assert written.lines == [f"request {number} failed" for number in range(LIKE_BURST)]
    written.log("a", "something else")
    written.log("b", "request %d failed", 7)
    assert written.lines[LIKE_BURST:] == ["something else", "request 7 failed"]
    written.now_s = 10.0
    written.log("a", "100 %% of %s", "it")
    written.log("a", "request %d failed", 2000)
    assert written.lines[-2:] == ["100 % of it", f"request 2000 failed (and {1000 - LIKE_BURST} like it before)"]
    written.log("a", "request %d failed", 2001)
    assert written.lines[-1] == "request 2001 failed"


def test_a_logger_that_never_says_the_same_twice_is_bounded_too() -> None:
    written = Written()
    seconds = 60
    for number in range(20_000):
        written.now_s = number * seconds / 20_000
        written.log("asyncio", f"Exception in callback <{number}>")
    assert len(written.lines) <= LOGGER_BURST + LOGGER_PER_S * seconds
    assert any("like it before" in line for line in written.lines)


def test_a_flood_is_far_below_ten_lines_a_second() -> None:
    written = Written()
    for number in range(10_000):
        written.now_s = number / 1000
        written.log("asyncio", "socket.accept() out of system resource", level=logging.ERROR)
    assert len(written.lines) <= LIKE_BURST + LIKE_PER_S * 10


def test_what_is_asked_for_passes() -> None:
    written = Written()
    for number in range(1000):
        written.log("a", "step %d", number, level=logging.DEBUG)
    assert len(written.lines) == 1000


def test_bounds_use_a_clock_that_cannot_be_set() -> None:
    assert Bounds()._clock is time.monotonic
