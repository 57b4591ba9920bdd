import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import lipstream
from lipstream import Engine, Face, Frame
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.errors import NotFoundError
from lipstream.realtime.face import engine as engine_module
from lipstream.realtime.face.pacing import FRAME_S, LiveFrames
from lipstream.realtime.lipsync.predictor import DeviceLostError
from lipstream.realtime.picture.i420 import planes
from lipstream.realtime.render import render_pictures
from lipstream.realtime.workers.render_client import RenderWorker
from tests.realtime.fakes import FRAMES, FakePredictor, add_motions, make_store, worker_settings
from tests.realtime.speech import silence, voice

RATE = 24_000
SPEECH = np.rint(voice(1.2, RATE) * 32767).astype(np.int16)


@pytest.fixture
def store(tmp_path: Path) -> AvatarStore:
    return make_store(tmp_path, {"ann": 60, "ben": 120})


@pytest.fixture
def engine(store: AvatarStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    predictor = FakePredictor(worker_settings(store, "FakePredictor"))
    monkeypatch.setattr(engine_module, "create_predictor", lambda *_, **__: predictor)
    with Engine(store=store.root) as engine:
        yield engine


def shade(picture: np.ndarray) -> int:
    """Return the luma in the middle of the mouth."""
    return int(planes(picture)[0][80, 64])


def test_speech_comes_back_to_the_sample_with_a_picture_for_each_40_ms(engine: Engine) -> None:
    with Face("ann", engine=engine, mark=None) as face:
        face.push(SPEECH)
        face.end()
        frames = list(face)
        rest = face.next_frame()
    sound = np.concatenate([frame.sound for frame in frames if frame.sound is not None])
    np.testing.assert_array_equal(sound[: SPEECH.size], SPEECH)
    assert [frame.number for frame in frames] == list(range(len(frames)))
    assert sum(frame.ended for frame in frames) == 1
    assert shade(frames[15].picture) > shade(rest.picture) + 40
    assert rest.sound is None
    assert not rest.picture.flags.writeable
    assert (rest.width, rest.height) == face.size
    assert rest.rgb().shape == (*face.size[::-1], 3)
    np.testing.assert_array_equal(rest.rgb(), rest.bgr()[..., ::-1])


def test_a_motion_is_shown_once_and_frames_say_so(store: AvatarStore, engine: Engine) -> None:
    add_motions(store, "ann")
    with Face("ann", engine=engine, mark=None) as face:
        assert face.motions == ("greet", "nod")
        face.motion("greet")
        shown = [face.next_frame().motion for _ in range(60)]
        assert shown.count("greet") == FRAMES
        assert set(shown) == {"greet", None}
        with pytest.raises(NotFoundError, match="it has greet, nod"):
            face.motion("dance")
        face.show("ben")
        assert not face.motions
        with pytest.raises(NotFoundError, match="no motions"):
            face.motion("greet")
        face.listen()  # without a clip for it nothing changes


async def test_the_pictures_are_those_of_render(store: AvatarStore, engine: Engine) -> None:
    sound = np.concatenate((silence(0.4, 48000), voice(1.2, 48000), silence(0.8, 48000)))
    worker = RenderWorker(worker_settings(store, "FakePredictor"))
    await worker.start()
    try:
        rendered = [picture.copy() async for _, picture in render_pictures(sound, worker, store, "ann")]
    finally:
        await worker.close()
    with Face("ann", engine=engine, rate=48_000, mark=None) as face:
        face.push(sound)
        face.end()
        frames = list(face)
    for frame, picture in zip(frames, rendered, strict=False):
        np.testing.assert_array_equal(frame.picture, picture)


@pytest.mark.parametrize(
    "pcm",
    [
        SPEECH.tobytes(),
        bytearray(SPEECH.tobytes()),
        SPEECH.astype(np.float32) / 32768,
        SPEECH.astype(np.float64) / 32768,
        np.stack((SPEECH, SPEECH), axis=1),
    ],
    ids=["bytes", "bytearray", "float32", "float64", "stereo"],
)
def test_sound_of_many_forms_is_the_same_sound(engine: Engine, pcm: np.ndarray | bytes) -> None:
    with Face("ann", engine=engine) as face:
        face.push(pcm)
        face.end()
        sound = np.concatenate([frame.sound for frame in face if frame.sound is not None])
    np.testing.assert_array_equal(sound[: SPEECH.size], SPEECH)


@pytest.mark.parametrize("pcm", [b"odd", np.zeros(4, np.int32), np.zeros((2, 2, 2), np.float32)])
def test_sound_of_another_form_is_refused(engine: Engine, pcm: np.ndarray | bytes) -> None:
    with Face("ann", engine=engine) as face, pytest.raises(ValueError, match=r"int16|\[n\]"):
        face.push(pcm)


def test_another_avatar_is_shown_in_mid_word(engine: Engine) -> None:
    with Face("ann", engine=engine, mark=None) as face:
        face.push(SPEECH)
        face.end()
        before = [face.next_frame() for _ in range(15)]
        face.show("ben")
        assert face.avatar == "ben"
        after = list(face)
        with pytest.raises(NotFoundError):
            face.show("nobody")
        assert face.avatar == "ben"
    assert shade(after[3].picture) > shade(before[-1].picture) + 40
    assert sum(f.samples for f in before + after) == SPEECH.size


async def test_several_faces_share_an_engine_and_wait_without_blocking(engine: Engine) -> None:
    faces = [Face(avatar, engine=engine) for avatar in ("ann", "ben", "ann", "ben")]

    async def speak(face: Face) -> int:
        face.push(SPEECH)
        face.end()
        return sum([frame.samples async for frame in face])

    assert await asyncio.gather(*map(speak, faces)) == [SPEECH.size] * 4
    assert all(face.resting for face in faces)
    for face in faces:
        face.close()


def test_an_interruption_says_how_much_was_heard(engine: Engine) -> None:
    with Face("ann", engine=engine) as face:
        face.push(SPEECH)
        heard = sum(face.next_frame().samples for _ in range(10))
        assert face.waiting_ms == (SPEECH.size - heard) / 24
        cut = face.clear()
        assert (cut.utterance, cut.position) == (0, heard)
        assert all(frame.sound is None for frame in face)
        assert face.resting
        face.push(SPEECH)
        face.end()
        assert sum(frame.samples for frame in face) == SPEECH.size


def test_a_program_may_push_and_read_in_two_threads(engine: Engine) -> None:
    with Face("ann", engine=engine) as face:

        def push() -> None:
            for start in range(0, SPEECH.size, 480):
                face.push(SPEECH[start : start + 480])
            face.end()

        pushing = threading.Thread(target=push)
        pushing.start()
        frames: list[Frame] = []
        while not (frames and frames[-1].ended):
            frames.append(face.next_frame())
        pushing.join()
    assert sum(frame.samples for frame in frames) == SPEECH.size


def test_a_closed_face_and_a_bad_one_say_so(engine: Engine) -> None:
    face = Face("ann", engine=engine)
    face.close()
    face.close()
    with pytest.raises(RuntimeError, match="closed"):
        face.next_frame()
    with pytest.raises(NotFoundError):
        Face("nobody", engine=engine)
    with pytest.raises(ValueError, match="multiple of 25"):
        Face("ann", rate=44_101, engine=engine)


def test_an_engine_of_its_own_ends_with_the_face(
    store: AvatarStore, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[Engine] = []
    close = Engine.close

    def noted(self: Engine) -> None:
        closed.append(self)
        close(self)

    monkeypatch.setattr(Engine, "close", noted)
    with Face("ann", store=store.root):
        assert not closed
    assert len(closed) == 1
    with pytest.raises(NotFoundError):
        Face("nobody", store=store.root)
    assert len(closed) == 2
    assert engine not in closed


class LiveTime:
    """Time that passes in the waits of live frames alone, which yield the texts or frames that they are given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, frames: Iterator[Any]) -> None:
        self.now_s, self.slept, self.speaks_after_s = 100.0, list[float](), float("inf")
        monkeypatch.setattr("lipstream.realtime.face.pacing.time.monotonic", lambda: self.now_s)
        monkeypatch.setattr("lipstream.realtime.face.pacing.wait", self._wait)
        self.frames = LiveFrames(lambda: next(frames), None, 1.0)  # type: ignore[arg-type]

    def _wait(self, spoke: tuple[Future[None]], seconds: float) -> None:
        if self.speaks_after_s < seconds:
            seconds, self.speaks_after_s = self.speaks_after_s, float("inf")
            self.frames.note_speech()
        elif spoke[0].done():
            seconds = 0.0
        self.slept.append(seconds)
        self.now_s += seconds


def test_live_frames_keep_the_pace_and_catch_up_but_not_with_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    live = LiveTime(monkeypatch, repeat(SimpleNamespace(utterance=None)))
    for _ in range(3):
        next(live.frames)
    assert live.slept == pytest.approx([0, FRAME_S, FRAME_S])
    live.now_s += 0.1
    for _ in range(4):
        next(live.frames)
    assert live.slept[3:] == pytest.approx([0, 0, FRAME_S / 2, FRAME_S])
    live.now_s += 5
    next(live.frames), next(live.frames)
    assert live.slept[7:] == pytest.approx([0, FRAME_S])


def test_speech_that_begins_waits_for_no_frame_and_keeps_the_pace_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    live = LiveTime(monkeypatch, repeat(SimpleNamespace(utterance=None)))
    next(live.frames)
    live.speaks_after_s = 0.01
    for _ in range(2):
        next(live.frames)
    assert live.slept == pytest.approx([0, 0.01, FRAME_S])
    live.frames.note_speech()  # while the frame before was drawn
    next(live.frames), next(live.frames)
    assert live.slept[3:] == pytest.approx([0, FRAME_S])
    live.frames.advance(0.02)
    next(live.frames), next(live.frames)
    assert live.slept[5:] == pytest.approx([FRAME_S - 0.02, FRAME_S])


def test_speech_that_is_noted_in_the_last_moment_is_not_noted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    def frames() -> Iterator[Any]:
        yield SimpleNamespace(utterance=None)
        live.frames.note_speech()
        yield from repeat(SimpleNamespace(utterance=0))

    live = LiveTime(monkeypatch, frames())
    for _ in range(3):
        next(live.frames)
    assert live.slept == pytest.approx([0, FRAME_S, FRAME_S])


async def test_a_waiting_face_is_told_of_speech_that_begins_and_of_no_more(engine: Engine) -> None:
    told: list[int] = []
    with Face("ann", engine=engine) as face:
        live = face.live()
        live.note_speech = lambda: told.append(1)  # type: ignore[method-assign]
        for start in range(0, SPEECH.size, 480):
            face.push(SPEECH[start : start + 480])
            if face.ready and not face.next_frame().number:
                assert len(told) == 1
        assert len(told) == 1, "the face speaks, and nobody waits"
        face.clear()
        face.push(SPEECH)
        assert len(told) == 2


async def test_sound_that_is_pushed_does_not_wait_for_a_picture(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Face("ann", engine=engine) as face:
        face.push(SPEECH)
        drawing, pushed = threading.Event(), threading.Event()
        draw = engine.drawer.draw

        def slow(*what: Any) -> Any:
            drawing.set()
            assert pushed.wait(20)
            return draw(*what)

        monkeypatch.setattr(engine.drawer, "draw", slow)
        waiting = asyncio.ensure_future(face.next_frame_async())
        await asyncio.to_thread(drawing.wait, 20)
        face.push(SPEECH)
        face.clear()
        pushed.set()
        assert (await waiting).utterance == 0


def test_a_face_whose_device_fails_goes_on_with_its_mouth_at_rest(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise DeviceLostError("the card is gone")

    with Face("ann", engine=engine, mark=None) as face:
        rest = shade(face.next_frame().picture)
        face.push(SPEECH)
        face.end()
        spoken = [face.next_frame() for _ in range(10)]
        monkeypatch.setattr(engine.drawer, "draw", fails)
        with pytest.raises(DeviceLostError):
            face.next_frame()
        later = list(face)
    assert max(shade(frame.picture) for frame in spoken) > rest + 40
    assert {shade(frame.picture) for frame in later} <= set(range(rest - 3, rest + 4))
    assert later[-1].spoken == 0
    assert sum(frame.samples for frame in (*spoken, *later)) == SPEECH.size - RATE // 25
    assert sum(frame.ended for frame in later) == 1


async def test_live_frames_come_without_blocking_the_loop(engine: Engine) -> None:
    with Face("ann", engine=engine) as face:
        face.push(SPEECH)
        face.end()
        count = 0
        async for frame in face.live():
            count += 1
            if frame.ended:
                break
    assert count >= 30


def test_the_package_names_the_library() -> None:
    assert lipstream.Face is Face
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        lipstream.nothing  # noqa: B018
