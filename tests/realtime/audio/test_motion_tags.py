import string
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.audio.motion_tags import mark_motions, take_motions
from lipstream.realtime.audio.sentences import split_sentences
from lipstream.realtime.audio.spoken_text import spoken_text

MOTIONS = ("greet", "nod", "think-hard")


def said(text: str, motions: tuple[str, ...] = MOTIONS) -> list[tuple[str, tuple[str, ...]]]:
    marked = mark_motions(text, motions)
    return [take_motions(sentence, motions) for sentence in split_sentences(spoken_text(marked))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[greet] Good morning.", [("Good morning.", ("greet",))]),
        ("Good [nod]morning.", [("Good morning.", ("nod",))]),
        ("Hello. [greet] [nod] How are you?", [("Hello.", ()), ("How are you?", ("greet", "nod"))]),
        ("[think-hard]\n\n# Well\n\nLet me see.", [("Well.", ("think-hard",)), ("Let me see.", ())]),
        ("**[nod] Yes**, of course.", [("Yes, of course.", ("nod",))]),
        ("[nod](https://example.org) is a link.", [("nod is a link.", ())]),
        ("See [sic] and [dance] there.", [("See [sic] and [dance] there.", ())]),
        ("A [Greet] is no tag.", [("A [Greet] is no tag.", ())]),
    ],
)
def test_a_tag_is_taken_out_and_stays_with_its_sentence(text: str, expected: object) -> None:
    assert said(text) == expected


def test_without_motions_nothing_is_a_tag() -> None:
    assert said("[greet] Good morning.", ()) == [("[greet] Good morning.", ())]


@given(st.text(string.ascii_letters + " .[]\n\U000f0000\U000f0001", max_size=80))
def test_a_text_without_tags_is_said_as_it_is(text: str) -> None:
    plain = text.replace("\U000f0000", " ").replace("\U000f0001", " ")
    if not any(f"[{name}]" in plain for name in MOTIONS):
        assert said(text) == [(sentence, ()) for sentence in split_sentences(spoken_text(plain))]


HOSTILE: dict[str, Callable[[int], str]] = {
    "tags": lambda n: "[greet]" * n,
    "tags with words": lambda n: "[greet] a. " * n,
    "tags that do not end": lambda n: "[greet" * n,
    "tags in tags": lambda n: "[[greet]]" * n,
    "links": lambda n: "[greet](" * n,
    "marks": lambda n: "\U000f0000" * n,
    "brackets and blanks": lambda n: "[ " * n,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_time_grows_with_the_text_and_no_faster(text: Callable[[int], str]) -> None:
    """Four times the text takes four times the time; where it grew with the square it would be sixteen times."""

    def least_time_s(long: str) -> float:
        times = []
        for _ in range(3):
            begun_s = time.thread_time()
            said(long)
            times.append(time.thread_time() - begun_s)
        return min(times)

    assert least_time_s(text(4_000)) < 9 * least_time_s(text(1_000))
