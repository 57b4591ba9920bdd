import json
import logging

import pytest

from lipstream.realtime.log_format import AuditLines, Bounds, JsonLines, TextLines
from lipstream.realtime.server.audit import BURST, PER_SECOND, REFUSED, REFUSED_BURST, Audit


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [json.loads(record.getMessage()) for record in caplog.records]


def test_a_line_is_an_object_that_holds_what_is_known(caplog: pytest.LogCaptureFixture) -> None:
    Audit().note("session_began", session="abcdefghij", key="", token="t", address="192.0.2.1", seconds=0.0, to=None)
    (line,) = lines(caplog)
    assert line.pop("time")
    assert line == {
        "audit": "session_began", "session": "abcdef", "token": "t", "address": "192.0.2.1", "seconds": 0.0
    }  # fmt: skip


def test_long_facts_are_cut_and_line_ends_stay_inside(caplog: pytest.LogCaptureFixture) -> None:
    Audit().note("token_signed", label="a\nb" * 1000)
    assert "\n" not in caplog.records[0].getMessage()
    assert len(caplog.records[0].getMessage()) < 400


def test_lines_are_bounded_and_those_left_out_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    now_s = [0.0]
    audit = Audit(lambda: now_s[0])
    for action, burst in (("session_began", BURST), (REFUSED, REFUSED_BURST)):
        caplog.clear()
        for _ in range(burst + 50):
            audit.note(action)
        assert len(lines(caplog)) == burst
    audit.note("token_revoked")
    assert lines(caplog)[-1]["audit"] == "token_revoked", "a flood of one action hides no other"
    now_s[0] = 1 / PER_SECOND
    audit.note("session_began")
    assert lines(caplog)[-1]["left_out"] == 50


@pytest.mark.parametrize("others", [TextLines(), JsonLines()])
def test_it_is_written_as_it_is_whatever_the_log_is(
    caplog: pytest.LogCaptureFixture, others: logging.Formatter
) -> None:
    Audit().note("session_began", key="obs")
    (record,) = caplog.records
    assert json.loads(AuditLines(others).format(record))["key"] == "obs"
    bounds = Bounds(lambda: 0.0)
    assert all(bounds.filter(record) for _ in range(1000))
    assert record.levelno == logging.INFO
