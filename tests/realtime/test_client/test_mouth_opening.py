import numpy as np
import pytest

from lipstream.realtime.test_client.mouth_opening import half_open_s

PERIOD_S = 0.987


def film(
    onset_s: float, *, opening: float = 40.0, noise: float = 1.0, seconds: float = 20.0
) -> tuple[list[float], np.ndarray, np.ndarray]:
    """Return instants, and times and mouths of pictures in which a mouth opens in 80 ms, half way at ``onset_s``."""
    chance = np.random.default_rng(3)
    origins = [PERIOD_S * (n + 1) for n in range(int(seconds / PERIOD_S) - 1)]
    times = np.arange(0, seconds, 0.04)
    mouths = np.full((len(times), 12, 16), 100.0) + chance.normal(0, noise, (len(times), 12, 16))
    mouths += 10 * np.sin(times / 3)[:, None, None]  # the head moves
    for origin in origins:
        since = times - origin - onset_s
        share = np.clip((since + 0.04) / 0.08, 0, 1) * np.clip((0.36 - since) / 0.08, 0, 1)
        mouths[:, 4:8] += opening * share[:, None, None]
    return origins, times, np.clip(np.rint(mouths), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("onset_s", [-0.02, 0.0, 0.07, 0.2])
def test_the_moment_is_found_finer_than_a_picture(onset_s: float) -> None:
    # A picture stands for the 40 ms that follow it, so on average it shows what was half a picture ago.
    assert half_open_s(*film(onset_s)) == pytest.approx(onset_s, abs=0.015)


def test_a_mouth_that_does_not_open_is_not_found() -> None:
    assert half_open_s(*film(0.05, opening=0.0)) is None


def test_nothing_to_look_at_is_nothing_found() -> None:
    assert half_open_s([1.0], np.zeros(0), np.zeros((0, 1, 1), np.uint8)) is None
    assert half_open_s([], *film(0.0)[1:]) is None
