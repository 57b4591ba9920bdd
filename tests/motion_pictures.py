"""Makes the pictures of docs/MOTIONS.md again: ``python -m tests.motion_pictures``, some minutes on a calm machine.

`motions.webp` is a conversation as a session shows it: a person greets, listens, thinks, answers and rests again, with
lips that say the sentence of *Hear a sample*. `motions.jpg` has a strip of each clip. Run it when motions change.
"""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.avatar import PreparedAvatar
from lipstream.avatar_cache.gestures import GREET, THINK
from lipstream.avatar_cache.motion_graph import ClipRange
from lipstream.avatar_cache.prepare import prepare
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.lipsync.backends import create_predictor
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS
from lipstream.realtime.lipsync.predictor import MouthPredictor, draw_with
from lipstream.realtime.picture.i420 import i420_to_bgr
from lipstream.realtime.render import decide_frames, read_sound
from lipstream.realtime.session.motion_player import MotionPlayer, frame_choice
from lipstream.realtime.timeline import FRAME_RATE_HZ, SOUND_RATE_HZ
from tests.readme_pictures import FIGURES, SAMPLE

MOST_BYTES = {"motions.webp": 1_000_000, "motions.jpg": 300_000}
_GREETS_S, _LISTENS_S, _THINKS_S, _SPEAKS_S, _RESTS_S = 0.3, 3.6, 6.2, 9.2, 2.0
_SIDE_PX, _BAR_PX = 256, 28
_EVERY = 2
"""The moving picture has every second picture, 12.5 a second."""
_STRIP_PX, _STRIP_PICTURES, _NAME_PX = 128, 8, 88
_GROUND, _INK = (18, 19, 13), (230, 230, 230)
_WORDS = {"idle": "rests", "greet": "greets", "listening": "listens", "think": "thinks", "speaking": "speaks"}

Bgr = npt.NDArray[np.uint8]


@dataclass
class Conversation:
    """What chooses the frames: a player that is told of what happens in the conversation.

    Attributes:
        clips: Name of the clip of each frame so far.
    """

    player: MotionPlayer
    clips: list[str]

    @property
    def follows_stress(self) -> bool:
        """Whether the stress in speech changes the choice."""
        return self.player.follows_stress

    def decide(self, frame: int, *, speaks: bool, stress: float = 0.0) -> int:
        """Return the frame of the row that video frame ``frame`` shows."""
        if frame == round(_GREETS_S * FRAME_RATE_HZ):
            self.player.request(GREET)
        if frame == round(_LISTENS_S * FRAME_RATE_HZ):
            self.player.listen(listens=True)
        if frame == round(_THINKS_S * FRAME_RATE_HZ):
            self.player.listen(listens=False)
            self.player.request(THINK)
        shown = self.player.decide(frame, speaks=speaks, stress=stress)
        self.clips.append(self.player.clip)
        return shown

    def clip_frame(self, frame: int) -> int:
        """Return the frame of the row that video frame ``frame`` shows."""
        return self.player.clip_frame(frame)


def conversation(prepared: PreparedAvatar, predictor: MouthPredictor) -> Iterator[tuple[str, Bgr]]:
    """Yield the clip and the picture of each frame of the conversation, ``uint8[h, w, 3]``."""
    player = frame_choice(prepared.manifest)
    assert isinstance(player, MotionPlayer)
    choice = Conversation(player, [])
    before, after = (np.zeros(round(seconds * SOUND_RATE_HZ), np.float32) for seconds in (_SPEAKS_S, _RESTS_S))
    sound = np.concatenate((before, read_sound(SAMPLE), after))
    draw, _ = draw_with(predictor)
    compositor = prepared.compositor()
    jobs = decide_frames(sound, choice, window_offset_samples=predictor.metadata.window_offset_samples)
    for clip, job in zip(choice.clips, jobs, strict=False):
        mouth = None
        if job.mel is not None:
            mouth = draw(job.mel[None], prepared.features, np.array([job.clip_frame]))[0]
        yield clip, i420_to_bgr(compositor.compose(job.clip_frame, mouth, job.spoken))


def write_webp(path: Path, pictures: Iterator[tuple[str, Bgr]]) -> None:
    """Write an animation that repeats without end, with the name of what is shown below."""
    with av.open(str(path), "w", format="webp", options={"loop": "0"}) as container:
        stream = container.add_stream("libwebp_anim", rate=Fraction(FRAME_RATE_HZ, _EVERY), options={"quality": "70"})
        stream.width, stream.height, stream.pix_fmt = _SIDE_PX, _SIDE_PX + _BAR_PX, "yuv420p"
        for number, (clip, picture) in enumerate(pictures):
            if number % _EVERY:
                continue
            face = cv2.resize(picture, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
            bar = np.full((_BAR_PX, _SIDE_PX, 3), _GROUND, np.uint8)
            cv2.putText(bar, _WORDS[clip], (8, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)
            frame = av.VideoFrame.from_ndarray(np.vstack((face, bar)), format="bgr24")
            frame.pts, frame.time_base = number // _EVERY, Fraction(_EVERY, FRAME_RATE_HZ)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def strips(prepared: PreparedAvatar) -> Bgr:
    """Return pictures of each clip, a row a clip: of one that speaks, with more and more stress."""
    return np.vstack([_strip(prepared, clip) for clip in prepared.manifest.ranges])


def _strip(prepared: PreparedAvatar, clip: ClipRange) -> Bgr:
    name = np.full((_STRIP_PX, _NAME_PX, 3), _GROUND, np.uint8)
    cv2.putText(name, clip.name, (8, _STRIP_PX // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)
    box, panels = prepared.manifest.boxes[0], [name]
    x, y, side = box.x + box.width // 2, box.y + box.height // 2, round(0.8 * box.width)
    head = slice(max(0, y - side), y + side), slice(max(0, x - side), x + side)
    for number in range(_STRIP_PICTURES):
        level = number * clip.levels // _STRIP_PICTURES
        frame = clip.frame(number * (clip.length - 1) // (_STRIP_PICTURES - 1), level)
        picture = i420_to_bgr(np.asarray(prepared.frames[frame]))[head]
        panels.append(np.asarray(cv2.resize(picture, (_STRIP_PX, _STRIP_PX), interpolation=cv2.INTER_AREA), np.uint8))
    return np.hstack(panels)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.motion_pictures", description=__doc__)
    parser.add_argument("--avatar", default="ada-lively")
    parser.add_argument("--store", type=Path, help="folder of avatars and 8-bit networks (default: an empty one)")
    parser.add_argument("--out", type=Path, default=FIGURES)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = AvatarStore(chosen.store or Path(folder))
        predictor = create_predictor(BUILT_IN_WEIGHTS, device="cpu", cache=store.graphs)
        prepared = prepare(store.load(chosen.avatar), predictor)
        write_webp(chosen.out / "motions.webp", conversation(prepared, predictor))
        cv2.imwrite(str(chosen.out / "motions.jpg"), strips(prepared), [cv2.IMWRITE_JPEG_QUALITY, 85])
    for name, most in MOST_BYTES.items():
        size = (chosen.out / name).stat().st_size
        print(f"{name}: {size:,} bytes")
        assert size <= most


if __name__ == "__main__":
    main()
