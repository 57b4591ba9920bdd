"""Camera, light, room and quality of the scene."""

from __future__ import annotations

from typing import Any

import bpy
import cv2
import numpy as np
from mathutils import Matrix

from training.pathtraced.backdrop import Picture
from training.pathtraced.eyes import look_along
from training.pathtraced.mesh import Floats
from training.pathtraced.people import Colour, Light
from training.pathtraced.shots import CAMERA_M, FOCAL_MM, SENSOR_MM, Shot

_FSTOP = 8.0
_EYE_DEPTH_M = 0.085
_BACKDROP = 0.55


def hang_lights(light: Light) -> None:
    """Put up a window on the left, a pale wall on the right, a light from behind, a ceiling and a dim room."""
    _area("window", (-1.05, -1.05, 0.55), (0, -0.03, 0.0), (0.75, 1.05), (1.0, 0.96, 0.90))
    _area("wall", (1.2, -0.75, 0.0), (0, 0, 0), (1.4, 1.6), (0.88, 0.93, 1.0))
    _area("behind", (0.75, 0.95, 0.55), (0, 0, 0.03), (0.6, 0.9), (1.0, 0.97, 0.94))
    _area("ceiling", (-0.15, -0.05, 1.15), (0, 0, 0.05), (0.9, 0.9), (1.0, 0.98, 0.95))
    world = bpy.data.worlds.new("room")
    world.use_nodes = True
    background = world.node_tree.nodes["Background"]
    background.inputs[0].default_value = (0.82, 0.87, 1.0, 1)
    background.inputs[1].default_value = 0.14
    bpy.context.scene.world = world
    set_lights(light)


def set_lights(light: Light) -> None:
    """Give the lights of `hang_lights` other powers, and the film another exposure."""
    for name in ("window", "wall", "behind", "ceiling"):
        bpy.data.lights[name].energy = getattr(light, name)
    bpy.context.scene.view_settings.exposure = light.exposure


def _area(
    name: str,
    place: tuple[float, float, float],
    aim: tuple[float, float, float],
    size: tuple[float, float],
    colour: Colour,
) -> None:
    data = bpy.data.lights.new(name, "AREA")
    data.shape, data.size, data.size_y = "RECTANGLE", *size
    data.color = colour
    lamp = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(lamp)
    lamp.matrix_world = matrix(look_along(np.subtract(place, aim)), np.asarray(place))
    lamp.visible_camera = False


def matrix(turn: Floats, place: Floats) -> Any:
    """Return Blender's matrix of a rotation ``float64[3, 3]`` and a place ``float64[3]``."""
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = turn, place
    return Matrix(out.tolist())


def develop(picture: Picture, size_px: int, path: str) -> None:
    """Write a picture (linear, red first) as a PNG with the film and exposure of the renders."""
    small = cv2.resize(picture, (size_px, size_px), interpolation=cv2.INTER_AREA) * _BACKDROP
    image = bpy.data.images.new("room", size_px, size_px, float_buffer=True)
    pixels = np.ones((size_px, size_px, 4), np.float32)
    pixels[..., :3] = small[::-1]
    image.pixels.foreach_set(pixels.ravel())
    bpy.context.scene.render.image_settings.color_mode = "RGB"
    image.save_render(path, scene=bpy.context.scene)
    bpy.data.images.remove(image)


def place_camera() -> None:
    """Put the camera before the face."""
    data = bpy.data.cameras.new("camera")
    data.lens, data.sensor_width = FOCAL_MM, SENSOR_MM
    camera = bpy.data.objects.new("camera", data)
    bpy.context.scene.collection.objects.link(camera)
    camera.location = (0.0, -CAMERA_M, 0.0)
    camera.rotation_euler = (np.pi / 2, 0, 0)
    data.dof.use_dof = True
    data.dof.focus_distance, data.dof.aperture_fstop = CAMERA_M - _EYE_DEPTH_M, _FSTOP
    bpy.context.scene.camera = camera


def set_quality(*, threads: int) -> None:
    """Choose Cycles on the CPU with a fixed seed, a light tree and a denoiser guided by colour and normals."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    settings: dict[str, Any] = {
        "device": "CPU", "use_adaptive_sampling": False, "use_light_tree": True, "seed": 1,
        "use_denoising": True, "denoiser": "OPENIMAGEDENOISE", "denoising_prefilter": "ACCURATE",
        "denoising_input_passes": "RGB_ALBEDO_NORMAL", "max_bounces": 6, "diffuse_bounces": 3, "glossy_bounces": 3,
        "transmission_bounces": 6, "transparent_max_bounces": 8, "caustics_reflective": False,
        "caustics_refractive": False, "sample_clamp_indirect": 4.0, "filter_width": 1.2,
    }  # fmt: skip
    for name, value in settings.items():
        setattr(scene.cycles, name, value)
    scene.render.threads_mode, scene.render.threads = "FIXED", threads
    scene.render.use_persistent_data = True
    scene.render.resolution_percentage = 100
    scene.cycles_curves.shape, scene.cycles_curves.subdivisions = "RIBBONS", 2
    scene.view_settings.view_transform, scene.view_settings.look = "Filmic", "High Contrast"
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_depth = "8"
    scene.render.image_settings.compression = 15


def shoot(shot: Shot, path: str) -> None:
    """Render one shot of the person into a PNG file with alpha."""
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = shot.size_px, round(shot.tall * shot.size_px)
    scene.camera.data.sensor_fit = "HORIZONTAL"
    scene.camera.data.shift_y = (1 - shot.tall) / 2  # the square above stays where it is
    scene.cycles.samples = shot.samples
    scene.render.film_transparent = True
    scene.render.image_settings.color_mode = "RGBA"
    scene.render.use_border = scene.render.use_crop_to_border = shot.window is not None
    if shot.window:
        x, y, half_width, half_height = shot.window
        scene.render.border_min_x, scene.render.border_max_x = (x - half_width + 1) / 2, (x + half_width + 1) / 2
        low, high = ((edge + 2 * shot.tall - 1) / (2 * shot.tall) for edge in (y - half_height, y + half_height))
        scene.render.border_min_y, scene.render.border_max_y = max(low, 0.0), min(high, 1.0)
    scene.render.filepath = path
    bpy.ops.render.render(write_still=True)
