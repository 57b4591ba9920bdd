"""Renders heads: OpenGL through EGL, in software on a machine without a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import moderngl
import numpy as np
from numpy.typing import NDArray

from training.appearance import Appearance, HeadPose, Stage
from training.geometry import SurfaceNormals, camera_matrix, lip_gap, rotation, sphere_directions
from training.hair import build_hair
from training.heads import LASH, SKIN, UPPER_TEETH, Floats, HeadSet, Ints
from training.shaders import BACKDROP, BACKDROP_VERTEX, FACE, HAIR, VERTEX

Picture = NDArray[np.uint8]

_CLOTH = 6
_CLOTH_TOP_M = -0.088
_CONTEXT: dict[str, Any] = {"backend": "egl"}  # typed as Any, since moderngl's stub types keywords wrongly
_ALPHA_TO_COVERAGE = 0x809E
_SHADE_MAP = 160
_SHADE_DIRECTIONS = 56


@dataclass
class Sitter:
    """One identity on the graphics device, ready for any expression."""

    index: int
    look: Appearance
    vertices: Floats
    shade: Floats
    hair: list[tuple[Any, float]]


class Renderer:
    """Renders square pictures of one `HeadSet`.

    It is not thread-safe; every process makes its own.

    Args:
        size: Side of the finished picture, px.
        oversample: Factor by which pictures are rendered larger before they are averaged down.
        samples: Multisampling on top of that.
        shells: Layers of hair; more look softer and take longer.
    """

    def __init__(self, heads: HeadSet, size: int, *, oversample: int = 2, samples: int = 4, shells: int = 9) -> None:
        self.heads, self.size, self._over = heads, size, oversample
        self._samples, self._shells = samples, shells
        self._gl: Any = moderngl.create_context(standalone=True, **_CONTEXT)
        gl, drawn = self._gl, (size * oversample, size * oversample)
        self._target = gl.framebuffer(
            [gl.renderbuffer(drawn, 4, samples=samples)], gl.depth_renderbuffer(drawn, samples=samples)
        )
        self._plain = gl.framebuffer([gl.renderbuffer(drawn, 4)])
        self._face = gl.program(vertex_shader=VERTEX, fragment_shader=FACE)
        self._hair = gl.program(vertex_shader=VERTEX, fragment_shader=HAIR)
        self._back = gl.program(vertex_shader=BACKDROP_VERTEX, fragment_shader=BACKDROP)
        masks = np.ascontiguousarray(heads.texture[::-1])
        self._masks = gl.texture(masks.shape[1::-1], 4, masks.tobytes())
        self._masks.build_mipmaps()
        corners = np.array([-1, -1, 1, -1, -1, 1, 1, 1], "f4")
        self._screen = gl.vertex_array(self._back, [(gl.buffer(corners.tobytes()), "2f", "in_place")])

        clothed = (heads.parts == SKIN) & (heads.canonical[:, 2] < _CLOTH_TOP_M)
        cloth = heads.faces[clothed[heads.faces].all(1)]
        self._cloth_source, flat = np.unique(cloth, return_inverse=True)
        lash = (heads.parts[heads.faces] == LASH).all(1)
        # Lashes are drawn last: they are the only part that is not opaque.
        faces = np.concatenate([heads.faces[~lash], flat.reshape(-1, 3) + len(heads.parts), heads.faces[lash]]).astype(
            "i4"
        )
        self._faces: Ints = faces
        self._normals = SurfaceNormals(heads.faces, heads.weld)
        source = np.concatenate([np.arange(len(heads.parts)), self._cloth_source])
        part = np.concatenate([heads.parts, np.full(len(self._cloth_source), _CLOTH)])
        steady = np.column_stack([heads.canonical[source], heads.uv[source], heads.follow[source], part])
        self._moving = gl.buffer(reserve=len(source) * 7 * 4, dynamic=True)
        self._mesh = gl.vertex_array(
            self._face,
            [
                (self._moving, "3f 3f 1f", "in_position", "in_normal", "in_shade"),
                (gl.buffer(steady.astype("f4").tobytes()), "3f 2f 2f 1f", *_STEADY),
            ],
            gl.buffer(faces.tobytes()),
        )

    def sit(self, index: int, look: Appearance) -> Sitter:
        """Prepare one identity: its hair, and the share of the sky that each point sees."""
        vertices = self.heads.vertices[index]
        # Some random faces rest with open lips: raise the lower lip until they close.
        lift = float(np.clip(lip_gap(self.heads, vertices) / 0.005, 0.0, 0.4))
        vertices = vertices + lift * self.heads.actions[self.heads.action_names.index("mouthShrugLower")]
        vertices[self.heads.parts == UPPER_TEETH, 2] -= look.teeth_m
        hair, occluders = [], [(vertices, self.heads.faces)]
        if look.hair is not None:
            depths = np.linspace(0.0, 1.0, self._shells, dtype=np.float32)
            shells, triangles, uv, margin, follow = build_hair(self.heads, vertices, look.hair, 0.35 + 0.65 * depths)
            hair_normals = SurfaceNormals(triangles, np.arange(len(margin), dtype=np.int32))
            for depth, points in zip(depths, shells, strict=True):
                normals = hair_normals(points)
                data = np.column_stack([points, normals, uv, follow, margin]).astype("f4")
                array = self._gl.vertex_array(
                    self._hair,
                    [
                        (
                            self._gl.buffer(data.tobytes()),
                            "3f 3f 2f 2f 1f",
                            "in_position",
                            "in_normal",
                            "in_uv",
                            "in_follow",
                            "in_shade",
                        )
                    ],
                    self._gl.buffer(triangles.astype("i4").tobytes()),
                )
                hair.append((array, float(depth)))
            solid = (margin[triangles] > 0.2).all(1)
            occluders.append((shells[-1], triangles[solid]))
        return Sitter(index, look, vertices, self._open_sky(vertices, occluders), hair)

    def _open_sky(self, vertices: Floats, occluders: list[tuple[Floats, Ints]]) -> Floats:
        """Return the share of the sky that each vertex sees, 0..1 (ambient occlusion)."""
        gl = self._gl
        program = gl.program(
            vertex_shader="#version 330\nuniform mat4 u_camera; in vec3 p;"
            "void main() { gl_Position = u_camera * vec4(p, 1.0); }",
            fragment_shader="#version 330\nvoid main() {}",
        )
        arrays = [
            gl.vertex_array(
                program, [(gl.buffer(p.astype("f4").tobytes()), "3f", "p")], gl.buffer(f.astype("i4").tobytes())
            )
            for p, f in occluders
        ]
        depth = gl.depth_texture((_SHADE_MAP, _SHADE_MAP))
        frame = gl.framebuffer(depth_attachment=depth)
        normals = self._normals(vertices)
        seen, total = np.zeros(len(vertices)), np.full(len(vertices), 1e-6)
        for direction in sphere_directions(_SHADE_DIRECTIONS):
            right = np.cross(direction, [0.31, 0.22, 0.92])
            right /= np.linalg.norm(right)
            basis = np.stack([right, np.cross(right, direction), -direction]) / 0.42
            camera = np.eye(4, dtype="f4")
            camera[:3, :3] = basis
            frame.use()
            frame.clear(depth=1.0)
            gl.enable_only(gl.DEPTH_TEST)
            program["u_camera"].write(np.ascontiguousarray(camera.T).tobytes())
            for array in arrays:
                array.render()
            nearest = np.frombuffer(depth.read(), "f4").reshape(_SHADE_MAP, _SHADE_MAP)
            place = (vertices + 0.0015 * normals) @ basis.T * 0.5 + 0.5
            pixel = (place[:, :2] * _SHADE_MAP).astype(int).clip(0, _SHADE_MAP - 1)
            free = nearest[pixel[:, 1], pixel[:, 0]] > place[:, 2] - 0.004
            facing = np.maximum(normals @ direction, 0.0) * (1.3 + 0.7 * direction[2])
            seen += facing * free
            total += facing
        for array in arrays:
            array.release()
        frame.release(), depth.release(), program.release()
        return self._normals.smooth((seen / total).astype(np.float32))

    def draw(
        self,
        sitter: Sitter,
        actions: Floats,
        pose: HeadPose,
        stage: Stage,
        window: tuple[float, float, float] = (0.0, 0.0, 1.0),
        *,
        gape: float | None = None,
    ) -> Picture:
        """Render one picture.

        Args:
            sitter: Identity prepared by `sit`.
            actions: Strength of each facial action, ``float32[A]``.
            pose: Rotation of head and neck, degrees.
            window: Part of the whole picture to render: centre x, centre y (-1..1, up) and half its side; (0, 0, 1) is
                all.
            gape: Light that falls into the mouth, 1 where it is wide open; ``None`` for what the lips let in.

        Returns:
            ``uint8[size, size, 3]``, RGB.
        """
        gl, heads = self._gl, self.heads
        vertices = sitter.vertices + np.tensordot(actions, heads.actions, 1)
        vertices = vertices + np.asarray(pose.shift, np.float32)
        normals = self._normals(vertices)
        moving = np.column_stack([vertices, normals, sitter.shade]).astype("f4")
        cloth = moving[self._cloth_source]
        cloth[:, :3] += cloth[:, 3:6] * 0.007
        self._moving.write(np.concatenate([moving, cloth]).tobytes())

        look = sitter.look
        camera, eye = camera_matrix(stage, window)
        common = {"u_eye": eye, "u_exposure": stage.exposure}
        for name in ("key", "fill", "sky", "ground"):
            common[f"u_{name}"] = getattr(stage, name)
        for name in ("key_direction", "fill_direction"):
            direction = np.asarray(getattr(stage, name))
            common[f"u_{name}"] = tuple(direction / np.linalg.norm(direction))
        placing = {
            "u_camera": camera,
            "u_head": rotation(pose.head),
            "u_neck": rotation(pose.neck),
            "u_head_pivot": tuple(heads.pivots[sitter.index, 0]),
            "u_neck_pivot": tuple(heads.pivots[sitter.index, 1]),
        }
        paint = {f"u_{n}": getattr(look, n) for n in _PAINT}
        common["u_toon"] = look.toon
        let_in = float(np.clip(0.04 + (lip_gap(heads, vertices) - 0.0005) / 0.009, 0.04, 1.0))
        paint["u_gape"] = let_in if gape is None else gape
        _set(self._face, common | placing | paint)
        _set(
            self._hair, common | placing | {"u_hair": look.hair_colour, "u_curl": look.hair.curl if look.hair else 0.0}
        )
        _set(
            self._back,
            {"u_near": stage.near, "u_far": stage.far, "u_grain": stage.grain, "u_centre": (0.1, 0.1)}
            | {"u_window": (window[0], window[1], window[2], window[2])},
        )
        self._target.use()
        self._target.clear()
        gl.enable_only(gl.NOTHING)
        self._screen.render(moderngl.TRIANGLE_STRIP)
        gl.enable(gl.DEPTH_TEST)
        if self._samples:
            gl.enable_direct(_ALPHA_TO_COVERAGE)
        else:
            gl.enable(gl.BLEND)
        self._masks.use(0)
        self._mesh.render()
        for array, depth in sitter.hair:
            self._hair["u_layer"] = depth
            array.render()
        if self._samples:
            gl.disable_direct(_ALPHA_TO_COVERAGE)
        gl.copy_framebuffer(self._plain, self._target)
        side, over = self.size, self._over
        pixels = np.frombuffer(self._plain.read(components=3), np.uint8)
        pixels = pixels.reshape(side * over, side * over, 3)[::-1]
        if over > 1:
            summed = pixels.reshape(side, over, side, over, 3).sum(axis=(1, 3), dtype=np.uint16)
            pixels = ((summed + over * over // 2) // (over * over)).astype(np.uint8)
        return np.ascontiguousarray(pixels)


_STEADY = ("in_canon", "in_uv", "in_follow", "in_part")
_PAINT = ("skin", "lip", "brow", "iris", "cloth", "tooth", "makeup", "brow_shape", "age", "gloss", "neckline")


def _set(program: Any, values: dict[str, Any]) -> None:
    """Set the uniforms that the program has; the compiler removes unused ones."""
    for name, value in values.items():
        if name in program:
            if isinstance(value, np.ndarray):
                program[name].write(np.ascontiguousarray(value.T, "f4").tobytes())
            else:
                program[name].value = value
