"""Renders the frames of a film: ``python -m training.pathtraced.blender.film D``; frames that are there are skipped."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np

from lipstream.avatar_cache.stills import over
from training.pathtraced.blender.scene import hang_lights, place_camera, set_quality, shoot
from training.pathtraced.blender.studio import Studio
from training.pathtraced.film import FILM, FilmPlan
from training.pathtraced.mesh import QuadHeads
from training.pathtraced.scenes import Plan, random_sitter, strengths
from training.pathtraced.shards import HEADS, PLAN
from training.pathtraced.shots import Shot

_WINDOW = (0.0, 0.08, 0.62, 0.62)
_WALL_BGR = (150, 146, 140)


def render_film(folder: Path, *, size: int, samples: int, threads: int, bare: bool) -> None:
    """Render the missing frames of ``film.npz`` into ``film/``.

    Args:
        size: Side of the frames, px.
        samples: Light paths a pixel.
        bare: Whether to leave out hair and clothes.
    """
    film, plan = FilmPlan.load(folder / FILM), Plan.load(folder / PLAN)
    heads, out = QuadHeads.load(folder / HEADS), folder / "film"
    out.mkdir(exist_ok=True)
    name = heads.names[film.person]
    sitter = random_sitter(name, np.random.default_rng(film.person), male=bool(plan.male[film.person]))
    studio = Studio(heads, sitter, mouth=True, bare=bare)
    set_quality(threads=threads)
    place_camera()
    hang_lights(sitter.light)
    wall = np.full((size, size, 3), _WALL_BGR, np.uint8)
    for frame, path in enumerate(film.pictures(out)):
        if path.exists():
            continue
        begin = time.perf_counter()
        shut = float(film.shut[frame])
        actions = strengths(plan, {"eyeBlink": shut, "mouthSmile": 0.1}, film.mouths[frame])
        yaw, pitch, roll = film.heads[frame].tolist()
        studio.pose(actions, (yaw, pitch, roll))
        shot = Shot(name, "film", actions, window=_WINDOW, size_px=round(size / _WINDOW[2]), samples=samples)
        unfinished = out / "unfinished.png"
        shoot(shot, str(unfinished))
        taken = cv2.imread(str(unfinished), cv2.IMREAD_UNCHANGED)
        assert taken is not None
        cv2.imwrite(str(unfinished), over(np.asarray(cv2.resize(taken, (size, size)), np.uint8), wall))
        unfinished.rename(path)
        print(f"{path.name} {time.perf_counter() - begin:.1f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bare", action="store_true", help="without hair and clothes")
    options = vars(parser.parse_args())
    render_film(options.pop("data"), **options)
