"""What the product does with a published checkpoint, against the published inference; and how they differ."""

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lipstream.avatar_cache.avatar import PreparedAvatar
from lipstream.avatar_cache.manifest import Manifest
from lipstream.avatar_cache.prepare import decode_clip, prepare
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.audio.resample import Resampler
from lipstream.realtime.lipsync.metadata import Pads
from lipstream.realtime.lipsync.network import Wav2Lip
from lipstream.realtime.lipsync.torch_backend import TorchPredictor
from lipstream.realtime.picture.i420 import bgr_to_ycbcr, i420_to_bgr, planes
from lipstream.realtime.picture.mouth_painter import Box
from lipstream.realtime.render import decide_frames, render_pictures
from lipstream.realtime.session.animator import ClipLoop
from lipstream.realtime.workers.render_client import RenderWorker
from lipstream.realtime.workers.render_worker import WorkerSettings
from tests.avatar_cache.clips import write_clip
from tests.realtime.lipsync import published_inference as published
from tests.realtime.speech import voice

WIDTH, HEIGHT, FRAMES = 240, 256, 12
SOUND = voice(1.4, 48000)
PADS = (0, 10, 0, 0)


def _pictures() -> list[np.ndarray]:
    """Smooth shapes that move, as finely drawn as 4:2:0 keeps them."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(30, 225, (HEIGHT // 16, WIDTH // 16, 3)).astype(np.uint8)
    whole = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return [np.roll(whole, 2 * frame, axis=1) for frame in range(FRAMES)]


def _found() -> np.ndarray:
    """Odd boxes that move and change their size; the last ones end below the picture once they are padded."""
    frames = np.arange(FRAMES)
    x1, y1 = 41 + 3 * frames, 31 + 2 * (frames % 5)
    return np.stack([x1, y1, x1 + 117 + frames % 3, y1 + 179 + 45 * (frames // 6)], axis=1)


@dataclass(frozen=True)
class Case:
    store: AvatarStore
    checkpoint: Path
    network: Wav2Lip
    pictures: np.ndarray
    i420: list[np.ndarray]
    faces: np.ndarray
    boxes: np.ndarray

    def predictor(self, offset: int, pads: Pads | None = None) -> TorchPredictor:
        return TorchPredictor(self.checkpoint, device="cpu", window_offset_samples=offset, pads=pads)

    def prepared(self) -> PreparedAvatar:
        return prepare(self.store.load("shapes"), self.predictor(0))


def _lively_network(faces: np.ndarray, mels: np.ndarray) -> Wav2Lip:
    """A network of the published shape that hears and sees: its norms know its inputs, its output has contrast."""
    torch.manual_seed(11)
    network = Wav2Lip(width=0.25)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain mean of what is met
    with torch.no_grad():
        count = min(len(mels), 32)
        face = torch.from_numpy(published.network_input(faces[np.arange(count) % len(faces)]))
        network.train()(torch.from_numpy(mels[:count, None].astype(np.float32)), face)
        network.output_block[1].get_parameter("weight").mul_(6)
    return network.eval()


def _samples() -> np.ndarray:
    """The sound at 16 kHz, as both are given it."""
    resampler = Resampler(48000, 16000)
    return np.concatenate((resampler.push(SOUND), resampler.flush()))


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    root = tmp_path_factory.mktemp("published")
    source = root / "source"
    source.mkdir()
    write_clip(source / "clip.mp4", _pictures())
    manifest = Manifest(
        "shapes", "Shapes", "seamless", (WIDTH, HEIGHT), (Box(40, 60, 140, 140),) * FRAMES, "CC0-1.0", "",
        detector_boxes=tuple(tuple(box) for box in _found().tolist()),
    )  # fmt: skip
    (source / "avatar.json").write_text(manifest.to_json())
    store = AvatarStore(root / "store")
    avatar = store.build(source, "shapes")
    i420 = [frame.copy() for frame in decode_clip(avatar.clip, manifest)]
    pictures = np.stack([i420_to_bgr(frame) for frame in i420])
    boxes = published.average_boxes(published.pad_boxes(_found(), PADS, HEIGHT, WIDTH))
    faces = published.cut(pictures, boxes)
    network = _lively_network(faces, published.windows(published.mel(_samples())))
    checkpoint = root / "published.pth"
    state = {f"module.{key}": value for key, value in network.state_dict().items()}
    torch.save({"state_dict": state, "optimizer": {"state": {}}, "global_step": 7, "global_epoch": 1}, checkpoint)
    return Case(store, checkpoint, network, pictures, i420, faces, boxes)


def test_a_published_checkpoint_takes_a_detector_s_crop(case: Case) -> None:
    metadata = case.predictor(0).metadata
    assert (metadata.crop, metadata.pads) == ("detector", Pads(0, 10, 0, 0))
    assert metadata.decoded_region == (42, 96, 0, 96)


def test_boxes_and_crops_are_the_published_ones(case: Case) -> None:
    prepared = case.prepared()
    boxes = [[b.x, b.y, b.x + b.width, b.y + b.height] for b in prepared.geometry.boxes]
    assert boxes == case.boxes.tolist()
    assert (case.boxes % 2).any(), "boxes begin and end where they like"
    assert case.boxes[:, 3].max() == HEIGHT, "the last ones are clipped"
    assert np.abs(prepared.features.crops.astype(int) - case.faces).max() <= 1


@pytest.mark.parametrize("offset", [0, -640])
def test_mel_windows_are_the_published_ones(offset: int) -> None:
    """But for two columns at each end of a file, which are mirrored there and silent here, and for the tail.

    Where the published script has no whole window left it repeats the last 16 columns once and stops; here every 640
    samples have a picture, and what comes after the sound is silence.
    """
    columns = published.mel(_samples())
    theirs = published.windows(columns)
    ours = decide_frames(SOUND, ClipLoop(FRAMES, "seamless"), window_offset_samples=offset)
    late = offset // 640  # the window of the published training is the script's of one picture before
    whole = len(theirs) - 1
    assert len(ours) == -(-len(_samples()) // 640)
    assert len(ours) > whole, "the tail"
    compared = 0
    for job in ours:
        window = job.frame + late
        if job.mel is not None and 0 <= window < whole:
            at = int(window * 80 / 25) + np.arange(16)
            amid = (at >= 2) & (at < columns.shape[1] - 2)
            np.testing.assert_allclose(job.mel[:, amid], theirs[window][:, amid], atol=2e-4)
            compared += 1
    assert compared >= whole - 1, "every picture speaks"


@pytest.mark.parametrize("offset", [0, -640])
def test_mouths_are_the_published_ones_before_blending(case: Case, offset: int) -> None:
    prepared, predictor = case.prepared(), case.predictor(offset)
    region = predictor.metadata.decoded_region
    jobs = decide_frames(SOUND, ClipLoop(FRAMES, "seamless"), window_offset_samples=offset)
    theirs = published.windows(published.mel(_samples()))
    late = offset // 640
    jobs = [job for job in jobs if job.mel is not None and 1 <= job.frame + late < len(theirs) - 2][::3]
    frames = np.array([job.clip_frame for job in jobs])
    ours = predictor.predict(np.stack([job.mel for job in jobs if job.mel is not None]), prepared.features, frames)

    def drawn(shift: int) -> np.ndarray:
        heard = theirs[[job.frame + late + shift for job in jobs]]
        return published.draw(case.network, heard, case.faces[frames])[:, region.top : region.bottom].astype(int)

    # The script cuts bytes off, the product rounds: one step of 255. The crops' own step comes on top.
    away = np.abs(ours - drawn(0))
    assert away.mean() <= 0.6
    assert np.quantile(away, 0.999) <= 2
    for shift in (-1, 1):
        assert np.abs(ours - drawn(shift)).mean() > 3 * away.mean(), "it is this frame's mouth and no other's"


async def test_pictures_are_the_published_ones_amid_the_mouth_and_the_clip_s_own_outside(case: Case) -> None:
    settings = WorkerSettings(
        case.checkpoint, case.store.root, device="cpu", window_offset_samples=0, precision="fp32", pads=Pads(*PADS)
    )
    worker = RenderWorker(settings)
    try:
        await worker.start()
        shown = [picture.copy() async for _, picture in render_pictures(SOUND, worker, case.store, "shapes")]
    finally:
        await worker.close()
    compositor = case.prepared().compositor()
    theirs = published.windows(published.mel(_samples()))
    away, changed = [], []
    for frame in range(6, len(theirs) - 2):
        at = frame % FRAMES
        face = published.draw(case.network, theirs[frame : frame + 1], case.faces[at : at + 1])[0]
        pasted = bgr_to_ycbcr(published.paste(case.pictures[at], face, case.boxes[at]))[..., 0]
        ours, source = planes(shown[frame])[0], planes(case.i420[at])[0]
        outside = ~compositor.mask(at)
        np.testing.assert_array_equal(ours[outside], source[outside])
        x1, y1, x2, y2 = case.boxes[at].tolist()
        amid = np.s_[y1 + (y2 - y1) * 5 // 8 : y2 - (y2 - y1) // 8, x1 + (x2 - x1) // 8 : x2 - (x2 - x1) // 8]
        # The script enlarges linearly, the product by cubics: they differ in how sharp they are.
        ours, pasted, source = (cv2.GaussianBlur(luma.astype(np.float32), (0, 0), 2) for luma in (ours, pasted, source))
        new = np.abs(pasted - source)[amid] > 40  # where hardly anything changes, the picture's own detail stays
        away.append(np.abs(ours - pasted)[amid][new].mean())
        changed.append(np.abs(source - pasted)[amid][new].mean())
    assert np.mean(away) < 3, "of 255"
    assert np.mean(changed) > 40


def test_other_pads_are_prepared_beside_the_first(case: Case) -> None:
    first = case.prepared()
    other = prepare(case.store.load("shapes"), case.predictor(0, Pads(5, 0, 8, 8)))
    boxes = published.average_boxes(published.pad_boxes(_found(), (5, 0, 8, 8), HEIGHT, WIDTH))
    assert [[b.x, b.y, b.x + b.width, b.y + b.height] for b in other.geometry.boxes] == boxes.tolist()
    assert other.fingerprint != first.fingerprint
    assert case.prepared().geometry == first.geometry, "the other one's files are untouched"


def test_old_preparations_are_made_again(case: Case) -> None:
    avatar, metadata = case.store.load("shapes"), case.predictor(0).metadata
    case.prepared()
    assert avatar.is_prepared(metadata.fingerprint)
    assert metadata.fingerprint == f"{metadata.sha256[:16]}-detector-0-10-0-0"
    assert not avatar.is_prepared(replace(metadata, crop="lipstream").fingerprint), "as older servers named them"
