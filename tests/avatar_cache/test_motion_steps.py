"""Steps between clips whose frames are points on smooth curves, so that every distance is known."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings

from lipstream.avatar_cache.motion_graph import (
    IDLE,
    MOTION_WAIT_FRAMES,
    SPEAKING,
    STATES,
    WAIT_FRAMES,
    ClipRange,
    Loop,
    graph_of,
    pairs,
    steps_to_json,
)
from lipstream.avatar_cache.motion_steps import LARGEST_STEP, MOST_BETWEEN, Looks, plan_steps
from tests.avatar_cache.curves import Curves, curves, planned


@pytest.mark.parametrize("loop", ["seamless", "pingpong"])
@pytest.mark.parametrize("frames", [1, 2, 7])
def test_a_state_repeats_and_a_motion_stays_at_its_end(loop: Loop, frames: int) -> None:
    state, motion = ClipRange(IDLE, 3, frames, loop), ClipRange("greet", 3, frames, loop)
    shown = [state.frame(position) for position in range(state.length)]
    assert set(shown) == set(range(3, 3 + frames))
    assert state.moved(state.length - 1, 1) == 0
    assert motion.length == frames
    assert motion.frame(motion.moved(frames - 1, 1)) == 3 + frames - 1
    assert motion.moved(0, -1) == 0


@given(made=curves())
@settings(deadline=None, max_examples=25)
def test_each_clip_is_left_in_time_and_without_a_jump(made: Curves) -> None:
    graph, looks = planned(made)
    assert graph.steps.keys() == set(pairs(graph.clips))
    for (name, target), steps in graph.steps.items():
        most = WAIT_FRAMES.get(target, MOTION_WAIT_FRAMES)
        if name in STATES:
            assert graph.worst_wait(name, target) <= most
        scale = made.calmer_step(name, target)
        for step in steps:
            left, entered = graph.clips[name], graph.clips[target]
            shown = [left.frame(step.leaves), *step.frames(), entered.frame(step.enters)]
            largest = np.sqrt((np.diff(looks[shown], axis=0) ** 2).mean(axis=1)).max()
            assert largest <= LARGEST_STEP * scale or step.between >= min(MOST_BETWEEN, most - 2)


@given(made=curves())
@settings(deadline=None, max_examples=10)
def test_a_graph_survives_its_json(made: Curves) -> None:
    graph, looks = planned(made)
    again = graph_of(list(graph.clips.values()), json.loads(json.dumps(steps_to_json(graph.steps))), len(looks))
    assert again == graph


def test_clips_that_meet_need_no_generated_frames() -> None:
    turns = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle = np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32) * 40
    made = Curves({IDLE: circle, SPEAKING: circle.copy()}, dict.fromkeys((IDLE, SPEAKING), "seamless"))
    graph, _ = planned(made)
    assert {step.between for steps in graph.steps.values() for step in steps} == {0}
    for step in graph.steps[IDLE, SPEAKING]:
        assert step.enters == (step.leaves + 1) % 60


def test_poses_count_where_pictures_look_alike() -> None:
    clips = {IDLE: ClipRange(IDLE, 0, 30, "seamless"), "nod": ClipRange("nod", 30, 30, "seamless")}
    grey = np.full((60, 8), 90, np.float32)
    turned = np.concatenate([np.zeros((30, 4)), np.full((30, 4), 0.08)]).astype(np.float32)
    assert all(step.between == 0 for step in plan_steps(Looks(grey, np.zeros((60, 0), np.float32)), clips)[IDLE, "nod"])
    assert all(step.between > 0 for step in plan_steps(Looks(grey, turned), clips)[IDLE, "nod"])


def test_steps_that_lead_nowhere_are_refused() -> None:
    turns = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    circle = np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32) * 40
    graph, looks = planned(Curves({IDLE: circle, "nod": circle}, dict.fromkeys((IDLE, "nod"), "seamless")))
    clips, told = list(graph.clips.values()), steps_to_json(graph.steps)
    with pytest.raises(ValueError, match="must be steps"):
        graph_of(clips, told[:1], len(looks))
    with pytest.raises(ValueError, match="'idle'"):
        graph_of(clips[1:], told, len(looks))
    with pytest.raises(ValueError, match="outside"):
        graph_of([dataclasses.replace(clip, frames=3) for clip in clips], told, len(looks))
    with pytest.raises(ValueError, match="not in order"):
        graph_of(clips, [[name, target, steps[::-1]] for name, target, steps in told], len(looks))
