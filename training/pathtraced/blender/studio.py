"""One person as objects of a scene, moved in place from shot to shot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from training.heads import LOWER_TEETH, TONGUE, UPPER_TEETH
from training.pathtraced.blender import materials
from training.pathtraced.blender.scene import matrix
from training.pathtraced.clothes import build_glasses, dress
from training.pathtraced.eyes import RADIUS_M, build_caruncle, build_cornea, build_eyeball, look_along
from training.pathtraced.hair import Skin as HairySkin
from training.pathtraced.hair import grow_hair
from training.pathtraced.mesh import EARS, EYE, SKIN, Floats, Ints, QuadHeads, rotation
from training.pathtraced.paint import paint_skin
from training.pathtraced.people import Sitter
from training.pathtraced.strands import (
    Roots,
    Strands,
    brow_density,
    grow_beard,
    grow_brows,
    grow_lashes,
    lash_lines,
    tear_line,
)
from training.pathtraced.teeth import build_jaw, place_jaw

_LEVELS = 2
_GAZE = np.array((0.0, -1.09, 0.01))
"""Where the eyes look: into the camera."""
_CARUNCLE = np.array((0.0176, -0.0895, 0.0372))
_SEED = 21
_TONGUE = (0.50, 0.17, 0.155)


@dataclass(frozen=True)
class _Rigid:
    """An object that follows the head as a whole."""

    thing: Any
    vertices: Floats


@dataclass(frozen=True)
class _Jaw:
    """Teeth and gum of one jaw, which follow the mesh's own row of teeth."""

    of_mesh: NDArray[np.bool_]
    drop_m: float
    parts: list[_Rigid]


class Studio:
    """The scene of one sitter; `pose` moves everything.

    Args:
        mouth: Whether there are teeth, gums and tongue; a still whose lips are shut needs none.
        bare: Whether to leave out hair and clothes, and to work out skin quickly: for pictures of the mouth.
    """

    def __init__(self, heads: QuadHeads, sitter: Sitter, *, mouth: bool = False, bare: bool = False) -> None:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self._heads, self._sitter = heads, sitter
        self._rest = heads.posed(sitter.id, sitter.rest)
        self._surface = heads.surface(SKIN, _LEVELS)
        self._canonical = self._surface.place(heads.canonical.astype(np.float64))
        self._masks = heads.masks_at(self._surface.uv)
        self._lash_strips = [(lash_lines(heads, side, upper=up), up) for side in (-1, 1) for up in (True, False)]
        placed = self._surface.place(self._rest)
        normals = self._surface.normals(placed)
        paint = paint_skin(self._canonical, self._masks, sitter.skin)
        vectors = {"canon": self._canonical, "zones": paint.zones, "finish": paint.finish, "lines": paint.lines}
        self._skin = _mesh("skin", placed, self._surface.quads, materials.skin(quick=bare), paint.colour, vectors)
        self._add_eyes()
        self._add_strands(placed, normals, paint.zones[:, 2])
        self._hair_rest: Strands | None = None
        if not bare:
            self._add_hair(placed, normals)
            self._add_clothes(placed, normals)
        self._jaws = self._add_mouth() if mouth else []
        self._glasses = self._add_glasses(placed) if sitter.glasses else []

    def _add_eyes(self) -> None:
        rng = np.random.default_rng(5)
        ball, cap, corner = build_eyeball(self._sitter.iris, rng), build_cornea(), build_caruncle()
        wet, clear, flesh = materials.eyeball(), materials.cornea(), materials.flesh()
        self._eyes = {
            side: (
                _mesh(f"eyeball {side}", ball.vertices, ball.quads, wet, ball.colour),
                _mesh(f"cornea {side}", cap.vertices, cap.quads, clear),
                _mesh(f"caruncle {side}", corner.vertices, corner.quads, flesh, corner.colour),
            )
            for side in (-1, 1)
        }

    def _add_strands(self, placed: Floats, normals: Floats, beard_zone: Floats) -> None:
        sitter, rng = self._sitter, np.random.default_rng(_SEED)
        brows, beard = sitter.brows, sitter.beard
        roots = Roots(self._surface, self._canonical, brow_density(self._canonical, brows), brows.count, rng)
        self._brow_roots = roots
        dark = materials.hair("brow hair", brows.colour.redness, 0.35)
        self._brows = _curves("brows", self._grow_brows(placed, normals), dark)
        lashes = grow_lashes(self._lash_strips, self._rest, np.random.default_rng(2))
        self._lashes = _curves("lashes", lashes, materials.hair("lash hair", 0.2, 0.3))
        tear = materials.film("tear", 1.34, 0.03)
        self._tears = [
            (strip, _curves("tear", tear_line(strip, self._rest), tear)) for strip, up in self._lash_strips if not up
        ]
        self._beard = None
        if beard:
            self._beard_roots = Roots(self._surface, self._canonical, beard_zone**1.3, beard.count, rng)
            self._beard = _curves(
                "beard",
                self._grow_beard(placed, normals),
                materials.hair("beard hair", beard.colour.redness, 0.35),
            )
        self._hair_rng = rng

    def _add_hair(self, placed: Floats, normals: Floats) -> None:
        hair = self._sitter.hair
        skin = HairySkin(self._surface, self._canonical, placed, normals, self._masks)
        self._hair_rest = grow_hair(skin, hair, self._hair_rng)
        self._hair = _curves("hair", self._hair_rest, materials.hair("head hair", hair.colour.redness, 0.30))

    def _grow_brows(self, placed: Floats, normals: Floats) -> Strands:
        rng = np.random.default_rng(1)
        return grow_brows(self._brow_roots, self._canonical, placed, normals, self._sitter.brows, rng)

    def _grow_beard(self, placed: Floats, normals: Floats) -> Strands:
        assert self._sitter.beard
        rng = np.random.default_rng(3)
        return grow_beard(self._beard_roots, self._canonical, placed, normals, self._sitter.beard, rng)

    def _add_clothes(self, placed: Floats, normals: Floats) -> None:
        clothes = self._sitter.clothes
        top = dress(self._surface, self._canonical, placed, normals, clothes)
        vectors = {"canon": top.body.vertices, "zones": np.stack([top.outside * 1000] * 3, axis=1)}
        _mesh("cloth", top.body.vertices, top.body.quads, materials.cloth(clothes), None, vectors)
        rim = top.collar
        _mesh("collar", rim.vertices, rim.quads, materials.collar(clothes), rim.colour)

    def _add_mouth(self) -> list[_Jaw]:
        heads, teeth = self._heads, self._sitter.teeth
        self._tongue_surface = heads.surface(TONGUE, _LEVELS)
        tongue = self._tongue_surface.place(self._rest)
        wet = materials.flesh()
        self._tongue = _mesh("tongue", tongue, self._tongue_surface.quads, wet, np.tile(_TONGUE, (len(tongue), 1)))
        jaws = []
        for part, upper in ((UPPER_TEETH, True), (LOWER_TEETH, False)):
            jaw = build_jaw(upper=upper, colour=teeth.colour, rng=np.random.default_rng(11))
            things = []
            for shape, material in ((jaw.teeth, materials.tooth()), (jaw.gum, wet)):
                vectors = {"canon": shape.vertices}
                thing = _mesh("jaw", shape.vertices, shape.quads, material, shape.colour, vectors)
                things.append(_Rigid(thing, shape.vertices))
            jaws.append(_Jaw(heads.parts == part, teeth.drop_m if upper else 0.0, things))
        return jaws

    def _add_glasses(self, placed: Floats) -> list[_Rigid]:
        place, ears = self._canonical, self._masks[:, EARS] > 0.5
        sides = [ears & (np.sign(place[:, 0]) == side) for side in (-1, 1)]
        tops = np.stack([placed[side][placed[side][:, 2].argmax()] for side in sides])
        ridge = (np.abs(place[:, 0]) < 0.003) & (np.abs(place[:, 2] - 0.038) < 0.003) & (place[:, 1] < -0.08)
        centres = np.stack([self._eye_vertices(side).mean(axis=0) for side in (-1, 1)])
        glasses = build_glasses(centres, tops, placed[ridge].mean(axis=0))
        frame, lenses = glasses.frame, glasses.lenses
        return [
            _Rigid(_mesh("frame", frame.vertices, frame.quads, materials.spectacle_frame()), frame.vertices),
            _Rigid(_mesh("lenses", lenses.vertices, lenses.quads, materials.film("lens", 1.45, 0.0)), lenses.vertices),
        ]

    def _eye_vertices(self, side: int) -> Floats:
        own = (self._heads.parts == EYE) & (np.sign(self._heads.canonical[:, 0]) == side)
        shape: Floats = self._heads.posed(self._sitter.id, {})[own]
        return shape

    def pose(self, actions: dict[str, float], head: tuple[float, float, float]) -> None:
        """Move everything to an expression and a turn of the head.

        Args:
            actions: Strengths of the facial actions.
            head: Yaw, pitch, roll, degrees.
        """
        turn = rotation(head)
        follow = self._heads.follow.astype(np.float64)[:, None]
        vertices = self._heads.posed(self._sitter.id, actions)
        vertices += follow * (vertices @ turn.T - vertices)
        placed = self._surface.place(vertices)
        normals = self._surface.normals(placed)
        _move(self._skin, placed)
        _move_curves(self._brows, self._grow_brows(placed, normals))
        _move_curves(self._lashes, grow_lashes(self._lash_strips, vertices, np.random.default_rng(2)))
        for strip, tear in self._tears:
            _move_curves(tear, tear_line(strip, vertices))
        if self._beard:
            _move_curves(self._beard, self._grow_beard(placed, normals))
        self._pose_eyes(turn, placed)
        for part in self._glasses:
            _move(part.thing, part.vertices @ turn.T)
        for jaw in self._jaws:
            self._pose_jaw(jaw, vertices, turn)
        if self._jaws:
            _move(self._tongue, self._tongue_surface.place(vertices))
        if self._hair_rest is None:
            return
        points = self._hair_rest.points
        share = np.clip((points[..., 2:] + 0.16) / 0.14, 0, 1)
        turned = points + share * (points @ turn.T - points)
        _move_curves(self._hair, Strands(turned, self._hair_rest.radius, self._hair_rest.melanin))

    def _pose_jaw(self, jaw: _Jaw, vertices: Floats, turn: Floats) -> None:
        place, shift = place_jaw(self._heads.canonical[jaw.of_mesh].astype(np.float64), vertices[jaw.of_mesh])
        dropped = turn @ np.array((0.0, 0.0, -jaw.drop_m))
        for part in jaw.parts:
            _move(part.thing, part.vertices @ place.T + shift + dropped)

    def _pose_eyes(self, turn: Floats, placed: Floats) -> None:
        for side, (ball, cap, corner) in self._eyes.items():
            shape = self._eye_vertices(side)
            middle = shape.mean(axis=0)
            scale = 0.995 * float(np.linalg.norm(shape - middle, axis=1).mean()) / RADIUS_M
            centre = turn @ middle
            for part in (ball, cap):
                part.matrix_world = matrix(look_along(_GAZE - centre) * scale, centre)
            near = np.linalg.norm(self._canonical - _CARUNCLE * (side, 1, 1), axis=1).argsort()[:12]
            corner.matrix_world = matrix(turn, placed[near].mean(axis=0))


def _mesh(
    name: str,
    vertices: Floats,
    quads: Ints,
    material: Any,
    paint: Floats | None = None,
    vectors: dict[str, Floats] | None = None,
) -> Any:
    """Return a new object with smooth shading; `vectors` become attributes of its vertices."""
    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(len(vertices))
    mesh.loops.add(quads.size)
    mesh.polygons.add(len(quads))
    mesh.vertices.foreach_set("co", _flat(vertices))
    mesh.loops.foreach_set("vertex_index", np.ascontiguousarray(quads, np.int32).ravel())
    mesh.polygons.foreach_set("loop_start", np.arange(0, quads.size, 4, dtype=np.int32))
    mesh.update(calc_edges=True)
    mesh.validate()
    mesh.shade_smooth()
    mesh.materials.append(material)
    if paint is not None:
        colours = np.concatenate([paint, np.ones((len(paint), 1))], axis=1)
        mesh.attributes.new("paint", "FLOAT_COLOR", "POINT").data.foreach_set("color", _flat(colours))
    for key, values in (vectors or {}).items():
        mesh.attributes.new(key, "FLOAT_VECTOR", "POINT").data.foreach_set("vector", _flat(values))
    thing = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(thing)
    return thing


def _curves(name: str, strands: Strands, material: Any) -> Any:
    data = bpy.data.hair_curves.new(name)
    count, points = strands.points.shape[:2]
    data.add_curves([points] * count)
    data.materials.append(material)
    data.attributes.new("radius", "FLOAT", "POINT")
    data.attributes.new("melanin", "FLOAT", "CURVE").data.foreach_set("value", _flat(strands.melanin))
    thing = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(thing)
    _move_curves(thing, strands)
    return thing


def _move(thing: Any, vertices: Floats) -> None:
    thing.data.vertices.foreach_set("co", _flat(vertices))
    thing.data.update()


def _move_curves(thing: Any, strands: Strands) -> None:
    thing.data.points.foreach_set("position", _flat(strands.points))
    thing.data.attributes["radius"].data.foreach_set("value", _flat(strands.radius))
    thing.data.update_tag()


def _flat(values: Floats) -> Any:
    return np.ascontiguousarray(values, np.float32).ravel()
