"""The log's format: text or JSON, each line with its session, and limits against floods.

A session is named by the first six characters of its id: enough to find its lines, too few to address it. Spoken text,
tokens and keys are never logged.
"""

import contextlib
import contextvars
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator

from lipstream.realtime.rate_limit import RateLimit

OURS = "lipstream"
"""The logger that follows the chosen level, with all loggers below it.

Other libraries log from ``warning`` on, because some write whole packets below it."""
AUDIT = "lipstream.audit"
"""The logger of the audit log, whose lines are JSON objects already."""
NAME_LENGTH = 6
LIKE_BURST, LIKE_PER_S = 5, 0.5
"""Limit for similar lines: lines of one logger with the same text before its arguments are filled in."""
LOGGER_BURST, LOGGER_PER_S = 50, 2.0
"""Limit for all lines of one logger: asyncio's text about a failed callback differs each time."""
_KEPT_BACK_KINDS, _KIND_LENGTH = 1000, 300

_session: contextvars.ContextVar[str] = contextvars.ContextVar("session", default="")


@contextlib.contextmanager
def in_session(session_id: str) -> Iterator[None]:
    """Name a session in the log lines of this block and of the tasks that it starts."""
    token = _session.set(session_id[:NAME_LENGTH])
    try:
        yield
    finally:
        _session.reset(token)


def set_up(level: str, form: str) -> None:
    """Send the log to standard error.

    Args:
        level: Level of this project's loggers: ``debug``, ``info``, ``warning`` or ``error``.
        form: ``text`` or ``json``.
    """
    handler = logging.StreamHandler()
    handler.addFilter(_name_session)
    handler.addFilter(Bounds())
    handler.setFormatter(AuditLines(JsonLines() if form == "json" else TextLines()))
    logging.basicConfig(level=max(logging.WARNING, _number(level)), handlers=[handler], force=True)
    logging.getLogger(OURS).setLevel(_number(level))


class Bounds(logging.Filter):
    """Suppresses lines above a rate, so that no client can fill the disk; the next similar line tells their number.

    Lines of level ``debug`` always pass, and those of the audit log, which bounds itself.

    Args:
        clock: Returns the monotonic time, s.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._alike, self._loggers = RateLimit(LIKE_BURST, LIKE_PER_S), RateLimit(LOGGER_BURST, LOGGER_PER_S)
        self._kept_back: Counter[str] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write a line."""
        if record.levelno <= logging.DEBUG or record.name == AUDIT:
            return True
        now_s = self._clock()
        kind = f"{record.name}\n{record.msg}"[:_KIND_LENGTH]
        if self._alike.take(kind, now_s) or self._loggers.take(record.name, now_s):
            if kind not in self._kept_back and len(self._kept_back) >= _KEPT_BACK_KINDS:
                kind = record.name
            self._kept_back[kind] += 1
            return False
        if missing := self._kept_back.pop(kind, 0) + self._kept_back.pop(record.name, 0):
            record.msg, record.args = f"{record.getMessage()} (and {missing} like it before)", None
        return True


class AuditLines(logging.Formatter):
    """Passes on the lines of the audit log as they are; formats others with another formatter."""

    def __init__(self, others: logging.Formatter) -> None:
        super().__init__()
        self._others = others

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        return record.getMessage() if record.name == AUDIT else self._others.format(record)


class TextLines(logging.Formatter):
    """``time LEVEL logger: message``, with the session in brackets if there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(place)s%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        name = getattr(record, "session", "")
        record.place = f"[{name}] " if name else ""
        return super().format(record)


class JsonLines(logging.Formatter):
    """One JSON object per line: ``time`` (UTC), ``level``, ``logger``, ``session``, ``message``, ``exception``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "session": getattr(record, "session", "") or None,
            "message": record.getMessage(),
            "exception": self.formatException(record.exc_info) if record.exc_info else None,
        }
        return json.dumps({name: value for name, value in line.items() if value is not None}, ensure_ascii=False)


def _name_session(record: logging.LogRecord) -> bool:
    record.session = _session.get()
    return True


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]
