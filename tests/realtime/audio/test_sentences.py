"""Text into sentences: nothing lost, nothing cut that belongs together."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.audio.sentences import clean_text, split_sentences

texts = st.text(st.one_of(st.characters(), st.sampled_from(" .!?…,;\n\"'()aB1")), max_size=300)


def bare(text: str) -> str:
    return "".join(char for char in text if char.isalnum())


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Dr. Smith paid 3.50 to Mr. J. R. Jones. He left.", ["Dr. Smith paid 3.50 to Mr. J. R. Jones.", "He left."]),
        ("See example.org, e.g. The Page. Done.", ["See example.org, e.g. The Page.", "Done."]),
        ("It is No. 5. No. That is it.", ["It is No. 5.", "No.", "That is it."]),
        ("1. Apples. 2. Pears.", ["1. Apples.", "2. Pears."]),
        ('He said "Go." Then he went.', ['He said "Go."', "Then he went."]),
        ("Well... perhaps. Wait… what?", ["Well... perhaps.", "Wait… what?"]),
        ("So did I. You too.", ["So did I.", "You too."]),
        ("你好。再见！", ["你好。", "再见！"]),
        ("Yes . . . No", ["Yes . . .", "No"]),
        ("... !!", []),
        ("", []),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


def test_a_heading_ends_where_an_empty_line_follows() -> None:
    assert split_sentences(clean_text("A heading\n\nThe text\ngoes on.\x00")) == ["A heading.", "The text goes on."]


def test_a_long_sentence_is_cut_at_a_comma_then_between_words_then_anywhere() -> None:
    assert split_sentences("one two, three four five", longest=14) == ["one two,", "three four", "five"]
    assert split_sentences("x" * 25, longest=10) == ["x" * 10, "x" * 10, "x" * 5]


@given(texts, st.integers(1, 60))
def test_every_letter_is_said_once_and_in_order(text: str, longest: int) -> None:
    clean = clean_text(text)
    pieces = split_sentences(clean, longest=longest)
    assert bare("".join(pieces)) == bare(clean)
    assert all(1 <= len(piece) <= longest and bare(piece) and piece == piece.strip() for piece in pieces)


@given(texts)
def test_cleaning_is_done_once_and_gives_one_line(text: str) -> None:
    clean = clean_text(text)
    assert clean_text(clean) == clean
    assert "\n" not in clean
    clean.encode()


@given(st.integers(0, 999), st.integers(0, 999))
def test_decimals_are_kept_whole(whole: int, part: int) -> None:
    assert split_sentences(f"It is {whole}.{part} Volts. Next.") == [f"It is {whole}.{part} Volts.", "Next."]


HOSTILE = {
    "initials after a quote": lambda n: "a" * n + '"' + " A." * n,
    "stops": lambda n: "." * n,
    "initials": lambda n: "A. " * n,
    "ideographic stops": lambda n: "。" * n,
    "a row of quotes": lambda n: "." + "'" * n + "x",
    "stops that say nothing": lambda n: "a. " + "! " * n,
    "list numbers": lambda n: "1. " * n,
    "abbreviations": lambda n: "e.g. " * n,
    "dots in a word": lambda n: "a." * n,
    "one word": lambda n: "a" * n,
    "clauses": lambda n: "a, " * n,
    "blank lines": lambda n: "a \n \n" * n,
    "blanks": lambda n: "a" + " " * n,
    "line ends": lambda n: "a" + "\n" * n,
}


def least_time_s(text: str) -> float:
    """Return the processor time of the quickest of some runs: the others were disturbed."""
    times = []
    for _ in range(5):
        begun_s = time.thread_time()
        split_sentences(clean_text(text))
        times.append(time.thread_time() - begun_s)
    return min(times)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_time_grows_with_the_text_and_no_faster(text: Callable[[int], str]) -> None:
    """Four times the text takes four times the time; where it grew with the square it would be sixteen times."""
    assert least_time_s(text(16_000)) < 9 * least_time_s(text(4_000))
