"""Renders a list of shots: ``python -m training.pathtraced.blender.render SHOTS.json OUT [--threads N]``.

Shots that are there are skipped, so that a run may be ended and begun again at any time.
"""

from __future__ import annotations

import argparse
import time
from itertools import groupby
from pathlib import Path

from training.pathtraced.backdrop import draw_room
from training.pathtraced.blender.scene import develop, hang_lights, place_camera, set_quality, shoot
from training.pathtraced.blender.studio import Studio
from training.pathtraced.mesh import QuadHeads
from training.pathtraced.people import SITTERS
from training.pathtraced.shots import ShotList


def render(path: Path, out: Path, *, threads: int) -> None:
    """Render the missing shots of a list into ``out/<sitter>_<name>.png``."""
    shots = ShotList.load(path)
    out.mkdir(parents=True, exist_ok=True)
    heads = QuadHeads.load(path.parent / shots.heads)
    sitters = {sitter.id: sitter for sitter in SITTERS}
    missing = [shot for shot in shots.shots if not (out / shot.file).exists()]
    for name, group in groupby(missing, key=lambda shot: shot.sitter):
        sitter = sitters[name]
        studio = Studio(heads, sitter)
        set_quality(threads=threads)
        place_camera()
        hang_lights(sitter.light)
        room = draw_room(sitter.room, seed=len(name))
        for shot in group:
            begin = time.perf_counter()
            unfinished = out / f"unfinished_{shot.file}"
            if shot.room:
                develop(room, shot.size_px, str(unfinished))
            else:
                studio.pose(shot.actions, shot.head)
                shoot(shot, str(unfinished))
            unfinished.rename(out / shot.file)
            print(f"{shot.file} {time.perf_counter() - begin:.1f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shots", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    render(arguments.shots, arguments.out, threads=arguments.threads)
