"""Text into sentences: nothing lost, nothing cut that belongs together."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.audio.sentences import sentence_ends, split_sentences
from lipstream.realtime.audio.spoken_text import spoken_text

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
        ("यह एक है। वह दो है। क्या?", ["यह एक है।", "वह दो है।", "क्या?"]),
        ("এটি এক।ওটি দুই॥", ["এটি এক।", "ওটি দুই॥"]),
        ("ما الوقت؟ الظهر الآن.", ["ما الوقت؟", "الظهر الآن."]),
        ("یہ ایک ہے۔ وہ دو ہے۔", ["یہ ایک ہے۔", "وہ دو ہے۔"]),
        ("ሰላም። እንዴት ነህ፧ ደህና።", ["ሰላም።", "እንዴት ነህ፧", "ደህና።"]),
        ("မင်္ဂလာပါ။ နေကောင်းလား။", ["မင်္ဂလာပါ။", "နေကောင်းလား။"]),
        ("សួស្តី។ សុខសប្បាយទេ?", ["សួស្តី។", "សុខសប្បាយទេ?"]),
        ("བཀྲ་ཤིས།བདེ་ལེགས།", ["བཀྲ་ཤིས།", "བདེ་ལེགས།"]),
        ("Բարեւ։ Ինչպես ես։", ["Բարեւ։", "Ինչպես ես։"]),
        ("Τι ώρα είναι; Είναι μεσημέρι.", ["Τι ώρα είναι;", "Είναι μεσημέρι."]),
        ("Привет. Как дела?", ["Привет.", "Как дела?"]),
        ("今は正午です｡そうですか？はい！", ["今は正午です｡", "そうですか？", "はい！"]),
        ("שלום. מה השעה?", ["שלום.", "מה השעה?"]),
        ("One; two; three.", ["One; two; three."]),
        ("... !!", []),
        ("", []),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


def test_a_long_sentence_is_cut_at_a_comma_then_between_words_then_anywhere() -> None:
    assert split_sentences("one two, three four five", longest=14) == ["one two,", "three four", "five"]
    assert split_sentences("x" * 25, longest=10) == ["x" * 10, "x" * 10, "x" * 5]


@given(texts, st.integers(1, 60))
def test_every_letter_is_said_once_and_in_order(text: str, longest: int) -> None:
    clean = " ".join(text.split())
    pieces = split_sentences(clean, longest=longest)
    assert bare("".join(pieces)) == bare(clean)
    assert all(1 <= len(piece) <= longest and bare(piece) and piece == piece.strip() for piece in pieces)


@given(texts)
def test_ends_lie_in_order_behind_stops(text: str) -> None:
    ends = list(sentence_ends(text))
    assert ends == sorted(set(ends))
    assert all(0 < end <= len(text) and not text[end - 1].isalnum() for end in ends)


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
    "quotes": lambda n: "> " * n,
    "list marks": lambda n: "- " * n,
    "stars": lambda n: "a*" * n,
    "a row of stars": lambda n: "*" * n + "a",
    "brackets": lambda n: "[" * n,
    "links that do not end": lambda n: "[a](" * n,
    "titles that do not end": lambda n: '[a](b "' * n,
    "parentheses of a link": lambda n: "[a](" + "(b)" * n,
    "wiki links": lambda n: "[[a|" * n,
    "footnotes": lambda n: "[^a" * n,
    "citations": lambda n: "【" + "†" * n,
    "addresses": lambda n: "http://" * n,
    "addresses of stops": lambda n: "http://" + "." * n,
    "tags": lambda n: "<a " * n,
    "entities": lambda n: "&amp;" * n,
    "ampersands": lambda n: "&" * n,
    "pictures": lambda n: "👍 " * n,
    "joined pictures": lambda n: "👍\u200d" * n,
    "fences": lambda n: "```\n" * n,
    "table rows": lambda n: "|a|\n" * n,
    "pipes": lambda n: "|" * n,
    "commas": lambda n: ", " * n,
    "at signs": lambda n: "a_@" * n,
    "escapes": lambda n: "\\*" * n,
    "comments that do not end": lambda n: "<!--" * n,
    "comments": lambda n: "<!---->" * n,
    "closed tags": lambda n: "<a1></a1>" * n,
    "attributes": lambda n: "<x" + ' a="b"' * n,
    "dollars": lambda n: "$x" * n,
    "dollars apart": lambda n: "$x " * n,
    "formulas that do not end": lambda n: "\\(" * n,
    "formulas": lambda n: "\\(a\\)" * n,
    "fractions": lambda n: "$$" + "\\frac{" * n + "$$",
    "exponents": lambda n: "$$" + "^{a" * n + "$$",
    "references": lambda n: "[a][" * n,
    "tildes": lambda n: "~a" * n,
    "shortcodes": lambda n: ":a " * n,
    "closing marks": lambda n: "# a" + " #" * n,
    "schemes": lambda n: "a." * n + "://",
    "underscores in numbers": lambda n: "1_" * n,
}


def least_time_s(text: str) -> float:
    """Return the processor time of the quickest of some runs: the others were disturbed."""
    times = []
    for _ in range(3):
        begun_s = time.thread_time()
        split_sentences(spoken_text(text))
        times.append(time.thread_time() - begun_s)
    return min(times)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_time_grows_with_the_text_and_no_faster(text: Callable[[int], str]) -> None:
    """Four times the text takes four times the time; where it grew with the square it would be sixteen times."""
    assert least_time_s(text(8_000)) < 9 * least_time_s(text(2_000))
