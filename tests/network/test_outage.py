"""The link goes away and comes back: goals R-1 and R-2, and a refresh meanwhile."""

import math
import statistics
import time
from collections.abc import Sequence

import pytest

from tests.network.watched import Watched

pytestmark = [pytest.mark.needs("chromium", "namespaces", "recorded speech"), pytest.mark.timeout(300)]

STATE = "document.documentElement.dataset.state"
SETTLE_S = 4
IN_SYNC_MS = (-125, 45)
"""How far sound may be ahead before a viewer notices: ITU-R BT.1359-1, detectability."""


def outage(call: Watched, seconds: float) -> float:
    """Cut the link for a while and return when it came back, by the page's clock."""
    call.link.cut()
    call.sleep(seconds)
    call.link.set()
    back_s: float = call.page.run("performance.now() / 1000")
    return back_s


def ages(shown: Sequence[tuple[float, float, int]], baseline: Sequence[tuple[float, float, int]]) -> list[float]:
    """Return how much later than usual each picture was shown, s."""
    usual_s = statistics.median(shown_s - sent_s for shown_s, sent_s, _ in baseline)
    return [shown_s - sent_s - usual_s for shown_s, sent_s, _ in shown]


def test_three_seconds_without_a_link_are_over_when_it_is_back(call: Watched) -> None:
    call.sleep(SETTLE_S)
    before = call.shown()[-50:]
    connection = before[-1][2]
    back_s = outage(call, 3)
    call.sleep(SETTLE_S)
    after = [entry for entry in call.shown() if entry[0] >= back_s]
    late_s = ages(after, before)
    offset_ms = -math.inf
    for _ in range(20):  # a browser needs new sender reports of both before it says, and goes back to sync in steps
        figures = call.stats()
        played_ms = [figures[kind].get("estimatedPlayoutTimestamp") for kind in ("audio", "video")]
        if None not in played_ms:
            offset_ms = played_ms[0] - played_ms[1]
        if IN_SYNC_MS[0] <= offset_ms <= IN_SYNC_MS[1]:
            break
        call.sleep(0.5)
    first_ms = 1000 * (after[0][0] - back_s)
    print(
        f"\nR-1: first picture {first_ms:.0f} ms after the link, oldest {1000 * max(late_s):.0f} ms late, "
        f"then {1000 * late_s[-1]:.0f} ms, sound ahead by {offset_ms:.0f} ms, {len(after)} pictures in {SETTLE_S} s"
    )
    assert {entry[2] for entry in after} == {connection}, "the same connection goes on"
    assert max(late_s) < 3, "nothing of the outage is shown"
    assert IN_SYNC_MS[0] <= offset_ms <= IN_SYNC_MS[1]


def test_a_long_outage_ends_in_the_same_session(call: Watched) -> None:
    call.sleep(2)
    session, connection = call.session(), call.shown()[-1][2]
    back_s = outage(call, 13)
    call.page.until(f"{STATE} === 'live' && window.connections.length > {connection}")
    call.page.until(f"window.shown.at(-1)[2] > {connection} && window.shown.at(-1)[0] > {back_s}")
    call.sleep(1)
    first_s = next(at_s for at_s, _, number in call.shown() if number > connection and at_s > back_s) - back_s
    print(f"\nR-2: first picture on the new connection {first_s:.2f} s after the link")
    assert call.session() == session
    assert call.created() == 1
    assert call.server_figures()["state"] == "live"


def test_a_refresh_in_an_outage_comes_back_to_its_own_seat(call: Watched) -> None:
    session = call.session()
    call.link.cut()
    call.page.call("Page.reload")
    time.sleep(2)
    call.link.set()
    call.page.call("Page.addScriptToEvaluateOnNewDocument", source=REASONS)
    call.start()
    assert call.session() == session
    assert call.created() == 1, "there was room for one, and it was kept"
    assert "full" not in call.page.run("window.reasons")


REASONS = """
window.reasons = [];
new MutationObserver(() => window.reasons.push(document.documentElement.dataset.reason))
  .observe(document, {subtree: true, attributes: true, attributeFilter: ['data-reason']});
"""
