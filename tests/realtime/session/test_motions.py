"""Motions of a whole session, in virtual time: what clients ask for, what texts ask for, and what they are told."""

import asyncio
from typing import Any

import pytest

from lipstream.avatar_cache.manifest import Manifest
from lipstream.avatar_cache.motion_graph import LISTENING, MOTION_WAIT_FRAMES, SPEAKING, WAIT_FRAMES, MotionGraph
from lipstream.realtime.audio.turn_detector import TurnDetector
from lipstream.realtime.errors import ConflictError, ForbiddenError, NotFoundError
from lipstream.realtime.session.grant import Grant
from lipstream.realtime.session.motion_player import MotionPlayer
from lipstream.realtime.timeline import SAMPLES_PER_FRAME
from lipstream.realtime.wire.control_messages import parse_control
from tests.avatar_cache.curves import manifest_of, person, planned
from tests.loopback.virtual import VirtualSession, one_clip
from tests.realtime.session.test_text_queue import Engine, advance, until
from tests.realtime.speech import voice


@pytest.fixture(scope="module")
def graph() -> MotionGraph:
    return planned(person())[0]


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    graph, looks = planned(person())
    return manifest_of("ann", graph, len(looks))


def told(virtual: VirtualSession) -> list[Any]:
    events: list[Any] = []
    virtual.session.listeners.add(events.append)
    return events


def motions_in(events: list[Any]) -> list[tuple[str, str]]:
    return [(event["type"], event["motion"]) for event in events if event["type"].startswith("motion_")]


def player(virtual: VirtualSession) -> MotionPlayer:
    choice = virtual.session.motions.choice
    assert isinstance(choice, MotionPlayer)
    return choice


def clips_shown(virtual: VirtualSession, graph: MotionGraph, frames: range) -> list[str]:
    """Return the clips of pictures that leave; empty for generated ones."""
    shown = [virtual.session.playout.picture(frame).clip_frame for frame in frames]
    return [
        next((c.name for c in graph.clips.values() if c.first <= frame < c.first + c.frames), "") for frame in shown
    ]


async def test_a_motion_that_is_asked_for_is_shown_in_time_and_told_of(manifest: Manifest) -> None:
    virtual = VirtualSession(manifest)
    events = told(virtual)
    await advance(virtual, 1.0)
    virtual.session.handle(parse_control('{"type": "motion", "name": "greet"}'))
    asked = player(virtual).next_frame * SAMPLES_PER_FRAME
    await advance(virtual, 4.0)
    assert motions_in(events) == [("motion_started", "greet"), ("motion_ended", "greet")]
    began, ended = (event["sample"] for event in events)
    assert asked <= began <= asked + MOTION_WAIT_FRAMES * SAMPLES_PER_FRAME
    assert 2.0 < (ended - began) / 16_000 < 3.0, "the clip is three seconds long"


async def test_the_picture_shows_what_was_decided(manifest: Manifest, graph: MotionGraph) -> None:
    virtual = VirtualSession(manifest)
    events = told(virtual)
    virtual.session.motions.ask("nod")
    shown: list[str] = []
    for frame in range(60):
        await advance(virtual, 0.04)
        shown += clips_shown(virtual, graph, range(frame, frame + 1))
    began = events[0]["sample"] // SAMPLES_PER_FRAME
    assert shown.index("nod") == began


async def test_speech_is_seen_in_a_clip_of_its_own_within_0_4_s(manifest: Manifest, graph: MotionGraph) -> None:
    virtual = VirtualSession(manifest)
    events = told(virtual)
    sound = voice(2.0, 48_000)
    virtual.run([(1.0 + n / 100, 48_000 + 480 * n, sound[480 * n : 480 * (n + 1)]) for n in range(200)], 3.0)
    began = next(event["sample"] for event in events if event["type"] == "speech_started") // SAMPLES_PER_FRAME
    shown = clips_shown(virtual, graph, range(began, began + 40))
    assert SPEAKING in shown[: WAIT_FRAMES[SPEAKING] + 1]
    assert virtual.session.playout.picture(began + 1).spoken >= 0, "the lips do not wait"
    assert virtual.spoken_frames > 40


async def test_whoever_listens_looks_so_and_thinks_when_there_is_a_motion_for_it(manifest: Manifest) -> None:
    virtual = VirtualSession(manifest)
    events = told(virtual)
    session = virtual.session
    await advance(virtual, 0.5)
    session.tell({"type": "listening", "sample": 8000})
    await advance(virtual, 1.0)
    assert player(virtual).clip == LISTENING
    session.tell({"type": "heard", "sample": 24_000})
    session.tell({"type": "thinking"})
    await advance(virtual, 1.0)
    assert motions_in(events) == [("motion_started", "think")]


async def test_a_conversation_greets_its_visitor_once(manifest: Manifest) -> None:
    virtual = VirtualSession(manifest, turns=TurnDetector(longest_samples=16_000 * 60))
    events = told(virtual)
    await advance(virtual, 6.0)
    assert motions_in(events) == [("motion_started", "greet"), ("motion_ended", "greet")]
    for options in ({"motions": "asked"}, {"turns": None}):
        other = VirtualSession(manifest, **({"turns": TurnDetector(longest_samples=16_000 * 60)} | options))
        others = told(other)
        await advance(other, 3.0)
        assert motions_in(others) == []


@pytest.mark.parametrize("mode", ["asked", "off"])
async def test_a_setting_keeps_the_clips_from_changing_by_themselves(manifest: Manifest, mode: str) -> None:
    virtual = VirtualSession(manifest, motions=mode)
    events = told(virtual)
    virtual.session.tell({"type": "listening", "sample": 0})
    virtual.session.tell({"type": "thinking"})
    await advance(virtual, 1.0)
    assert motions_in(events) == []
    if mode == "off":
        assert virtual.session.motions.names == ()
        with pytest.raises(ConflictError, match="option motions"):
            virtual.session.motions.ask("greet")
    else:
        virtual.session.motions.ask("greet")
        await advance(virtual, 1.0)
        assert motions_in(events) == [("motion_started", "greet")]


async def test_what_cannot_be_shown_is_refused_in_one_sentence(manifest: Manifest) -> None:
    with pytest.raises(NotFoundError, match="no motions"):
        VirtualSession().session.motions.ask("greet")
    with pytest.raises(NotFoundError, match="it has greet, nod, think"):
        VirtualSession(manifest).session.motions.ask("dance")
    guest = VirtualSession(manifest, grant=Grant(token_id="guest", motions=False))
    assert guest.session.motions.names == ()
    with pytest.raises(ForbiddenError, match="not for motions"):
        guest.session.motions.ask("greet")


async def test_another_avatar_ends_the_motion_of_the_first(manifest: Manifest) -> None:
    virtual = VirtualSession(manifest)
    events = told(virtual)
    virtual.session.motions.ask("greet")
    await advance(virtual, 1.5)
    other: Any = type("Other", (), {"manifest": one_clip("bob"), "compositor": lambda _self, _mark: None})()
    virtual.session.switch(other)
    assert motions_in(events) == [("motion_started", "greet"), ("motion_ended", "greet")]
    await advance(virtual, 1.0)
    assert virtual.session.motions.names == ()


async def test_a_text_shows_the_motions_that_it_names_with_their_sentences(manifest: Manifest) -> None:
    virtual = VirtualSession(manifest, synthesizer=Engine())
    events = told(virtual)
    session = virtual.session
    try:
        saying = asyncio.ensure_future(session.speech.say("Aaaa. [greet] Bbbb, [sic] c."))
        await until(lambda: session.speech.text_queue.source is not None)
        await advance(virtual, 3.0)
        await saying
        captions = [event["text"] for event in events if event["type"] == "caption"]
        assert captions == ["Aaaa.", "Bbbb, [sic] c."]
        second = next(event["sample"] for event in events if event.get("text") == captions[1])
        began = next(event["sample"] for event in events if event["type"] == "motion_started")
        assert began >= second
    finally:
        await session.close()


async def test_an_interruption_drops_a_motion_that_waits(manifest: Manifest) -> None:
    virtual = VirtualSession(manifest)
    events = told(virtual)
    await advance(virtual, 0.5)
    virtual.session.motions.ask("greet")
    virtual.session.speech.interrupt(virtual.now_s)
    await advance(virtual, 2.0)
    assert motions_in(events) == []


async def test_the_tag_of_a_guest_who_may_not_move_the_face_is_neither_said_nor_shown(manifest: Manifest) -> None:
    virtual = VirtualSession(manifest, synthesizer=Engine(), grant=Grant(token_id="guest", motions=False))
    events = told(virtual)
    session = virtual.session
    try:
        session.speech.text_queue.accept("[greet] Aaaa.")
        await until(lambda: session.speech.text_queue.source is not None)
        await advance(virtual, 2.0)
        assert [event["text"] for event in events if event["type"] == "caption"] == ["Aaaa."]
        assert motions_in(events) == []
    finally:
        await session.close()
