"""Texts, control messages and names that once failed: spoken, answered or cleaned now."""

import json
from typing import Any

import pytest

from lipstream.realtime.api.plain_text import LONGEST_TEXT, one_line
from lipstream.realtime.audio.sentences import LONGEST, split_sentences
from lipstream.realtime.audio.spoken_text import spoken_text
from lipstream.realtime.errors import BadRequestError
from lipstream.realtime.wire.control_messages import parse_control
from lipstream.realtime.wire.events import error_event
from tests.fuzz.kept import joined, kept

LONGEST_REFUSAL = 200


def what_failed(row: dict[str, Any]) -> str:
    text: str = row["failed"]
    return text


@pytest.mark.parametrize("row", kept("texts"), ids=what_failed)
def test_a_text_is_split_whole(row: dict[str, Any]) -> None:
    text = spoken_text(joined(row["pieces"]))
    sentences = split_sentences(text)
    assert all(0 < len(sentence) <= LONGEST for sentence in sentences)
    letters = [char for char in text if char.isalnum()]
    assert [char for sentence in sentences for char in sentence if char.isalnum()] == letters
    "".join(sentences).encode()


@pytest.mark.parametrize("row", kept("messages"), ids=what_failed)
def test_a_message_is_read_or_refused_in_a_short_sentence(row: dict[str, Any]) -> None:
    refusal = ""
    try:
        parse_control(joined(row["pieces"]))
    except BadRequestError as error:
        refusal = json.dumps(error_event(error.message))
    assert len(refusal) < LONGEST_REFUSAL


@pytest.mark.parametrize("row", kept("names"), ids=what_failed)
def test_a_name_stands_on_one_line_and_changes_nothing_beside_it(row: dict[str, Any]) -> None:
    name = one_line(row["name"])
    assert name.isprintable()
    assert 0 < len(name) <= LONGEST_TEXT
    assert name.encode().decode() == name


def test_the_texts_of_every_language_stay_as_they_are() -> None:
    family, wants = "\U0001f469\u200d\U0001f467", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"  # with joiners
    for name in ("Zoë Müller-Nguyễn", "עדה", "李小龍", "नमस्ते", wants, family, "O'Neil (3 of 4)"):
        assert one_line(name) == name
    assert one_line("  two\twords  ") == "two words"
    assert len(one_line("x" * 1000)) == LONGEST_TEXT
