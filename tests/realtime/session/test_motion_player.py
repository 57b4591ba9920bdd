"""The player of an avatar's clips, in virtual time: every frame number is a tick of its clock."""

import functools
import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipstream.avatar_cache.motion_graph import (
    BLINKS,
    IDLE,
    LISTENING,
    MOTION_WAIT_FRAMES,
    SPEAKING,
    STATES,
    WAIT_FRAMES,
    MotionGraph,
    Step,
)
from lipstream.avatar_cache.motion_steps import LARGEST_STEP, MOST_BETWEEN
from lipstream.realtime.errors import NotFoundError
from lipstream.realtime.session.animator import ClipLoop
from lipstream.realtime.session.motion_player import (
    HOLD_LISTENING_FRAMES,
    HOLD_SPEAKING_FRAMES,
    PHRASE_END_FRAMES,
    MotionEnded,
    MotionPlayer,
    MotionStarted,
)
from tests.avatar_cache.curves import Curves, curves, person, planned

TEN_MINUTES = 10 * 60 * 25


@pytest.fixture(scope="module")
def graph() -> MotionGraph:
    return _person()


def clip_at(graph: MotionGraph, frame: int) -> str:
    """Return the name of the clip that a frame belongs to; empty for a generated one."""
    return next((c.name for c in graph.clips.values() if c.first <= frame < c.first + c.frames), "")


def test_without_a_wish_it_shows_what_a_loop_would(graph: MotionGraph) -> None:
    player, loop = MotionPlayer(graph), ClipLoop(200, "seamless")
    assert [player.clip_frame(n) for n in range(900)] == [loop.clip_frame(n) for n in range(900)]
    assert player.clip_frame(850) == loop.clip_frame(850), "a decided frame stays decided"
    assert player.clip_frame(100_000) == loop.clip_frame(100_000)


def test_speech_listening_and_rest_have_their_clips(graph: MotionGraph) -> None:
    player = MotionPlayer(graph)
    shown = [clip_at(graph, player.decide(n, speaks=50 <= n < 150)) for n in range(300)]
    assert SPEAKING not in shown[:50]
    assert SPEAKING in shown[50 : 50 + WAIT_FRAMES[SPEAKING] + 1]
    assert set(shown[50 + WAIT_FRAMES[SPEAKING] : 150 + HOLD_SPEAKING_FRAMES]) == {SPEAKING}, "words follow each other"
    assert set(shown[150 + HOLD_SPEAKING_FRAMES + WAIT_FRAMES[IDLE] + 1 :]) == {IDLE}
    player.listen(listens=True)
    shown = [clip_at(graph, player.decide(n, speaks=False)) for n in range(300, 350)]
    assert set(shown[WAIT_FRAMES[LISTENING] :]) == {LISTENING}
    player.listen(listens=False)
    shown = [clip_at(graph, player.decide(n, speaks=False)) for n in range(350, 450)]
    assert set(shown[:HOLD_LISTENING_FRAMES]) == {LISTENING}
    assert set(shown[HOLD_LISTENING_FRAMES + WAIT_FRAMES[IDLE] + 1 :]) == {IDLE}
    assert player.take_events() == []


def test_a_motion_is_shown_once_and_told_of(graph: MotionGraph) -> None:
    player = MotionPlayer(graph)
    player.clip_frame(29)
    player.request("greet")
    shown = [clip_at(graph, player.clip_frame(n)) for n in range(30, 200)]
    began, ended = player.take_events()
    assert isinstance(began, MotionStarted)
    assert isinstance(ended, MotionEnded)
    assert 30 <= began.frame <= 30 + MOTION_WAIT_FRAMES
    assert {n + 30 for n, name in enumerate(shown) if name == "greet"} == set(range(began.frame, ended.frame))
    assert ended.frame - began.frame > 50, "most of the clip was shown"
    assert player.take_events() == []


def test_the_last_of_two_wishes_is_shown_and_a_cancelled_one_is_not(graph: MotionGraph) -> None:
    player = MotionPlayer(graph)
    player.clip_frame(3)
    player.request("greet")
    player.request("nod")
    player.clip_frame(200)
    assert [event.motion for event in player.take_events()] == ["nod", "nod"]
    player.request("greet")
    player.cancel()
    player.clip_frame(400)
    assert player.take_events() == []


def test_the_states_rest_where_only_motions_are_asked_for(graph: MotionGraph) -> None:
    player = MotionPlayer(graph, changes_by_itself=False)
    player.listen(listens=True)
    assert {clip_at(graph, player.decide(n, speaks=True)) for n in range(400)} == {IDLE}
    player.request("nod")
    assert "nod" in {clip_at(graph, player.decide(n, speaks=True)) for n in range(400, 450)}


def test_a_gap_in_the_timeline_ends_a_motion(graph: MotionGraph) -> None:
    player = MotionPlayer(graph)
    player.request("greet")
    player.clip_frame(30)
    player.clip_frame(10_000)
    began, ended = player.take_events()
    assert isinstance(ended, MotionEnded)
    assert began.frame < ended.frame <= 10_000
    assert player.clip == IDLE


def test_a_wish_without_a_clip_is_refused(graph: MotionGraph) -> None:
    with pytest.raises(NotFoundError, match="it has greet, nod, think"):
        MotionPlayer(graph).request("wave")
    with pytest.raises(NotFoundError):
        MotionPlayer(graph).request(SPEAKING)


@given(made=curves(), seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=6)
def test_ten_minutes_of_wishes_show_no_jump_and_serve_each_in_time(made: Curves, seed: int) -> None:
    graph, looks = planned(made)
    shown = _ten_minutes(graph, seed)
    assert shown == _ten_minutes(graph, seed), "the same wishes give the same frames"
    steps = np.sqrt((np.diff(looks[shown], axis=0) ** 2).mean(axis=1))
    own = max(made.calmer_step(name, name) for name in graph.clips)
    declared = max(
        [own * LARGEST_STEP]
        + [
            float(np.sqrt((np.diff(looks[_shown(graph, *pair, at)], axis=0) ** 2).mean(axis=1)).max())
            for pair, found in graph.steps.items()
            for at in range(len(found))
        ]
    )
    assert steps.max(initial=0) <= declared * 1.001


@functools.cache
def _person(levels: int = 1) -> MotionGraph:
    return planned(person(levels=levels))[0]


def _shown(graph: MotionGraph, name: str, target: str, at: int) -> list[int]:
    """Return the frames of one step, with those on both sides."""
    step = graph.steps[name, target][at]
    return [graph.clips[name].frame(step.leaves), *step.frames(), graph.clips[target].frame(step.enters)]


def _ten_minutes(graph: MotionGraph, seed: int) -> list[int]:
    """Show ten minutes with wishes at random; check that each is served in time; return the frames."""
    chance, player = random.Random(seed), MotionPlayer(graph)
    speaks, shown = False, []
    asked: tuple[int, str] | None = None
    spoken_since: int | None = None
    for frame in range(TEN_MINUTES):
        if chance.random() < 0.01:
            speaks = not speaks
            spoken_since = frame if speaks else None
        if chance.random() < 0.005:
            player.listen(listens=chance.random() < 0.5)
        if graph.motions and chance.random() < 0.004 and player.clip in STATES and asked is None:
            asked = frame, chance.choice(graph.motions)
            player.request(asked[1])
        shown.append(player.decide(frame, speaks=speaks))
        for event in player.take_events():
            if isinstance(event, MotionStarted):
                assert asked is not None
                assert (event.motion, event.frame) == (asked[1], frame)
                assert frame - asked[0] <= MOTION_WAIT_FRAMES + MOST_BETWEEN, "a step under way is finished first"
                asked = None
            spoken_since = None  # a motion comes between
        if asked is not None:
            spoken_since = None
        if spoken_since is not None and SPEAKING in graph.clips and player.clip in STATES:
            waited = frame - spoken_since
            assert waited <= WAIT_FRAMES[SPEAKING] + MOST_BETWEEN or player.clip == SPEAKING
    return shown


def _speaking(graph: MotionGraph, liveliness: float) -> tuple[list[int], list[int]]:
    """Speak for 20 s with stress now and then, and be asked to nod; return the frames, and the levels of stress."""
    player, rng = MotionPlayer(graph, liveliness=liveliness), random.Random(1)
    clip, stress, shown = graph.clips[SPEAKING], 0.0, []
    for frame in range(500):
        stress = rng.random() if rng.random() < 0.3 else stress
        if frame == 300:
            player.request("nod")
        shown.append(player.decide(frame, speaks=True, stress=stress))
    inside = range(clip.first, clip.first + clip.levels * clip.frames)
    return shown, [(frame - clip.first) // clip.frames for frame in shown if frame in inside]


def test_the_head_follows_stress_as_far_as_the_dial_says() -> None:
    graph = _person(4)
    for liveliness, highest in ((0.0, []), (0.2, [0, 1]), (0.6, [0, 1, 2]), (1.0, [0, 1, 2, 3])):
        shown, levels = _speaking(graph, liveliness)
        assert sorted(set(levels)) == highest, "at 0 it does not even show that it speaks"
        assert np.abs(np.diff(levels)).max(initial=0) <= 1
        nod = graph.clips["nod"]
        began = next(n for n, frame in enumerate(shown) if nod.first <= frame < nod.first + nod.frames)
        assert began - 300 <= MOTION_WAIT_FRAMES, "the head is calm again in time"


def test_the_dial_changes_the_next_frame() -> None:
    player = MotionPlayer(_person(4), liveliness=1.0)
    clip = _person(4).clips[SPEAKING]
    assert player.decide(100, speaks=True, stress=1.0) < clip.first + 4 * clip.frames
    assert player.decide(150, speaks=True, stress=1.0) >= clip.first + 3 * clip.frames
    player.liveliness = 0.0
    assert player.decide(151, speaks=True, stress=1.0) < clip.first + 3 * clip.frames


def test_the_eyes_blink_where_phrases_end_and_not_much_later_without_an_end() -> None:
    graph = _person(4)
    steps = tuple(Step(at, at + 7, 10_000 + 6 * at, 6) for at in range(0, 120, 10))
    player = MotionPlayer(MotionGraph(graph.clips, {**graph.steps, BLINKS: steps}))
    phrases = range(100, 115), range(210, 225), range(240, 255)  # pauses between; the last two are close
    silent = {frame for phrase in phrases for frame in phrase}
    shown = [player.decide(n, speaks=n not in silent, stress=0.8) for n in range(600)]
    began = [n for n, frame in enumerate(shown) if frame >= 10_000 > shown[n - 1]]
    for at, phrase in zip(began[:2], phrases[:2], strict=True):
        assert phrase.start + PHRASE_END_FRAMES <= at < phrase.stop
    assert [(b - a) // 25 for a, b in itertools.pairwise(began[1:])] == [5, 5]
    assert MotionPlayer(graph).decide(599, speaks=True) < 10_000, "an avatar without blinks has its own"


@given(frames=st.lists(st.integers(0, 400), min_size=1, max_size=40))
@settings(deadline=None, max_examples=25)
def test_whoever_asks_first_the_frames_are_the_same(frames: list[int]) -> None:
    graph = _person()
    one, other = MotionPlayer(graph), MotionPlayer(graph)
    in_order = {n: one.clip_frame(n) for n in range(401)}
    asked = [other.clip_frame(frame) for frame in itertools.accumulate(frames, max)]
    assert asked == [in_order[frame] for frame in itertools.accumulate(frames, max)]
