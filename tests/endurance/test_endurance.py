"""The short forms of ``make soak``: what grows in half a minute is found here, what takes an hour there."""

import numpy as np

from benchmarks.cycles import FREED_S, NOTICED_S, cycled
from benchmarks.soak import SESSIONS, soaked

OFFSET_MS = 10.0
PATIENCE = 2
"""With a machine that has other work; what it is on a quiet one is in docs/RELIABILITY.md."""


async def test_four_sessions_over_a_bad_link_leave_the_server_as_it_is() -> None:
    soak = await soaked(11.0, parts=2, listen_s=8.0)
    first, last = soak.parts
    assert soak.log == []
    assert first.connected == last.connected == SESSIONS
    for what in ("threads", "descriptors", "tasks", "worker_pid"):
        assert last.look[what] == first.look[what], what
    assert last.look["rss_mb"] < first.look["rss_mb"] + 30
    for part in soak.parts:
        assert len(part.offsets_ms) >= 5
        assert np.percentile(np.abs(part.offsets_ms), 95) <= OFFSET_MS


async def test_calls_one_after_another_leave_nothing_behind() -> None:
    found = await cycled(40, warm_up=10, unfinished=0, vanished=2)
    assert found.log == []
    for what in ("threads", "descriptors", "tasks"):
        assert found.grown(what) == 0, what
    assert found.grown("rss_mb") < 40
    print(f"R-3: vanished clients noticed after {max(found.noticed_s):.1f} s, all free {found.freed_s:.2f} s later")
    assert max(found.noticed_s) < PATIENCE * NOTICED_S
    assert found.freed_s < PATIENCE * FREED_S
