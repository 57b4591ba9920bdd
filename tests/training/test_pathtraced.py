"""Geometry, paint, strands and stills of the path-traced people at toy size; Blender has no part in it."""

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipstream.avatar_cache.forms import GREEN_BGR
from lipstream.avatar_cache.idle_motion import moments
from lipstream.avatar_cache.manifest import Manifest, check_id
from lipstream.avatar_cache.stills import EYES_WINDOW, LIDS, StillFacts, Stills, View, window_slices
from lipstream.realtime.errors import AvatarError
from training.pathtraced.clips import keep_stills, save_stills, write_avatar, write_sheet
from training.pathtraced.clothes import build_glasses, dress
from training.pathtraced.eyes import IRIS_M, RADIUS_M, build_cornea, build_eyeball, look_along
from training.pathtraced.hair import Skin, grow_hair
from training.pathtraced.mesh import SKIN, QuadHeads, Surface, grid_quads, rotation
from training.pathtraced.paint import paint_skin
from training.pathtraced.people import ADA, KENJI, SITTERS, VIKTOR
from training.pathtraced.shots import TALL, ShotList, shots_of, shut_lids
from training.pathtraced.strands import Roots, brow_density, grow_beard, grow_brows
from training.pathtraced.subdivision import catmull_clark

ASTRONAUT = Path(__file__).parents[1] / "avatar_cache" / "astronaut.jpg"
CUBE = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]], np.int32)
CORNERS = np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
_STRANDS = 12000  # fewer would gather in locks from too far away
CENTRE = np.array((0.0, 0.012, 0.02))


def _head() -> QuadHeads:
    """Return an egg of a head on a cylinder of a neck, about as large as the average face."""
    down, around = 40, 64
    angle = np.linspace(0.02, np.pi, down)[:, None]
    theta = np.linspace(0, 2 * np.pi, around, endpoint=False)[None]
    ball = np.stack([np.sin(angle) * np.sin(theta), -np.sin(angle) * np.cos(theta), np.cos(angle) + 0 * theta], axis=-1)
    vertices = (CENTRE + ball * (0.078, 0.105, 0.125)).reshape(-1, 3).astype(np.float32)
    quads = grid_quads(down, around, wrap=True)[:, ::-1]
    uv = np.zeros((len(quads), 4, 2), np.float32)
    return QuadHeads(
        names=("egg",),
        vertices=vertices[None],
        actions=np.stack([0 * vertices + (0, 0, 0.001), 0 * vertices + (0.002, 0, 0)]).astype(np.float32),
        action_names=("eyeBlinkLeft", "eyeBlinkRight"),
        quads=quads,
        corner_uv=uv,
        parts=np.full(len(vertices), SKIN, np.int32),
        canonical=vertices,
        follow=np.ones(len(vertices), np.float32),
        masks=np.zeros((8, 8, 4), np.uint8),
    )


@pytest.fixture(scope="module")
def skin() -> Skin:
    head = _head()
    surface = head.surface(SKIN, 1)
    placed = surface.place(head.canonical.astype(np.float64))
    return Skin(surface, placed, placed, surface.normals(placed), head.masks_at(surface.uv))


def test_a_subdivided_cube_is_the_known_one() -> None:
    fine, matrix, uv = catmull_clark(CUBE, 8, np.zeros((6, 4, 2)))
    points = matrix @ CORNERS
    assert fine.shape == (24, 4)
    assert points.shape == (8 + 12 + 6, 3)
    assert uv.shape == (24, 4, 2)
    np.testing.assert_allclose(np.abs(points[:8]), 5 / 9, atol=1e-12)  # (Q + 2 R + 0 P) / 3 with Q = 1/3, R = 2/3
    np.testing.assert_allclose(np.sort(np.abs(points[8:20]), axis=1), np.tile((0, 0.75, 0.75), (12, 1)), atol=1e-12)
    np.testing.assert_allclose(np.asarray(matrix.sum(axis=1)).ravel(), 1)
    assert np.unique(fine).size == len(points)


def test_an_open_border_stays_on_its_line() -> None:
    flat = np.stack(np.meshgrid(np.arange(4.0), np.arange(3.0), indexing="ij"), axis=-1).reshape(-1, 2)
    surface = Surface(grid_quads(4, 3, wrap=False), np.zeros((6, 4, 2), np.float32), 12, 2)
    placed = surface.place(np.column_stack([flat, np.zeros(12)]))
    assert np.ptp(placed[:, 2]) == 0
    assert placed[:, 0].min() == pytest.approx(0, abs=0.2)
    assert placed[:, 0].max() == pytest.approx(3, abs=0.2)
    np.testing.assert_allclose(np.abs(surface.normals(placed)[:, 2]), 1, atol=1e-9)


def test_heads_survive_saving_and_both_sides_answer_to_one_name(tmp_path: Path) -> None:
    head = _head()
    head.save(tmp_path / "heads.npz")
    read = QuadHeads.load(tmp_path / "heads.npz")
    assert read.names == ("egg",)
    moved = read.posed("egg", {"eyeBlink": 0.5}) - head.vertices[0]
    np.testing.assert_allclose(moved, np.tile((0.001, 0, 0.0005), (len(moved), 1)), atol=1e-6)


def test_a_turn_is_a_rotation_about_the_upright_axis() -> None:
    turn = rotation((30.0, -10.0, 5.0))
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(rotation((90.0, 0, 0)) @ (0, -1.0, 0), (1, 0, 0), atol=1e-12)


def test_an_eye_looks_along_its_axis_under_its_cornea() -> None:
    ball, cap = build_eyeball((0.1, 0.05, 0.02), np.random.default_rng(0)), build_cornea()
    away = np.linalg.norm(ball.vertices, axis=1)
    assert away.max() == pytest.approx(RADIUS_M, rel=1e-6)
    pupil = ball.colour.sum(axis=1) < 0.01
    assert np.hypot(*ball.vertices[pupil, :2].T).max() < 0.4 * IRIS_M
    assert ball.vertices[pupil, 2].min() > 0.5 * RADIUS_M
    assert np.linalg.norm(cap.vertices, axis=1)[:64].min() > RADIUS_M, "the middle of the cornea stands out"
    towards = np.array((0.3, -1.0, 0.1))
    np.testing.assert_allclose(look_along(towards)[:, 2], towards / np.linalg.norm(towards))


def test_paint_is_even_on_both_sides_and_a_shaved_beard_is_greyer(skin: Skin) -> None:
    paint = paint_skin(skin.canonical, skin.masks, ADA.skin)
    mirrored = paint_skin(skin.canonical * (-1, 1, 1), skin.masks, ADA.skin)
    np.testing.assert_allclose(paint.colour, mirrored.colour)
    assert paint.colour.min() > 0
    assert paint.colour.max() < 1
    shaved = paint_skin(skin.canonical, skin.masks, replace(ADA.skin, shaved=1.0))
    beard = paint.zones[:, 2] > 0.5
    assert beard.any()
    assert (shaved.colour[beard] < 0.9 * paint.colour[beard]).all()
    np.testing.assert_allclose(shaved.colour[paint.zones[:, 2] == 0], paint.colour[paint.zones[:, 2] == 0])


@pytest.mark.parametrize("sitter", [ADA, KENJI, SITTERS[1]], ids=["long", "short", "curls"])
def test_hair_grows_from_the_scalp_and_stays_off_the_head(skin: Skin, sitter: object) -> None:
    hair = replace(sitter.hair, count=_STRANDS)  # type: ignore[attr-defined]
    strands = grow_hair(skin, hair, np.random.default_rng(4))
    assert strands.points.shape[0] == strands.radius.shape[0] == len(strands.melanin) == _STRANDS
    roots = strands.points[:, 0]
    assert (roots[:, 2] > 0.0).mean() > 0.9, "on the cranium"
    inside = np.linalg.norm((strands.points - CENTRE) / (0.078, 0.105, 0.125), axis=-1)
    assert np.quantile(inside, 0.02) > 0.95, "hardly any point lies under the skin"
    length = np.linalg.norm(np.diff(strands.points, axis=1), axis=-1).sum(axis=1)
    assert length.max() < 2.2 * max(hair.length_m, hair.side_m)
    again = grow_hair(skin, hair, np.random.default_rng(4))
    np.testing.assert_array_equal(again.points, strands.points)


def test_a_share_of_grey_hair_has_no_pigment(skin: Skin) -> None:
    strands = grow_hair(skin, replace(VIKTOR.hair, count=2000), np.random.default_rng(4))
    assert (strands.melanin < 0.1).mean() == pytest.approx(VIKTOR.hair.colour.grey, abs=0.04)


def test_brows_and_beard_grow_where_they_belong(skin: Skin) -> None:
    rng = np.random.default_rng(1)
    density = brow_density(skin.canonical, VIKTOR.brows)
    assert density.max() > 0.3
    brows = grow_brows(Roots(skin.surface, skin.canonical, density, 60, rng), skin.canonical, skin.placed, skin.normals,
                       VIKTOR.brows, rng)  # fmt: skip
    assert (np.abs(brows.points[:, 0, 2] - 0.06) < 0.02).all()
    assert VIKTOR.beard
    zone = paint_skin(skin.canonical, skin.masks, VIKTOR.skin).zones[:, 2]
    beard = grow_beard(Roots(skin.surface, skin.canonical, zone, 60, rng), skin.canonical, skin.placed, skin.normals,
                       VIKTOR.beard, rng)  # fmt: skip
    assert beard.points[:, 0, 2].max() < 0.02
    assert (beard.points[:, -1, 2] < beard.points[:, 0, 2]).mean() > 0.9, "it hangs"


def test_glasses_mirror_and_clothes_end_at_the_neckline(skin: Skin) -> None:
    eyes = np.array([[-0.03, -0.08, 0.04], [0.03, -0.08, 0.04]])
    ears = np.array([[-0.075, 0.01, 0.045], [0.075, 0.01, 0.045]])
    glasses = build_glasses(eyes, ears, np.array((0.0, -0.1, 0.04)))
    low, high = glasses.frame.vertices.min(axis=0), glasses.frame.vertices.max(axis=0)
    assert low[0] == pytest.approx(-high[0], abs=1e-4)
    assert glasses.frame.quads.max() == len(glasses.frame.vertices) - 1
    lowered = skin.canonical * (2.2, 1.4, 1.0) - (0, 0, 0.16)
    top = dress(skin.surface, lowered, lowered, skin.normals, ADA.clothes)
    assert top.outside.min() < 0.01 < top.outside.max()
    assert np.isfinite(top.collar.vertices).all()


def test_at_least_six_people_are_told_apart() -> None:
    assert len(SITTERS) >= 6
    assert len({check_id(sitter.id) for sitter in SITTERS}) == len(SITTERS)
    assert all(sitter.id == sitter.identity.name for sitter in SITTERS)
    assert sum(sitter.glasses for sitter in SITTERS) >= 1
    assert sum(sitter.beard is not None for sitter in SITTERS) >= 1


def test_shots_survive_saving_and_lids_shut_by_shares(tmp_path: Path) -> None:
    shots = shots_of(ADA, size_px=64, samples=1)
    ShotList("people.npz", shots).save(tmp_path / "shots.json")
    assert ShotList.load(tmp_path / "shots.json") == ShotList("people.npz", shots)
    assert len({shot.file for shot in shots}) == len(shots) == 2 + len(LIDS)
    assert {shot.name: shot.tall for shot in shots if shot.tall != 1} == {"open": TALL}
    assert shut_lids({"eyeWide": 0.2, "mouthSmile": 0.3}, 1.0) == {"eyeWide": 0, "mouthSmile": 0.3, "eyeBlink": 1.0}


def _stills() -> Stills:
    """Return a portrait as stills whose lids are a grey that darkens."""
    picture = cv2.imread(str(ASTRONAUT))
    assert picture is not None
    side = min(picture.shape[:2])
    whole = np.dstack([picture[:side, :side], np.full((side, side), 255, np.uint8)])
    whole[:8, :8, 3] = 0
    rows, columns = window_slices(EYES_WINDOW, side)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    lids = [np.full((height, width, 4), (level, level, level, 255), np.uint8) for level in (160, 120, 80, 40)]
    return Stills(np.asarray(whole, np.uint8), tuple(lids), np.full((side, side, 3), 200, np.uint8))


def test_stills_survive_as_webp_and_fade_into_the_face(tmp_path: Path) -> None:
    stills = _stills()
    stills.save(tmp_path)
    read = Stills.load(tmp_path)
    assert np.abs(read.open.astype(int) - stills.open).mean() < 4
    usual, lids = read.faces(read.square)
    assert [share for share, _ in lids] == list(LIDS)
    assert abs(int(usual[2, 2, 0]) - 200) < 8, "the room shows where the person is not"
    green, _ = read.faces(read.square, GREEN_BGR)
    np.testing.assert_allclose(green[2, 2], GREEN_BGR, atol=8)
    rows, columns = window_slices(EYES_WINDOW, len(usual))
    middle = ((rows.start + rows.stop) // 2, (columns.start + columns.stop) // 2)
    assert lids[-1][1][middle].mean() == pytest.approx(40, abs=8)
    outside = np.ones(usual.shape[:2], bool)
    outside[rows, columns] = False
    np.testing.assert_array_equal(lids[-1][1][outside], usual[outside])
    (tmp_path / "lids030.webp").unlink()
    with pytest.raises(AvatarError, match="lids030"):
        Stills.load(tmp_path)


def test_specks_at_the_edge_are_cleared_and_a_drawing_is_left_alone() -> None:
    stills = _stills()
    stills.open[20:60, 20:60, 3] = 0
    stills.open[30, 30] = (0, 0, 0, 255)  # one ray that met a hair
    clean = stills.face(stills.square, (0, 255, 0))
    assert clean[30, 30, 1] > 240
    assert stills.face(stills.square, (0, 0, 0))[64:100, 64:100].mean() > 40, "the person stays"
    drawn = stills.face(stills.square, (0, 255, 0), drawn=True)
    assert drawn[30, 30].max() == 0
    np.testing.assert_array_equal(drawn[100:, 100:], stills.open[100:, 100:, :3])


def test_a_view_places_and_scales_the_person_before_the_whole_room() -> None:
    stills = _stills()
    side = len(stills.open)
    usual, _ = stills.faces(stills.square, drawn=True)
    placed, lids = stills.faces(View(side + 40, 2 * side, 1.0, 30, 50), drawn=True)
    np.testing.assert_array_equal(placed[60 : 40 + side, 40 : 20 + side], usual[10:-10, 10:-10])
    assert np.abs(placed[60 + side :].astype(int) - 200).max() <= 1, "the room"
    assert all(picture.shape == placed.shape for _, picture in lids)
    cut, _ = stills.faces(View(side - 60, side - 80, 1.0, -30, -50), drawn=True)
    np.testing.assert_array_equal(cut, usual[50 : side - 30, 30 : side - 30])
    half, _ = stills.faces(View(side // 2, side // 2, 0.5), drawn=True)
    shrunk = cv2.resize(usual, half.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(half.astype(int) - shrunk).mean() < 1


def test_an_avatar_of_stills_blinks(tmp_path: Path) -> None:
    save_stills(_stills(), tmp_path / "stills")
    write_avatar(tmp_path / "stills", tmp_path / "ada", "A portrait.", "nobody's", size_px=256)
    manifest = Manifest.read(tmp_path / "ada" / "avatar.json")
    assert manifest.frames == len(moments()) == len(manifest.detector_boxes)
    assert manifest.size == (256, 256)
    assert manifest.outline
    reader = cv2.VideoCapture(str(tmp_path / "ada" / "clip.mp4"))
    frames = [np.asarray(reader.read()[1], np.int16) for _ in range(manifest.frames)]
    rows, columns = window_slices(EYES_WINDOW, 256)
    eyes = np.array([frame[rows, columns].mean() for frame in frames])
    shut = np.array([moment.shut for moment in moments()])
    change = np.abs(eyes - eyes[0])
    assert change[shut == 0].max() < 0.3 * change[shut > 0.95].min()


def test_blender_is_imported_by_its_own_scripts_alone() -> None:
    root = Path(__file__).parents[2]
    asking = [
        path.relative_to(root)
        for top in ("lipstream", "realtime", "avatar_cache", "training", "benchmarks")
        for path in (root / top).rglob("*.py")
        if re.search(r"^\s*(import|from) (bpy|mathutils|training\.pathtraced\.blender)", path.read_text(), re.MULTILINE)
    ]
    assert asking
    assert all(path.parts[:3] == ("training", "pathtraced", "blender") for path in asking)


def test_rendered_pictures_are_kept_once_all_are_there(tmp_path: Path) -> None:
    stills = _stills()
    names = [shot.name for shot in shots_of(ADA, size_px=64, samples=1)]
    pictures = {"open": stills.open, "room": stills.room} | {
        f"lids{round(100 * shut):03d}": picture for shut, picture in zip(LIDS, stills.lids, strict=True)
    }
    assert set(names) == set(pictures)
    for name in names[:-1]:
        cv2.imwrite(str(tmp_path / f"ada_{name}.png"), pictures[name])
    keep_stills(tmp_path, tmp_path / "avatars")
    assert not (tmp_path / "avatars").exists(), "one is missing"
    cv2.imwrite(str(tmp_path / f"ada_{names[-1]}.png"), pictures[names[-1]])
    keep_stills(tmp_path, tmp_path / "avatars")
    kept = tmp_path / "avatars" / "ada" / "stills"
    assert Stills.load(kept).open.shape == stills.open.shape
    assert StillFacts.load(kept).size == stills.open.shape[1::-1]
    write_sheet(tmp_path / "avatars", tmp_path / "sheet.jpg")
    sheet = cv2.imread(str(tmp_path / "sheet.jpg"))
    assert sheet is not None
    assert sheet.shape == (576, 288, 3)
