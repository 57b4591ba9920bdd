"""Weights adapted to one person: a rendered clip of a head and a voice that the built-in weights never met."""

import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("anny")
moderngl = pytest.importorskip("moderngl")

import av  # noqa: E402

from lipstream.realtime.errors import AvatarError  # noqa: E402
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS  # noqa: E402
from lipstream.realtime.lipsync.weights import load_weights  # noqa: E402
from training.appearance import random_look, random_stage  # noqa: E402
from training.dataset import HELD_OUT  # noqa: E402
from training.filmed import read_clip  # noqa: E402
from training.heads import HeadSet  # noqa: E402
from training.identities import build_heads  # noqa: E402
from training.motion import idle_clip  # noqa: E402
from training.personal import personal_fit  # noqa: E402
from training.renderer import Renderer  # noqa: E402
from training.speech import make_clip  # noqa: E402
from training.visemes import spread_actions  # noqa: E402
from training.voices import Manner, speak  # noqa: E402

pytestmark = [pytest.mark.skipif(shutil.which("flite") is None, reason="needs flite"), pytest.mark.timeout(400)]
_TEXT = "Please bring a map, a pen, and both of the blue books. My brother bought a warm pie for Pam."


def film_speaker(heads: HeadSet, path: Path, *, late_s: float = 0.0) -> None:
    """Write a clip of the last head, which moves a little, saying something with flite's slt."""
    said = make_clip(speak(_TEXT, "flite", "slt", Manner(1.0, 170.0)))
    rng = np.random.default_rng(4)
    renderer = Renderer(heads, 256, samples=0, shells=3)
    sitter, stage = renderer.sit(len(heads.names) - 1, random_look(rng, male=False)), random_stage(rng)
    poses, moving = idle_clip(len(said.mouth), 25, rng)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"crf": "14"})
        video.width = video.height = 256
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=16000, layout="mono")
        for number, (pose, mouth) in enumerate(zip(poses, said.mouth, strict=True)):
            actions = spread_actions(mouth, heads.action_names)
            for name, value in moving[number].items():
                for full in (name, name + "Left", name + "Right"):
                    if full in heads.action_names:
                        actions[heads.action_names.index(full)] += value
            picture = renderer.draw(sitter, np.clip(actions, 0, 1), pose, stage)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        samples = np.concatenate([np.zeros(round(16000 * late_s), np.float32), said.samples])
        sound = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        sound.sample_rate, sound.time_base, sound.pts = 16000, Fraction(1, 16000), 0
        container.mux(audio.encode(sound))
        container.mux(audio.encode(None))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        moderngl.create_context(standalone=True, backend="egl").release()
    except Exception as error:  # noqa: BLE001 (the binding raises bare Exception)
        pytest.skip(f"no EGL: {error}")
    path = tmp_path_factory.mktemp("clip") / "me.mp4"
    film_speaker(build_heads([], HELD_OUT + 1, 77), path, late_s=0.08)
    return path


def test_the_part_kept_out_is_drawn_better(clip: Path, tmp_path: Path) -> None:
    said: list[str] = []
    out = tmp_path / "me.safetensors"
    figures = personal_fit(clip, BUILT_IN_WEIGHTS, out, minutes=0.4, batch_size=8, progress=said.append)
    before, after = figures["mouth L1"]
    assert after < 0.95 * before
    assert "the sound is 2 frames late" in said[0]
    assert load_weights(out)[1].decoded_region == load_weights(BUILT_IN_WEIGHTS)[1].decoded_region
    assert [path.name for path in tmp_path.iterdir()] == ["me.safetensors"]


def test_a_clip_too_short_is_refused(clip: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.mp4"
    with av.open(str(clip)) as source, av.open(str(short), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 256
        stream.pix_fmt = "yuv420p"
        for number, frame in enumerate(source.decode(video=0)):
            if number < 40:
                container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    with pytest.raises(AvatarError, match=r"shows a face for 1\.6 s; 4 are needed"):
        read_clip(short, load_weights(BUILT_IN_WEIGHTS)[1])
