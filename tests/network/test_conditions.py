"""Loss, bursts, jitter and narrow links between the server and a real browser: goals M5, M6, M9 and M10.

``LONG=1`` watches once, for longer, under more conditions, and asserts the goals of docs/RELIABILITY.md. The short form
has several looks of a few seconds, since a slow machine finds the right bitrate later: one of them must be good.
"""

from collections.abc import Callable

import pytest

from tests.network.conditions import Conditions
from tests.network.watched import LONG, Stretch, Watched

pytestmark = [pytest.mark.needs("chromium", "namespaces", "recorded speech"), pytest.mark.timeout(900)]

LOOKS, WATCH_S, SETTLE_S = (1, 30, 5) if LONG else (8, 5, 2)
BACK = Conditions(delay_s=0.04)


def only_long(*values: object) -> object:
    return pytest.param(*values, marks=pytest.mark.skipif(not LONG, reason="LONG=1 only"))


def watch(
    call: Watched,
    name: str,
    good: Callable[[Stretch], bool],
    to_client: Conditions,
    to_server: Conditions = BACK,
    *,
    watch_s: float = WATCH_S,
) -> None:
    call.link.set(to_client, to_server)
    call.sleep(SETTLE_S)
    looks: list[Stretch] = []
    while len(looks) < LOOKS:
        looks.append(call.stretch(watch_s))
        print(f"\n{name}: {looks[-1]}")
        if good(looks[-1]):
            return
    raise AssertionError(f"{name}: none of {LOOKS} is good\n" + "\n".join(map(str, looks)))


def test_a_clean_link_has_neither_freezes_nor_made_up_sound(call: Watched) -> None:
    def good(found: Stretch) -> bool:
        assert found.key_frames == found.key_frames_wanted, "no key frame without a request"
        return found.freezes == 0 and found.concealed_share <= 0.001 and found.lost_share == 0

    watch(call, "clean", good, Conditions(), Conditions())
    sent = call.server_figures()["peer"]["video"]
    print(f"M9: target {sent['target_bitrate'] / 1000:.0f} kbit/s")


@pytest.mark.parametrize(
    ("loss", "frozen", "concealed"), [(0.05, 0.04, 0.025), only_long(0.02, 0.02, 0.02), only_long(0.1, 0.06, 0.05)]
)
def test_lost_packets_cost_little(call: Watched, loss: float, frozen: float, concealed: float) -> None:
    def good(found: Stretch) -> bool:
        # A link that has just become longer is taken for a full one for some seconds: fewer frames are encoded in them.
        pictures = found.pictures / found.seconds > (23 if LONG else 11)
        made_up = found.concealed_share <= (concealed if LONG else 2 * concealed)
        return pictures and made_up and found.sent_again > 0 and found.frozen_share <= frozen

    watch(call, f"{loss:.0%} lost, RTT 80 ms", good, Conditions(delay_s=0.04, loss=loss))


@pytest.mark.skipif(not LONG, reason="LONG=1 only")
def test_bursts_and_jitter_are_survived(call: Watched) -> None:
    bursts = Conditions(delay_s=0.04, burst=(0.01, 0.3, 0.9))
    watch(call, "bursts of 3 %", lambda found: found.frozen_share <= 0.05, bursts)
    jitter = Conditions(delay_s=0.04, jitter_s=0.02)
    watch(call, "jitter 20 ms", lambda found: found.frozen_share <= 0.02, jitter, jitter)


@pytest.mark.skipif(not LONG, reason="LONG=1 only")
@pytest.mark.parametrize(("loss", "freezes", "frozen"), [(0.05, 1, 0.01), (0.1, 3, 0.03)])
def test_loss_in_both_directions_is_survived(call: Watched, loss: float, freezes: int, frozen: float) -> None:
    def good(found: Stretch) -> bool:
        return found.frozen_share <= frozen and found.freezes <= freezes

    lossy = Conditions(delay_s=0.04, loss=loss)
    name = f"{loss:.0%} lost each way, RTT 80 ms"
    watch(call, name, good, lossy, lossy, watch_s=60)


def test_a_narrow_link_is_not_overfilled(call: Watched) -> None:
    def good(found: Stretch) -> bool:
        whole = found.lost_share <= 0.01 and found.concealed_share <= 0.01
        return whole and found.video_bps <= 380_000 and found.longest_gap_s <= 0.5

    watch(call, "400 kbit/s", good, Conditions(delay_s=0.02, rate_bps=400_000), Conditions(delay_s=0.02))


def test_on_a_very_narrow_link_the_sound_stays_whole(call: Watched) -> None:
    def good(found: Stretch) -> bool:
        return found.concealed_share <= 0.01 and found.pictures > 0

    watch(call, "150 kbit/s", good, Conditions(delay_s=0.02, rate_bps=150_000), Conditions(delay_s=0.02))
    target = call.server_figures()["peer"]["video"]["target_bitrate"]
    print(f"M10: target {target / 1000:.0f} kbit/s")


def test_a_microphone_that_loses_packets_stays_prompt(call: Watched) -> None:
    call.link.set(Conditions(), Conditions(loss=0.05))
    call.sleep(SETTLE_S)
    before, counted = call.server_figures(), call.link.counts()[0]
    call.sleep(WATCH_S)
    after, counts = call.server_figures(), call.link.counts()[0]
    sound = WATCH_S * 48_000
    grown = {name: after["source"][name] - before["source"][name] for name in ("filled", "dropped")}
    unused = after["peer"]["microphone_dropped"] - before["peer"]["microphone_dropped"]
    lost = counts["dropped"] - counted["dropped"]
    latency_ms = after["mouth_latency_ms"]["p95"]
    print(
        f"\nM7: {lost} packets lost on the way, {unused} unused of {50 * WATCH_S}; "
        f"{grown['filled'] / sound:.2%} filled, {grown['dropped'] / sound:.2%} of the sound thrown away; "
        f"mouth latency p95 {latency_ms:.0f} ms"
    )
    assert lost > 0
    assert grown["filled"] > 0
    assert unused <= 0.03 * 50 * WATCH_S
    assert grown["dropped"] <= 0.03 * sound
