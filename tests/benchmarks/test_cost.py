"""The cost model follows the measured figures and its prices."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.cost import Prices, SessionLoad, _prices, cost, measured_load
from lipstream.realtime.errors import SettingsError

ROWS = [
    {"who": who, "sessions": sessions, "loop CPU %": each * sessions, "threads CPU %": 0.0, "kbit/s": 800}
    | {"pictures CPU %": sessions * 2.0, "worker CPU %": 0.0, "fps min": rate}
    for who, sessions, each, rate in (
        ("speaking", 1, 20.0, 25.0),
        ("speaking", 8, 8.0, 24.9),
        ("speaking", 16, 4.0, 15.2),
        ("idle", 16, 2.0, 25.0),
    )
]


def test_the_largest_numbers_that_got_all_pictures_count() -> None:
    assert measured_load(ROWS) == SessionLoad(speaking_core=0.1, idle_core=0.04, loop_core=0.08, kbit_s=800)


@pytest.mark.parametrize("kept", [ROWS[:3], ROWS[2:]])
def test_a_run_without_such_numbers_gives_no_cost(kept: list[dict[str, Any]]) -> None:
    with pytest.raises(SettingsError, match="run it whole"):
        measured_load(kept)


def test_a_row_follows_from_load_and_prices() -> None:
    prices = Prices(core_hour=0.1, gigabyte=0.05, core_watts=10, fill=0.5, speaking_share=1)
    assert cost(2, SessionLoad(0.1, 0.04, 0.08, 800), prices) == {
        "cores": 2,
        "sessions": 10,
        "servers": 2,
        "Mbit/s out": 8.0,
        "W a session": 1.0,
        "GB an hour": 0.36,
        "processor an hour": 0.02,
        "traffic an hour": 0.018,
        "session-hour": 0.038,
    }


@given(st.floats(0, 1), st.floats(0, 1))
def test_more_speech_is_never_cheaper(less: float, more: float) -> None:
    less, more = sorted((less, more))
    load = SessionLoad(0.1, 0.04, 0.08, 800)
    assert load.core(less) <= load.core(more)


def test_a_machine_too_small_for_one_session_has_no_price() -> None:
    row = cost(1, SessionLoad(2.0, 1.0, 0.5, 800), Prices())
    assert row["sessions"] == 0
    assert row["session-hour"] is None


@pytest.mark.parametrize(
    ("name", "text"), [("CORE_HOUR", "dear"), ("FILL", "0"), ("FILL", "1.1"), ("GB", "-1"), ("GB", "nan")]
)
def test_a_price_that_is_none_is_refused(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(SettingsError, match=name):
        _prices()
