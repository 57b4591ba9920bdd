"""The types that the pages' scripts are checked against have the fields that the server sends."""

import re
from typing import Any

import pytest

from lipstream.realtime.wire import answers, session_answers
from tests.server_process import ROOT

TYPES = (ROOT / "web" / "types.d.ts").read_text()
PAIRS: dict[str, Any] = {
    "AvatarEntry": answers.AvatarListItem,
    "AvatarBuild": answers.AvatarBuildAnswer,
    "Connectivity": session_answers.ConnectivityAnswer,
    "Session": session_answers.SessionAnswer,
    "ListedSession": answers.SessionListItem,
    "SessionFigures": session_answers.SessionStats,
    "ErrorBody": answers.ErrorBody,
}


def fields(interface: str) -> dict[str, bool]:
    """Return the fields of an interface, and whether each is always there."""
    found = re.search(rf"^export interface {interface}\b[^{{]*{{\n(.*?)^}}", TYPES, re.MULTILINE | re.DOTALL)
    assert found, interface
    return {name: not mark for name, mark in re.findall(r"^  (\w+)(\??):", found[1], re.MULTILINE)}


@pytest.mark.parametrize("interface", PAIRS)
def test_each_field_is_sent_and_those_that_may_be_absent_say_so(interface: str) -> None:
    sent = PAIRS[interface]
    read = fields(interface)
    assert read
    assert read.keys() - sent.__annotations__.keys() == set()
    assert {name for name, is_there in read.items() if is_there} & sent.__optional_keys__ == set()
