import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.audio.jitter_buffer import JitterBuffer
from lipstream.realtime.audio.pcm_queue import PcmQueue
from lipstream.realtime.session.source_selector import SourceSelector
from lipstream.realtime.timeline import BLOCK_SOUND, SOUND_RATE_HZ

BLOCK = bytes(2 * BLOCK_SOUND)


def read(selector: SourceSelector, text: PcmQueue | None = None) -> JitterBuffer | PcmQueue:
    """Read a block as the timeline does; return its source."""
    source = selector.select(text)
    source.pull(0.0)
    if isinstance(source, PcmQueue):
        selector.note_read(source)
    return source


def test_text_goes_before_a_program_and_a_program_before_the_microphone() -> None:
    selector, text = SourceSelector(listens=False), PcmQueue(SOUND_RATE_HZ)
    assert read(selector) is selector.microphone
    program = selector.take_program(SOUND_RATE_HZ)
    assert read(selector) is program
    assert read(selector, text) is text
    assert read(selector) is program
    with pytest.raises(ValueError, match="not between"):
        selector.take_program(7_999)
    assert selector.program is program


@pytest.mark.parametrize("listens", [False, True])
def test_a_program_that_is_gone_is_heard_to_its_end(listens: bool) -> None:
    selector = SourceSelector(listens=listens)
    at_rest = selector.source
    assert (at_rest is selector.microphone) is not listens
    program = selector.take_program(SOUND_RATE_HZ)
    program.push(2 * BLOCK)
    selector.drop_program(program)
    assert [read(selector) for _ in range(3)] == [program, program, at_rest]


def test_one_that_was_taken_over_ends_no_turn_but_its_own() -> None:
    selector = SourceSelector(listens=False)
    first, second = (selector.take_program(SOUND_RATE_HZ) for _ in range(2))
    selector.drop_program(first)
    assert [read(selector) for _ in range(2)] == [second, second]


def test_what_a_microphone_said_behind_another_source_is_not_heard_later() -> None:
    selector, text = SourceSelector(listens=False), PcmQueue(SOUND_RATE_HZ)
    read(selector, text)
    selector.microphone.push(0, np.full(4 * BLOCK_SOUND, 0.5, np.float32), 0.0)
    assert read(selector) is selector.microphone
    assert not selector.microphone.level
    selector.microphone.push(4 * BLOCK_SOUND, np.full(4 * BLOCK_SOUND, 0.5, np.float32), 0.0)
    read(selector)
    assert selector.microphone.level, "while it is heard it is not cleared again"


def test_an_interruption_forgets_what_waits_and_what_was_not_heard() -> None:
    selector = SourceSelector(listens=False)
    assert selector.heard_ms(160) == 0
    program = selector.take_program(SOUND_RATE_HZ)
    program.push(5 * BLOCK)
    for block in (1, 2, 3):
        read(selector)
        program.note_block(160 * block)
    assert selector.heard_ms(320) == 20
    selector.cut(320)
    assert (program.level, selector.heard_ms(10_000)) == (0, 20)


@given(st.lists(st.sampled_from(["take", "drop", "push", "read", "text", "cut"]), max_size=60), st.booleans())
def test_whatever_happens_the_source_is_the_last_program_or_what_rests(steps: list[str], listens: bool) -> None:
    selector, text = SourceSelector(listens=listens), PcmQueue(SOUND_RATE_HZ)
    at_rest, program, dropped = selector.source, None, False
    for step in steps:
        if step == "take":
            program, dropped = selector.take_program(SOUND_RATE_HZ), False
        elif step == "drop" and program:
            selector.drop_program(program)
            dropped = True
        elif step == "push" and program:
            program.push(BLOCK)
        elif step == "read":
            assert read(selector) is (program or at_rest)
            if program and dropped and not program.level:
                program = None
        elif step == "text":
            assert read(selector, text) is text
        elif step == "cut":
            selector.cut(0)
        assert selector.source is (program or at_rest)
