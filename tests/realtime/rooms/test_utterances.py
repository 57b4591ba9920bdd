from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.rooms.utterances import Finished, Started, Utterance, Utterances


def begun(utterances: Utterances, at: int, samples: int | None) -> Utterance:
    one = utterances.open()
    one.first = at
    one.end = None if samples is None else at + samples
    return one


def test_an_utterance_is_reported_when_it_begins_and_when_it_has_been_heard() -> None:
    utterances = Utterances()
    begun(utterances, 100, 480)
    assert utterances.heard(100) == []
    assert utterances.heard(101) == [Started()]
    assert utterances.heard(579) == []
    assert utterances.heard(580) == [Finished(480, interrupted=False)]
    assert utterances.heard(900) == []


def test_what_follows_without_a_gap_is_reported_one_by_one() -> None:
    utterances = Utterances()
    begun(utterances, 0, 100)
    begun(utterances, 100, 50)
    finished = [Finished(100, interrupted=False), Finished(50, interrupted=False)]
    assert utterances.heard(150) == [Started(), finished[0], Started(), finished[1]]


def test_an_empty_utterance_ends_without_having_begun() -> None:
    utterances = Utterances()
    begun(utterances, 7, 0)
    assert utterances.heard(7) == [Finished(0, interrupted=False)]


def test_an_interruption_ends_all_and_says_how_much_was_heard() -> None:
    utterances = Utterances()
    begun(utterances, 0, 100)
    begun(utterances, 100, None)
    utterances.open()
    cut = [Finished(20, interrupted=True), Finished(0, interrupted=True)]
    assert utterances.cut(120) == [Started(), Finished(100, interrupted=False), Started(), *cut]
    assert utterances.cut(130) == []


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("speak"), st.integers(0, 3000)),
            st.tuples(st.just("hear"), st.integers(0, 2000)),
            st.tuples(st.just("cut"), st.integers(0, 2000)),
        )
    )
)
def test_every_utterance_is_finished_once_and_all_that_is_heard_is_counted(steps: list[tuple[str, int]]) -> None:
    utterances, reports = Utterances(), []
    opened = end = heard = 0  # positions as the queue of a program counts them
    for step, number in steps:
        if step == "speak":
            begun(utterances, end, number)
            opened, end = opened + 1, end + number
            continue
        heard = min(end, heard + number)
        reports += utterances.heard(heard) if step == "hear" else utterances.cut(heard)
        if step == "cut":
            end = heard  # what was not heard is dropped
    reports += utterances.heard(end)
    finished = [report for report in reports if isinstance(report, Finished)]
    assert len(finished) == opened
    assert sum(report.samples for report in finished) == end
    for before, report in zip([None, *reports], reports, strict=False):
        if isinstance(report, Finished):
            assert isinstance(before, Started) == (report.samples > 0)
