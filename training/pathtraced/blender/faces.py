"""Renders training pictures: ``python -m training.pathtraced.blender.faces D --shards N``.

Shards that are there are skipped, and a shard that is lost is drawn again from its own seed, so that a run may be ended
and begun again at any time; two processes may share the work by ``--first``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from lipstream.avatar_cache.stills import over
from training.pathtraced.blender.scene import hang_lights, place_camera, set_lights, set_quality, shoot
from training.pathtraced.blender.studio import Studio
from training.pathtraced.mesh import QuadHeads
from training.pathtraced.people import Sitter
from training.pathtraced.scenes import Plan, Scene, strengths
from training.pathtraced.shards import Pictures, write_shard
from training.pathtraced.shots import Shot


class Photographer:
    """Renders scenes of pictures of one size; see `training.pathtraced.shards.Take`.

    Args:
        size: Side of the pictures, px.
        samples: Light paths a pixel.
        threads: Threads of the renderer.
    """

    def __init__(self, size: int, *, samples: int, threads: int) -> None:
        self._size, self._samples, self._threads = size, samples, threads

    def __call__(self, heads: QuadHeads, plan: Plan, sitter: Sitter, scenes: list[Scene]) -> list[Pictures]:
        """Return the pictures of each scene."""
        studio = Studio(heads, sitter, mouth=True, bare=True)
        set_quality(threads=self._threads)
        place_camera()
        hang_lights(sitter.light)
        with tempfile.TemporaryDirectory() as scratch:
            return [self._take(studio, sitter.id, plan, scene, Path(scratch, "shot.png")) for scene in scenes]

    def _take(self, studio: Studio, name: str, plan: Plan, scene: Scene, scratch: Path) -> Pictures:
        x, y, half = scene.window
        set_lights(scene.light)
        size = (self._size, self._size)
        shade = np.linspace(0, 1, self._size)[:, None, None]
        top, bottom = scene.backdrop
        behind = np.broadcast_to(top + shade * (bottom - top), (*size, 3)).clip(0, 255).astype(np.uint8)
        pictures = []
        for mouth in scene.mouths:
            actions = strengths(plan, scene.mood, mouth)
            studio.pose(actions, scene.head)
            whole = round(self._size / half)
            shot = Shot(name, "face", actions, window=(x, y, half, half), size_px=whole, samples=self._samples)
            shoot(shot, str(scratch))
            taken = cv2.imread(str(scratch), cv2.IMREAD_UNCHANGED)
            assert taken is not None
            pictures.append(over(np.asarray(cv2.resize(taken, size), np.uint8), behind))
        return np.stack(pictures)


def main() -> None:
    """Render the shards that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--shards", type=int, default=250)
    parser.add_argument("--first", type=int, default=0, help="number of the first shard")
    parser.add_argument("--scenes", type=int, default=8, help="a shard, of three pictures each")
    parser.add_argument("--size", type=int, choices=(96, 192), default=96)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--held-out", action="store_true", help="of people who are kept for evaluation")
    given = parser.parse_args()
    take = Photographer(given.size, samples=given.samples, threads=given.threads)
    kind = {"scenes": given.scenes, "size": given.size, "seed": given.seed, "held_out": given.held_out}
    for number in range(given.first, given.first + given.shards):
        begin = time.perf_counter()
        path = write_shard(given.data, number, take, **kind)
        print(f"{path.name} {time.perf_counter() - begin:.1f} s", flush=True)


if __name__ == "__main__":
    main()
