"""Path-traced training pictures at toy size: teeth, people, scenes and their plan; Blender's part is stood in for."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from training.face_box import Landmarks, square_of
from training.heads import LOWER_TEETH, SKIN, UPPER_TEETH
from training.pairs import CROP, Pictures, draw_batch
from training.pathtraced.film import FILM, FilmPlan
from training.pathtraced.filming import join_film
from training.pathtraced.mesh import QuadHeads, grid_quads, rotation
from training.pathtraced.people import Sitter
from training.pathtraced.scenes import (
    HELD_OUT,
    MOUTHS,
    Plan,
    Scene,
    random_scene,
    random_sitter,
    square_in_view,
    strengths,
)
from training.pathtraced.shards import HEADS, PLAN, TRACED, write_shard
from training.pathtraced.teeth import build_jaw, place_jaw
from training.visemes import MOUTH_ACTIONS
from training.voices import read_audio

PEOPLE = HELD_OUT + 2


def _plan() -> Plan:
    rng = np.random.default_rng(3)
    mouths = rng.uniform(0, 0.6, (40, len(MOUTH_ACTIONS))).astype(np.float32)
    return Plan(MOUTH_ACTIONS, mouths, mouths[:5] + 0.3, np.arange(PEOPLE) % 2 == 0)


def _heads() -> QuadHeads:
    """Return two sizes of a front of a face, a bent sheet, whose jaw drops."""
    x, z = np.meshgrid(np.linspace(-0.07, 0.07, 41), np.linspace(-0.09, 0.09, 61))
    flat = np.stack([x, -0.12 + 12 * x * x, z], axis=-1).reshape(-1, 3).astype(np.float32)
    drop = np.where(flat[:, 2:] < -0.02, (0.0, 0.0, -0.04), 0.0).astype(np.float32)
    quads = grid_quads(61, 41, wrap=False)
    return QuadHeads(
        names=("large", "small"),
        vertices=np.stack([flat, 0.9 * flat]),
        actions=drop[None],
        action_names=("jawOpen",),
        quads=quads,
        corner_uv=np.zeros((len(quads), 4, 2), np.float32),
        parts=np.full(len(flat), SKIN, np.int32),
        canonical=flat,
        follow=np.ones(len(flat), np.float32),
        masks=np.zeros((8, 8, 4), np.uint8),
    )


@pytest.mark.parametrize("upper", [True, False])
def test_a_jaw_has_fourteen_teeth_that_bite_at_its_edge_and_a_gum_above_them(upper: bool) -> None:
    jaw = build_jaw(upper=upper, colour=(0.8, 0.75, 0.66), rng=np.random.default_rng(1))
    crowns = jaw.teeth.vertices.reshape(14, -1, 3)
    away = 1 if upper else -1
    edges, roots = away * crowns[..., 2].min(axis=1), away * crowns[..., 2].max(axis=1)
    assert np.ptp(np.minimum(edges, roots)) < 0.0025, "the bite is nearly flat"
    assert (np.abs(edges - roots) > 0.006).all()
    middles = crowns.mean(axis=1)[[*range(6, -1, -1), *range(7, 14)], :2]
    np.testing.assert_allclose(middles[:, 0], -middles[::-1, 0], atol=2e-4)
    apart = np.linalg.norm(np.diff(middles, axis=0), axis=1)
    assert 0.004 < apart.min() < apart.max() < 0.012, "side by side"
    gum = away * jaw.gum.vertices[:, 2]
    assert gum.max() > (away * jaw.teeth.vertices[:, 2]).max() > gum.min()
    assert jaw.teeth.quads.max() == len(jaw.teeth.vertices) - 1
    assert 0 <= jaw.teeth.colour.min() < jaw.teeth.colour.max() <= 1


def test_a_jaw_is_placed_by_the_similarity_that_moved_it() -> None:
    row = np.random.default_rng(2).normal(0, 0.02, (60, 3))
    turn, shift = 1.1 * rotation((10.0, -20.0, 5.0)), np.array((0.01, -0.02, -0.03))
    found = place_jaw(row, row @ turn.T + shift)
    np.testing.assert_allclose(found[0], turn, atol=1e-12)
    np.testing.assert_allclose(found[1], shift, atol=1e-12)
    assert UPPER_TEETH != LOWER_TEETH


def test_the_square_follows_the_face() -> None:
    heads = _heads()
    x, y, half = square_in_view(heads, "large", (0.0, 0.0, 0.0))
    assert x == pytest.approx(0, abs=0.02)
    turned = square_in_view(heads, "large", (20.0, 0.0, 0.0))
    assert turned[0] > 0.08, "to the head's left, which is the picture's right"
    assert turned[2] == pytest.approx(half, rel=0.05)
    assert square_in_view(heads, "small", (0.0, 0.0, 0.0))[2] < half
    marks = Landmarks.of(heads.canonical, heads.parts == SKIN)
    points = marks.points(heads.vertices[0], heads.actions[0])
    nearer, farther = (square_of(points, points[:, ::2] * per_m, per_m)[2] for per_m in (8.0, 4.0))
    assert nearer == pytest.approx(2 * farther)
    assert abs(y) < 0.3


def test_people_and_scenes_are_drawn_by_the_seed_and_differ_without_it() -> None:
    heads, plan = _heads(), _plan()

    def drawn(seed: int) -> list[object]:
        rng = np.random.default_rng(seed)
        sitter = random_sitter("small", rng, male=True)
        return [sitter, *(str(random_scene(heads, sitter, plan, rng)) for _ in range(3))]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    sitters = [random_sitter("small", np.random.default_rng(seed), male=False) for seed in range(60)]
    assert all(sitter.beard is None for sitter in sitters)
    tones = np.array([sitter.skin.tone for sitter in sitters])
    assert tones[:, 0].max() > 3 * tones[:, 0].min(), "from pale to dark"
    assert 0 <= tones.min() < tones.max() <= 1
    dark, pale = (sitters[int(at)] for at in (tones[:, 0].argmin(), tones[:, 0].argmax()))
    assert dark.light.window > pale.light.window


def test_a_scene_begins_at_rest_and_its_last_mouth_often_laughs() -> None:
    heads, plan, rng = _heads(), _plan(), np.random.default_rng(5)
    sitter = random_sitter("small", rng, male=True)
    scenes = [random_scene(heads, sitter, plan, rng) for _ in range(80)]
    assert all(scene.mouths.shape == (MOUTHS, len(MOUTH_ACTIONS)) for scene in scenes)
    assert not any(scene.mouths[0].any() for scene in scenes)
    laughs = np.mean([(scene.mouths[-1] == plan.laughs).all(axis=1).any() for scene in scenes])
    assert 0.2 < laughs < 0.6
    worn = strengths(plan, {"mouthSmile": 0.8, "eyeBlink": 0.1}, np.full(len(MOUTH_ACTIONS), 0.5, np.float32))
    assert worn["mouthSmile"] == 1
    assert worn["eyeBlink"] == 0.1
    assert worn["jawOpen"] == 0.5


def test_a_plan_survives_saving(tmp_path: Path) -> None:
    plan = _plan()
    plan.save(tmp_path / "plan.npz")
    read = Plan.load(tmp_path / "plan.npz")
    assert read.actions == plan.actions
    for name in ("mouths", "laughs", "male"):
        np.testing.assert_array_equal(getattr(read, name), getattr(plan, name))


def test_path_traced_scenes_join_the_drawn_ones(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for name, scenes, count in (("faces-0000", 4, 5), ("traced-faces-0007", 2, MOUTHS)):
        mouths = rng.uniform(0, 1, (scenes, count, len(MOUTH_ACTIONS))).astype(np.float32)
        images = rng.integers(0, 256, (scenes, count, CROP, CROP, 3), dtype=np.uint8)
        np.savez(tmp_path / f"{name}.npz", images=images, mouths=mouths, identity=np.full(scenes, 100_000))
    (tmp_path / "traced-faces-0008.part.npz").write_bytes(b"begun")
    pictures = Pictures(tmp_path, "faces")
    assert pictures.images.shape == (6, 5, CROP, CROP, 3)
    np.testing.assert_array_equal(pictures.images[4:, 0], images[:, 0])
    np.testing.assert_array_equal(pictures.images[4:, 1], pictures.images[4:, 3])
    np.testing.assert_array_equal(pictures.mouths[4:, (1, 2, 3, 4)], mouths[:, (1, 2, 1, 2)])
    assert draw_batch(pictures, 4, rng).target.shape[0] == 12


class Sketcher:
    """Draws each scene as the size of its mouths, and counts."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def __call__(self, heads: QuadHeads, plan: Plan, sitter: Sitter, scenes: list[Scene]) -> list[np.ndarray]:
        self.taken.append(sitter.id)
        level = [np.round(60 * scene.mouths.sum(axis=1) + 10 * abs(scene.window[0])) for scene in scenes]
        return [np.broadcast_to(one[:, None, None, None] % 256, (MOUTHS, 8, 8, 3)).astype(np.uint8) for one in level]


def test_a_lost_shard_is_drawn_again_as_it_was_and_others_are_skipped(tmp_path: Path) -> None:
    heads = _heads()
    many = tuple(f"t{number:03d}" for number in range(PEOPLE))
    replace(heads, names=many, vertices=np.repeat(heads.vertices[:1], PEOPLE, axis=0)).save(tmp_path / HEADS)
    _plan().save(tmp_path / PLAN)
    take = Sketcher()

    def run(*, held_out: bool = False) -> list[Path]:
        kind = {"scenes": 2, "size": CROP, "seed": 1, "held_out": held_out}
        return [write_shard(tmp_path, number, take, **kind) for number in range(4)]  # type: ignore[arg-type]

    paths = run()
    assert [path.name for path in paths] == [f"traced-faces-{number:04d}.npz" for number in range(4)]
    first = [path.read_bytes() for path in paths]
    assert len(set(first)) == 4
    paths[2].unlink()
    paths[2].with_suffix(".part.npz").write_bytes(b"ended in the middle")
    run()
    assert len(take.taken) == 5
    assert [path.read_bytes() for path in paths] == first
    assert not list(tmp_path.glob("*.part.npz"))
    assert set(take.taken) <= set(many[:-HELD_OUT])
    take.taken.clear()
    assert all(path.name.startswith("traced-held-") for path in run(held_out=True))
    assert set(take.taken) <= set(many[-HELD_OUT:])
    with np.load(paths[0]) as shard:
        assert shard["images"].shape == (2, MOUTHS, 8, 8, 3)
        assert shard["mouths"].shape == (2, MOUTHS, len(MOUTH_ACTIONS))
        assert (shard["identity"] >= TRACED).all()


def test_rendered_frames_become_a_clip_with_sound(tmp_path: Path) -> None:
    frames = 12
    samples = (0.2 * np.sin(np.arange(frames * 640) / 10)).astype(np.float32)
    mouths = np.zeros((frames, len(MOUTH_ACTIONS)), np.float32)
    plan = FilmPlan(3, mouths, mouths[:, :3], mouths[:, 0], samples)
    plan.save(tmp_path / FILM)
    assert FilmPlan.load(tmp_path / FILM).person == 3
    (tmp_path / "film").mkdir()
    *most, last = plan.pictures(tmp_path / "film")
    for level, path in enumerate(most):
        cv2.imwrite(str(path), np.full((64, 64, 3), 20 * level, np.uint8))
    with pytest.raises(FileNotFoundError, match="1 of 12 frames are not rendered"):
        join_film(tmp_path, tmp_path / "me.mp4")
    cv2.imwrite(str(last), np.full((64, 64, 3), 220, np.uint8))
    join_film(tmp_path, tmp_path / "me.mp4")
    reader = cv2.VideoCapture(str(tmp_path / "me.mp4"))
    levels = [float(np.mean(reader.read()[1])) for _ in range(frames)]
    assert np.all(np.diff(levels) > 10)
    heard = read_audio(tmp_path / "me.mp4")
    assert abs(len(heard) - len(samples)) < 2500
    assert np.abs(heard).max() == pytest.approx(0.2, abs=0.05)
