"""Weights of a published network adapted to one person: their crop, and what is written of them."""

import dataclasses
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from lipstream.avatar_cache.clip_builder import BuildOptions
from lipstream.avatar_cache.crop_geometry import crop_face, crop_geometry
from lipstream.avatar_cache.prepare import decode_clip
from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS, Pads, WeightsMetadata
from lipstream.realtime.lipsync.network import Wav2Lip
from lipstream.realtime.lipsync.weights import load_weights, save_weights
from tests.realtime.speech import voice
from training.filmed import Filmed, read_clip, rested
from training.personal import personal_fit

PORTRAIT = Path(__file__).parents[1] / "avatar_cache" / "astronaut.jpg"
FRAMES, WIDTH, HEIGHT = 104, 300, 340


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portrait that sways, with sound."""
    path = tmp_path_factory.mktemp("clip") / "me.mp4"
    photo = cv2.imread(str(PORTRAIT))
    assert photo is not None
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"crf": "10", "preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = container.add_stream("aac", rate=16000, layout="mono")
        for number in range(FRAMES):
            left = 80 + round(4 * np.sin(number / 8))
            picture = np.ascontiguousarray(photo[:HEIGHT, left : left + WIDTH])
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(video.encode(None))
        sound = av.AudioFrame.from_ndarray(voice(FRAMES / 25)[None], format="fltp", layout="mono")
        sound.sample_rate, sound.time_base, sound.pts = 16000, Fraction(1, 16000), 0
        container.mux(audio.encode(sound))
        container.mux(audio.encode(None))
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("published") / "wav2lip.pth"
    torch.save({"state_dict": Wav2Lip(0.0625).state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def published(checkpoint: Path) -> WeightsMetadata:
    return load_weights(checkpoint)[1]


@pytest.fixture(scope="module")
def filmed(clip: Path, published: WeightsMetadata) -> Filmed:
    return read_clip(clip, published)


def test_the_crops_learned_from_are_those_of_an_avatar(
    clip: Path, filmed: Filmed, published: WeightsMetadata, tmp_path: Path
) -> None:
    avatar = AvatarStore(tmp_path).build(clip, "me", options=BuildOptions(loop="pingpong"))
    boxes = crop_geometry(avatar.manifest, published).boxes
    crops = [
        crop_face(frame, box, published.size, "detector")
        for frame, box in zip(decode_clip(avatar.clip, avatar.manifest), boxes, strict=True)
    ]
    assert len(crops) == len(filmed.crops) == FRAMES
    assert np.abs(np.stack(crops).astype(int) - filmed.crops).mean() < 3, "but for what encoding the clip again loses"
    assert np.allclose(filmed.wide, [box.width / box.height for box in boxes])
    assert filmed.wide.max() < 0.95, "rectangles"
    assert (filmed.points[:, 48:, 1].mean() / published.size) > 0.6, "points lie where the crops show them"


def test_a_reference_turns_with_the_head_in_the_picture_though_the_crop_is_squeezed() -> None:
    rng, side, wide = np.random.default_rng(0), 96, 0.6
    blurred = cv2.GaussianBlur(rng.uniform(0, 1, (96, 96, 3)), (0, 0), 4)
    photo = cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    points = rng.uniform(20, 70, (68, 2))
    turned = cv2.getRotationMatrix2D((36, 48), 14, 1)
    squeeze = np.diag((1 / wide, 1.0)).astype(np.float32)

    def crop(moves: np.ndarray) -> np.ndarray:
        whole = squeeze @ moves
        return np.asarray(cv2.warpAffine(photo, whole, (side, side), borderMode=cv2.BORDER_REPLICATE))

    moves = [np.eye(2, 3), turned]
    seen = Filmed(
        np.stack([crop(move) for move in moves]),
        np.stack([(points @ move[:, :2].T + move[:, 2]) @ squeeze for move in moves]).astype(np.float32),
        np.full(2, wide, np.float32),
        np.zeros((2, 3), np.float32),
        np.zeros(2, np.float32),
        np.zeros(0, np.float32),
    )
    laid = rested(seen, 1, 1)
    amid = np.s_[30:66, 30:66]
    assert np.abs(laid[amid].astype(int) - seen.crops[1][amid]).mean() < 3
    assert np.abs(seen.crops[0][amid].astype(int) - seen.crops[1][amid]).mean() > 6


@pytest.mark.parametrize("pads", [None, Pads(4, 20, 0, 2)])
def test_what_is_written_keeps_crop_pads_layout_and_offset(
    clip: Path, checkpoint: Path, pads: Pads | None, tmp_path: Path
) -> None:
    weights = checkpoint
    if pads:
        network, facts = load_weights(checkpoint)
        weights = tmp_path / "padded.safetensors"
        save_weights(
            network, weights, window_offset_samples=0, decoded_region=facts.decoded_region, licence="CC0-1.0",
            name="padded", crop="detector", pads=pads,
        )  # fmt: skip
    out = tmp_path / "me.safetensors"
    figures = personal_fit(clip, weights, out, minutes=0.003, batch_size=2, progress=str)
    assert figures["mouth L1"][1] != figures["mouth L1"][0], "something was learned"
    before, after = load_weights(weights)[1], load_weights(out)[1]
    assert after.crop == "detector"
    assert after.pads == (pads or Pads(0, 10, 0, 0))
    same = dataclasses.replace(after, name=before.name, licence=before.licence, sha256=before.sha256)
    assert same == before


def test_the_built_in_weights_keep_their_square(clip: Path) -> None:
    filmed = read_clip(clip, load_weights(BUILT_IN_WEIGHTS)[1])
    assert (filmed.wide == 1).all()
