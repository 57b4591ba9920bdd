"""One parser for what clients ask, and one place that does it."""

import json

import pytest

from lipstream.realtime.errors import BadRequestError
from lipstream.realtime.wire.control_messages import MAX_CONTROL_BYTES, parse_control
from lipstream.realtime.wire.events import error_event


@pytest.mark.parametrize(
    "message",
    [{"type": "interrupt"}, {"type": "end_of_speech"}, {"type": "end_of_turn"}, {"type": "say", "text": "Hello."}],
)
def test_each_message_is_read_and_what_it_does_not_need_is_left_out(message: dict[str, str]) -> None:
    assert parse_control(json.dumps({**message, "more": [1, {"deep": None}]})) == message


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b'{"type": "interrupt"}', "is text"),
        ("", "not JSON"),
        ('{"type": "say", "text": NaN}', "not JSON"),
        ("[" * 2000, "not JSON"),
        ('["interrupt"]', "JSON object"),
        (json.dumps({"type": "say", "text": "x" * MAX_CONTROL_BYTES}), "at most 4096 bytes"),
        ("{}", "type None is not known here"),
        ('{"type": "stop"}', "type 'stop' is not known here"),
        ('{"type": {}}', "type {} is not known here"),
        ('{"type": "say"}', "say needs a text"),
        ('{"type": "say", "text": 7}', "say needs a text"),
    ],
)
def test_what_is_no_message_is_refused(message: object, why: str) -> None:
    with pytest.raises(BadRequestError, match=why):
        parse_control(message)


def test_an_error_has_a_code_only_if_it_is_given_one() -> None:
    assert error_event("no") == {"type": "error", "message": "no"}
    assert list(error_event("no", code="not_said").items()) == [
        ("type", "error"), ("code", "not_said"), ("message", "no")]  # fmt: skip
