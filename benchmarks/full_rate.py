"""Which row of a run tells what a session takes: the largest number of sessions that got all of their pictures.

Starved sessions leave pictures out and so take less of the processor than they need.
"""

from collections.abc import Sequence
from typing import Any

from lipstream.realtime.timeline import FRAME_RATE_HZ

MOST_MISSED_HZ = 0.25
"""Pictures a second that a session with its full rate may lack."""


def has_full_rate(row: dict[str, Any]) -> bool:
    """Return whether each session of a row got its 25 pictures a second."""
    return bool(row["fps min"] > FRAME_RATE_HZ - MOST_MISSED_HZ)


def largest_at_full_rate(rows: Sequence[dict[str, Any]], who: str) -> dict[str, Any] | None:
    """Return the row with the most sessions of a kind that all got their pictures; ``None`` if no row has."""
    whole = [row for row in rows if row["who"] == who and has_full_rate(row)]
    return max(whole, key=lambda row: row["sessions"], default=None)
