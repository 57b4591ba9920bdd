"""A small avatar and predictors whose mouths tests can read, for the real worker process."""

import dataclasses
import json
import os
import shutil
import time
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.motion_graph import STATES, pairs
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.errors import SettingsError
from lipstream.realtime.lipsync.fields import pack_fields
from lipstream.realtime.lipsync.metadata import Region, WeightsMetadata
from lipstream.realtime.lipsync.predictor import DeviceLostError, FaceFeatures
from lipstream.realtime.workers.render_worker import WorkerSettings

SIZE, FRAMES, CROP = (128, 128), 20, 96
BOX = (16, 16, 96, 96)
REGION = Region(48, 96, 16, 80)


def metadata(window_offset_samples: int = -2600) -> WeightsMetadata:
    return WeightsMetadata("fake", 0.25, 0.25, CROP, "paint", window_offset_samples, REGION, "0" * 64, "Apache-2.0")


def write_avatar(folder: Path, avatar_id: str, *, shade: int = 90, size: tuple[int, int] = SIZE) -> Path:
    """Write a clip whose upper half moves and whose mouth area has an even shade; return its folder."""
    folder.mkdir(parents=True)
    width, height = size
    with av.open(str(folder / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(FRAMES):
            picture = np.full((height * 3 // 2, width), 128, np.uint8)
            picture[:height] = shade
            picture[:8, index * (width // FRAMES) : (index + 1) * (width // FRAMES)] = 220
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    scale = width // 128
    facts = {
        "id": avatar_id,
        "name": avatar_id.title(),
        "loop": "seamless",
        "fps": 25,
        "size": size,
        "boxes": [[edge * scale for edge in BOX]] * FRAMES,
        "licence": "CC0-1.0",
    }
    (folder / "avatar.json").write_text(json.dumps(facts))
    return folder


def make_store(root: Path, shades: dict[str, int], *, size: tuple[int, int] = SIZE) -> AvatarStore:
    store = AvatarStore(root / "store")
    for avatar_id, shade in shades.items():
        store.build(write_avatar(root / f"source-{avatar_id}", avatar_id, shade=shade, size=size), avatar_id)
    return store


def add_motions(store: AvatarStore, avatar_id: str) -> None:
    """Give an avatar of :func:`make_store` the clips `speaking`, `greet` and `nod`, all of them like its first one."""
    folder = store.load(avatar_id).clip.parent
    facts = json.loads((folder / "avatar.json").read_text())
    names = ("idle", "greet", "nod", "speaking")
    for name in names[1:]:
        shutil.copyfile(folder / "clip.mp4", folder / f"motion-{name}.mp4")
    facts["boxes"] *= len(names)
    facts["detector_boxes"] = []
    facts["clips"] = [{"name": name, "frames": FRAMES, "loop": "seamless"} for name in names]
    facts["steps"] = [[a, b, [[at, 0, 0, 0] for at in _leaving(a)]] for a, b in pairs(names)]
    (folder / "avatar.json").write_text(json.dumps(facts | {"format": 2}))


def _leaving(name: str) -> list[int]:
    """Return the positions at which a clip may be left: a motion at its end."""
    return [3, 7, 11, 15, 19] if name in STATES else [FRAMES - 1]


def worker_settings(store: AvatarStore, predictor: str) -> WorkerSettings:
    return WorkerSettings(
        weights=store.root / "none.safetensors",
        store=store.root,
        device="cpu",
        predictor=f"tests.realtime.fakes:{predictor}",
    )


def order_file(store: Path) -> Path:
    """Return the file in which a test writes what a predictor that takes orders is to do."""
    return store / "order"


class FakePredictor:
    """Rest mouths show the crop; spoken ones are drawn by :meth:`draw`."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.metadata, self.device = metadata(), settings.device
        self._order = order_file(settings.store)

    def encode_faces(self, crops: npt.NDArray[np.uint8]) -> FaceFeatures:
        levels = tuple(np.zeros((len(crops), 1, 1, 1), np.float16) for _ in range(7))
        return FaceFeatures(levels, crops)

    def predict(
        self, mel: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        top, bottom, left, right = REGION
        mouths = np.array(features.crops[frames][:, top:bottom, left:right])
        for mouth, window in zip(mouths, mel, strict=True):
            if window.max() > -4:
                self.draw(mouth, window)
        return mouths

    def draw(self, mouth: npt.NDArray[np.uint8], window: npt.NDArray[np.float32]) -> None:
        """Draw a spoken mouth in place: brighter by 60 than the face, so that its owner can be told."""
        mouth[:] = np.minimum(mouth.astype(int) + 60, 255)


class LatePredictor(FakePredictor):
    """Draws mouths as usual until it is complete, and white ones then."""

    _complete = False

    def complete(self) -> None:
        self._complete = True

    def draw(self, mouth: npt.NDArray[np.uint8], window: npt.NDArray[np.float32]) -> None:
        super().draw(mouth, window)
        if self._complete:
            mouth[:] = 255


class MovingPredictor(FakePredictor):
    """Draws fields: spoken mouths come from 4 px of the crop above, and have a bright middle."""

    def __init__(self, settings: WorkerSettings) -> None:
        super().__init__(settings)
        self.metadata = dataclasses.replace(self.metadata, head="copy")

    def predict_fields(
        self, mel: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        scale = self.metadata.paint_scale
        flow = np.zeros((len(frames), REGION.height, REGION.width, 2), np.float32)
        paint = np.zeros((len(frames), scale * REGION.height, scale * REGION.width, 4), np.float32)
        spoken = mel.max(axis=(1, 2)) > -4
        flow[spoken, ..., 1] = -4 / CROP
        paint[spoken, scale * 20 : scale * 28, scale * 24 : scale * 40] = (255, 230, 230, 230)
        return np.stack([pack_fields(*fields) for fields in zip(flow, paint, strict=True)])


class FinePredictor(MovingPredictor):
    """Draws the same fields with fine paint."""

    def __init__(self, settings: WorkerSettings) -> None:
        super().__init__(settings)
        self.metadata = dataclasses.replace(self.metadata, paint_scale=2)


class SpeakingPredictor(FakePredictor):
    """Gives the code of an open jaw to every loud window; a mouth is brighter by ten a unit of the jaw's channel."""

    def __init__(self, settings: WorkerSettings) -> None:
        super().__init__(settings)
        self.metadata = dataclasses.replace(self.metadata, code="mouth")

    def predict(
        self, mel: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        return self.draw_mouths(self.encode_speech(mel), features, frames)

    def encode_speech(self, mel: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        codes = np.zeros((len(mel), 16), np.float32)
        codes[:, 0] = 4 * (mel.max(axis=(1, 2)) > -4)
        return codes

    def draw_mouths(
        self, codes: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        top, bottom, left, right = REGION
        faces = features.crops[frames][:, top:bottom, left:right].astype(float)
        return np.clip(faces + 10 * codes[:, :1, None, None], 0, 255).astype(np.uint8)


class FlashPredictor(FakePredictor):
    """White for the frame whose first sample is a click, unchanged otherwise."""

    def draw(self, mouth: npt.NDArray[np.uint8], window: npt.NDArray[np.float32]) -> None:
        loud = np.flatnonzero(window.max(axis=0) > 0)
        if loud.size and 2300 <= loud.mean() * 200 < 2900:  # samples from the window's first column to the click
            mouth[:] = 255


class FaintingPredictor(FakePredictor):
    """Ends the process over a bright avatar."""

    def encode_faces(self, crops: npt.NDArray[np.uint8]) -> FaceFeatures:
        if crops.mean() > 100:
            os._exit(1)
        return super().encode_faces(crops)


class FragilePredictor(FakePredictor):
    """Hangs, or ends the process, when its order says so."""

    def draw(self, mouth: npt.NDArray[np.uint8], window: npt.NDArray[np.float32]) -> None:
        super().draw(mouth, window)
        what = self._order.read_text() if self._order.exists() else ""
        if what:
            self._order.write_text("")
        if what == "die":
            os._exit(3)
        if what == "hang":
            time.sleep(60)


class TightPredictor(FakePredictor):
    """A device whose memory holds as many mouths at once as its order says; 0 holds none.

    A mouth whose face is of avatar ``bob`` fails for another reason, where the order says so.
    """

    def predict(
        self, mel: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        what = self._order.read_text() if self._order.exists() else ""
        if what.isdecimal() and len(frames) > int(what):
            raise MemoryError
        if what == "bob" and features.crops[frames].mean(axis=(1, 2, 3)).max() > 100:
            raise ValueError("a face that cannot be drawn")
        return super().predict(mel, features, frames)


class FailingCardPredictor(FakePredictor):
    """A card that is there until its order says ``lost`` (this once), ``gone`` (for good) or ``full``."""

    def predict(
        self, mel: npt.NDArray[np.float32], features: FaceFeatures, frames: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        what = self._order.read_text() if self._order.exists() else ""
        if self.device != "cpu" and what:
            if what == "full":
                raise MemoryError
            self._order.write_text("" if what == "lost" else what)
            raise DeviceLostError("the driver went away")
        return super().predict(mel, features, frames)


def load_failing_card(settings: WorkerSettings) -> FakePredictor:
    """Load on the card, or as the settings say where it is gone."""
    order = order_file(settings.store)
    if settings.device != "cpu" and order.exists() and order.read_text() == "gone":
        if not settings.fall_back:
            raise SettingsError("the card was asked for, but it is gone")
        settings = settings.on_cpu()
    return FailingCardPredictor(settings)
