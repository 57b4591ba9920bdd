from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipstream.avatar_cache import avatar as avatar_module
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime import render as render_module
from lipstream.realtime.errors import BadRequestError, NotFoundError
from lipstream.realtime.picture.compositor import Compositor
from lipstream.realtime.picture.i420 import planes
from lipstream.realtime.picture.mark_style import MarkStyle
from lipstream.realtime.picture.watermark import draw_mark
from lipstream.realtime.render import read_sound, render, render_pictures
from lipstream.realtime.session.planned_motions import PlannedMotion, planned_motion
from lipstream.realtime.workers.render_client import RenderWorker
from tests.realtime.fakes import FRAMES, add_motions, make_store, order_file, worker_settings
from tests.realtime.speech import silence, voice
from tests.sound_files import write_wav

SOUND = np.concatenate((silence(0.5, 48000), voice(1.2, 48000), silence(0.8, 48000), np.zeros(77, np.float32)))


@pytest.fixture
async def store(tmp_path: Path) -> AvatarStore:
    return make_store(tmp_path, {"ann": 60})


@pytest.fixture
async def worker(store: AvatarStore) -> AsyncIterator[RenderWorker]:
    worker = RenderWorker(worker_settings(store, "FakePredictor"))
    await worker.start()
    yield worker
    await worker.close()


async def _pictures(sound: np.ndarray, worker: RenderWorker, store: AvatarStore) -> list[np.ndarray]:
    return [picture.copy() async for _, picture in render_pictures(sound, worker, store, "ann")]


async def test_every_sample_has_a_frame_and_a_second_run_gives_the_same_bytes(
    worker: RenderWorker, store: AvatarStore
) -> None:
    first = await _pictures(SOUND, worker, store)
    assert len(first) == -(-len(SOUND) // 1920)
    for a, b in zip(first, await _pictures(SOUND, worker, store), strict=True):
        np.testing.assert_array_equal(a, b)


async def test_speech_changes_the_mouth_alone_and_the_clip_runs_by_the_frame_number(
    worker: RenderWorker, store: AvatarStore
) -> None:
    spoken = await _pictures(SOUND, worker, store)
    idle = await _pictures(silence(len(SOUND) / 48000, 48000), worker, store)
    changed = []
    for n, (picture, rest) in enumerate(zip(spoken, idle, strict=False)):
        np.testing.assert_array_equal(rest, idle[n % FRAMES])
        luma = planes(picture)[0] != planes(rest)[0]
        assert not luma[:60].any()
        changed.append(luma.any())
    speech = range(int(0.5 * 25), int(1.7 * 25))
    assert all(changed[n] for n in speech)
    assert not any(changed[:8])
    assert not any(changed[-3:]), "the mouth is at rest again"


async def test_without_motions_an_avatar_of_several_clips_gives_the_same_bytes_as_one(
    worker: RenderWorker, store: AvatarStore
) -> None:
    one = await _pictures(SOUND, worker, store)
    add_motions(store, "ann")
    worker.forget_avatar("ann")
    for a, b in zip(one, await _pictures(SOUND, worker, store), strict=True):
        np.testing.assert_array_equal(a, b)


async def test_motions_come_at_their_time_and_a_second_run_gives_the_same_bytes(
    worker: RenderWorker, store: AvatarStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_motions(store, "ann")
    shown: list[int] = []

    class Noted(Compositor):
        def compose(self, clip_frame: int, mouth: Any, spoken: float) -> Any:
            shown.append(clip_frame)
            return super().compose(clip_frame, mouth, spoken)

    monkeypatch.setattr(avatar_module, "Compositor", Noted)
    asked = [PlannedMotion(3, "nod")]
    runs = [
        [picture.copy() async for _, picture in render_pictures(SOUND, worker, store, "ann", mode=mode, motions=asked)]
        for mode in ("auto", "auto", "asked")
    ]
    for a, b in zip(runs[0], runs[1], strict=True):
        np.testing.assert_array_equal(a, b)
    first, again, asked_alone = np.split(np.array(shown), 3)
    nod, speaking = np.arange(2 * FRAMES, 3 * FRAMES), np.arange(3 * FRAMES, 4 * FRAMES)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first[4:24], nod)
    np.testing.assert_array_equal(first[24:44], speaking)
    assert not np.isin(asked_alone, speaking).any()
    with pytest.raises(NotFoundError, match="'dance'"):
        await anext(render_pictures(SOUND, worker, store, "ann", mode="auto", motions=[PlannedMotion(0, "dance")]))


@pytest.mark.parametrize("text", ["greet", "@1", "greet@", "greet@-1", "greet@soon", "greet@inf", "greet@nan"])
def test_a_motion_without_a_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        planned_motion(text)
    assert planned_motion("greet@2.5") == PlannedMotion(62, "greet")


async def test_a_worker_that_dies_meanwhile_is_asked_again(store: AvatarStore) -> None:
    worker = RenderWorker(worker_settings(store, "FragilePredictor"))
    try:
        await worker.start()
        await worker.load_avatar("ann")
        order_file(store.root).write_text("die")
        assert len(await _pictures(SOUND, worker, store)) == -(-len(SOUND) // 1920)
        assert worker.counts.restarts == 1
    finally:
        await worker.close()


async def test_the_file_holds_picture_and_sound(store: AvatarStore, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    frames = await render(SOUND, out, worker_settings(store, "FakePredictor"), "ann", MarkStyle())
    with av.open(str(out)) as container:
        assert "Made by AI" in container.metadata["comment"]
        video = list(container.decode(video=0))
    mark = draw_mark(MarkStyle(), 128, 128)
    for frame in (video[0], video[25], video[-1]):
        assert frame.to_ndarray(format="yuv420p")[mark.rows, mark.columns].max() > 220
    assert len(video) == frames == -(-len(SOUND) // 1920)
    assert [frame.time for frame in video] == pytest.approx([n / 25 for n in range(frames)])
    heard = read_sound(out)
    onsets = [int(np.argmax(np.abs(sound) > 0.1)) for sound in (heard, SOUND)]
    assert onsets[0] == pytest.approx(onsets[1], abs=48), "sound begins at 0"


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_sound_of_any_rate_is_read(tmp_path: Path, rate: int) -> None:
    write_wav(tmp_path / "a.wav", voice(0.5, rate), rate)
    sound = read_sound(tmp_path / "a.wav")
    assert abs(len(sound) - 24000) <= 100
    assert sound.dtype == np.float32


def test_what_holds_no_sound_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF....")
    with pytest.raises(BadRequestError, match="cannot read sound"):
        read_sound(tmp_path / "a.wav")
    write_wav(tmp_path / "empty.wav", np.zeros(0, np.float32))
    with pytest.raises(BadRequestError, match="sound"):
        read_sound(tmp_path / "empty.wav")
    monkeypatch.setattr("sys.argv", ["render", "--audio", str(tmp_path / "none.wav"), "--out", str(tmp_path / "o.mp4")])
    assert render_module.main() == 1
    assert "cannot read sound" in capsys.readouterr().err
