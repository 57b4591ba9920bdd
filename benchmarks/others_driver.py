"""Runs the mouth of another project from its checkout, and times it.

A program of its own: it runs in the environment of that project, imports its code from the checkout, and writes what it
measured as JSON. Weights are random, and the clip and the sound are made here.

    python others_driver.py wav2lip|livetalking CHECKOUT SECONDS RESULT.json

What the projects write goes into the working folder.
"""

import argparse
import json
import os
import pickle
import runpy
import sys
import threading
import time
import wave
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import torch

FPS, SAMPLE_RATE_HZ, CHUNK_SAMPLES = 25, 16000, 320
CLIP_PX, CLIP_FRAMES = 512, 50
BOX = (180, 392, 150, 362)
"""Top, bottom, left and right of the face in the clip, 212 px, as in the built-in avatars."""
LIVETALKING_FACE_PX, LIVETALKING_BATCH = 256, 16
"""What the network and the settings of LiveTalking have by default."""


class Watch:
    """Adds up the time of a network's calls, and counts the mouths that they gave."""

    def __init__(self, network: Any) -> None:
        self.begun_s: float | None = None
        self.seconds, self.mouths = 0.0, 0
        forward = network.forward

        def timed(itself: Any, *inputs: Any, **named: Any) -> Any:
            begun_s = time.perf_counter()
            self.begun_s = self.begun_s or begun_s
            result = forward(itself, *inputs, **named)
            self.seconds += time.perf_counter() - begun_s
            self.mouths += len(result)
            return result

        network.forward = timed

    def reset(self) -> None:
        """Forget what was measured, as after a warm-up."""
        self.begun_s, self.seconds, self.mouths = None, 0.0, 0


class TimedWriter:
    """OpenCV's writer of videos, whose own time is no part of a mouth's."""

    def __init__(self, kind: Any, *arguments: Any) -> None:
        self._writer = kind(*arguments)
        self.frames, self.seconds, self.ended_s = 0, 0.0, 0.0

    def write(self, picture: Any) -> None:
        """Write a picture."""
        begun_s = time.perf_counter()
        self._writer.write(picture)
        self.seconds += time.perf_counter() - begun_s
        self.frames += 1

    def release(self) -> None:
        """End the file."""
        self.ended_s = time.perf_counter()
        self._writer.release()


class Sink:
    """Takes the pictures of LiveTalking in the place of a connection, and notes when each with speech came."""

    def __init__(self, avatar: Any, wanted: int) -> None:
        self._avatar, self._wanted = avatar, wanted
        self.times_s: list[float] = []
        self.enough = threading.Event()

    def push_video_frame(self, _: Any) -> None:
        """Take a picture."""
        if self._avatar.speaking:
            self.times_s.append(time.perf_counter())
        if len(self.times_s) >= self._wanted:
            self.enough.set()

    def get_buffer_size(self) -> int:
        """Return that nothing waits to be sent, so that the loop runs as fast as it can."""
        return 0

    def push_audio_frame(self, *_: Any) -> None:
        """Take sound."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """End."""


def wav2lip(checkout: Path, seconds: int) -> dict[str, float]:
    """Run ``inference.py`` on a clip whose face is given with ``--box``, so that no detector runs.

    The loop's time is from the first call of the network to the last picture, without the writing of the file. It lacks
    the gathering of the first batch.
    """
    network = _import(checkout, "models").Wav2Lip
    _let_librosa_take_positions()
    checkpoint, face, sound = "random.pth", "face.avi", "sound.wav"
    _save(network(), Path(checkpoint))
    writer = cv2.VideoWriter(face, cv2.VideoWriter.fourcc(*"MJPG"), FPS, (CLIP_PX, CLIP_PX))
    for picture in _clip():
        writer.write(picture)
    writer.release()
    with wave.open(sound, "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE_HZ, 0, "NONE", ""))
        file.writeframes((32767 * _sound(seconds)).astype("<i2").tobytes())
    Path("temp").mkdir(exist_ok=True)
    Path("results").mkdir(exist_ok=True)
    watch, writers, kind = Watch(network), [], cv2.VideoWriter

    def open_writer(*arguments: Any) -> TimedWriter:
        writers.append(TimedWriter(kind, *arguments))
        return writers[-1]

    cv2.VideoWriter = open_writer  # type: ignore[assignment, misc]
    sys.argv = ["inference.py", "--checkpoint_path", checkpoint, "--face", face, "--audio", sound]
    sys.argv += ["--outfile", "results/result.mp4", "--box", *map(str, BOX)]
    runpy.run_path(str(checkout / "inference.py"), run_name="__main__")
    (written,) = writers
    assert watch.begun_s is not None
    loop_s = written.ended_s - watch.begun_s - written.seconds
    return _figures(written.frames, loop_s, watch)


def livetalking(checkout: Path, seconds: int) -> dict[str, float]:
    """Run the three threads of a session (sound, network, pictures) with the sound there from the start."""
    module = _import(checkout, "avatars.wav2lip_avatar")
    network = module.Wav2Lip
    _save(network(), Path("random.pth"))
    _write_avatar(Path("data/avatars/timed"))
    options = SimpleNamespace(
        fps=FPS, sessionid="timed", batch_size=LIVETALKING_BATCH, l=10, m=8, r=10, tts="", transport="", customopt=[]
    )
    watch, model = Watch(network), module.load_model("random.pth")
    module.warm_up(LIVETALKING_BATCH, model, LIVETALKING_FACE_PX)
    watch.reset()
    avatar = module.LipReal(options, model, module.load_avatar("timed"))
    sink = Sink(avatar, seconds * FPS)
    avatar.output, avatar.tts = sink, SimpleNamespace(render=lambda _: None)
    for chunk in np.split(_sound(seconds).astype(np.float32), seconds * SAMPLE_RATE_HZ // CHUNK_SAMPLES):
        avatar.put_audio_frame(chunk, {})
    avatar.render(sink.enough)
    whole = (len(sink.times_s) - 1) // LIVETALKING_BATCH * LIVETALKING_BATCH  # the pictures of a batch come at once
    return _figures(whole, sink.times_s[whole] - sink.times_s[0], watch)


def _figures(frames: int, loop_s: float, watch: Watch) -> dict[str, float]:
    return {
        "frames": frames,
        "loop_ms": 1000 * loop_s / frames,
        "network_ms": 1000 * watch.seconds / watch.mouths,
        "threads": torch.get_num_threads(),
    }


def _import(checkout: Path, name: str) -> Any:
    sys.path.insert(0, str(checkout))
    return __import__(name, fromlist=["*"])


def _save(network: torch.nn.Module, path: Path) -> None:
    torch.save({"state_dict": network.state_dict()}, path)


def _clip() -> list[Any]:
    """Return pictures ``uint8[512, 512, 3]`` in which a bright square moves."""
    pictures = []
    for at in range(CLIP_FRAMES):
        picture = np.full((CLIP_PX, CLIP_PX, 3), 90, np.uint8)
        picture[40:80, 4 * at : 4 * at + 40] = 220
        pictures.append(picture)
    return pictures


def _sound(seconds: int) -> Any:
    """Return noise, -1..1 at 16 kHz: mel spectrograms of it are finite, and no speech is needed for time."""
    return np.random.default_rng(0).uniform(-0.5, 0.5, seconds * SAMPLE_RATE_HZ)


def _write_avatar(folder: Path) -> None:
    top, bottom, left, right = BOX
    for name in ("full_imgs", "face_imgs"):
        (folder / name).mkdir(parents=True)
    for at, picture in enumerate(_clip()):
        face = cv2.resize(picture[top:bottom, left:right], (LIVETALKING_FACE_PX, LIVETALKING_FACE_PX))
        cv2.imwrite(str(folder / "full_imgs" / f"{at:08d}.png"), picture)
        cv2.imwrite(str(folder / "face_imgs" / f"{at:08d}.png"), face)
    (folder / "coords.pkl").write_bytes(pickle.dumps([BOX] * CLIP_FRAMES))


def _let_librosa_take_positions() -> None:
    """Let ``librosa.filters.mel`` take its first two arguments by position, as before version 0.10."""
    try:
        from librosa import filters  # noqa: PLC0415 (the other project's package)
    except ModuleNotFoundError:
        return
    mel = filters.mel
    filters.mel = lambda *positions, **named: mel(**dict(zip(("sr", "n_fft"), positions, strict=False)), **named)


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description="Time the mouth of another project.")
    parser.add_argument("project", choices=("wav2lip", "livetalking"))
    parser.add_argument("checkout", type=Path)
    parser.add_argument("seconds", type=int)
    parser.add_argument("result", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    run = wav2lip if options.project == "wav2lip" else livetalking
    options.result.write_text(json.dumps(run(options.checkout.absolute(), options.seconds)))
    os._exit(0)  # threads of the other project may be left


if __name__ == "__main__":
    main()
