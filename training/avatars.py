"""Writes the built-in avatars: a seamless clip, its face boxes, and the boxes of the face detector, for each."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from lipstream.avatar_cache.crop_change import detect_boxes
from lipstream.avatar_cache.detectors import create_detector
from lipstream.avatar_cache.manifest import Manifest
from training.characters import AVATARS, Person
from training.dataset import face_window, rest_actions
from training.heads import HeadSet
from training.motion import idle_clip
from training.renderer import Picture, Renderer

SIZE_PX = 512
RATE_HZ = 25
SECONDS = 8
_SEED = 20


def write_video(path: Path, frames: list[Picture], crf: int) -> None:
    """Write frames (red first) as H.264, 4:2:0, BT.601 limited range, with these tags in the file.

    Args:
        path: Path of the ``.mp4`` file.
        frames: Frames, ``uint8[H, W, 3]`` each.
        crf: Quality of x264: a lower value is better and larger.
    """
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream: Any = container.add_stream("libx264", rate=RATE_HZ, options={"crf": str(crf), "preset": "slow"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, RATE_HZ)
        context = stream.codec_context
        # 6 is SMPTE 170M (BT.601), 1 is limited range, in FFmpeg's numbering.
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = 6, 6, 6, 1
        for index, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                format="yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG", interpolation="LANCZOS"
            )
            frame.pts, frame.time_base = index, Fraction(1, RATE_HZ)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def pixel_boxes(windows: list[tuple[float, float, float]], size: int) -> list[list[int]]:
    """Return face boxes ``[x, y, w, h]`` in pixels: even numbers, one size for the whole clip.

    Args:
        windows: Centre x, y (-1..1, up) and half the side, for each frame.
        size: Side of the picture, px.
    """
    side = 2 * round(float(np.median([half for _, _, half in windows])) * size / 2)
    boxes = []
    for x, y, _ in windows:
        left, top = (x + 1) * size / 2 - side / 2, (1 - y) * size / 2 - side / 2
        boxes.append([2 * round(left / 2), 2 * round(top / 2), side, side])
    return boxes


def film(
    heads: HeadSet, person: Person, *, seconds: float = SECONDS, progress: Any = print
) -> tuple[list[Picture], list[list[int]]]:
    """Render a person's clip.

    Returns:
        Frames ``uint8[512, 512, 3]``, red first, and their face boxes.
    """
    index = heads.names.index(person.identity.name)
    renderer = Renderer(heads, SIZE_PX, oversample=2, samples=4, shells=14)
    sitter = renderer.sit(index, person.look)
    rest = rest_actions(heads, person.rest)
    poses, moving = idle_clip(round(seconds * RATE_HZ), RATE_HZ, np.random.default_rng([_SEED, index]))
    frames, windows = [], []
    for number, (pose, actions) in enumerate(zip(poses, moving, strict=True)):
        strengths = np.clip(rest + rest_actions(heads, actions), 0, 1)
        frames.append(renderer.draw(sitter, strengths, pose, person.stage))
        windows.append(face_window(heads, sitter.vertices, index, pose, person.stage))
        if number % 50 == 0:
            progress(f"{person.id} {number}/{len(poses)}")
    return frames, pixel_boxes(windows, SIZE_PX)


def write_avatars(heads: HeadSet, folder: Path, *, crf: int = 15, seconds: float = SECONDS) -> None:
    """Render every missing built-in avatar into ``folder/<id>/``: ``clip.mp4`` and ``avatar.json``.

    The detector's boxes are found in the clip as it is stored, also for an avatar that exists without them.
    """
    for person in AVATARS:
        home = folder / person.id
        if (home / "avatar.json").exists():
            _add_detector_boxes(home)
            continue
        home.mkdir(parents=True, exist_ok=True)
        frames, boxes = film(heads, person, seconds=seconds)
        write_video(home / "clip.mp4", frames, crf)
        facts = {
            "id": person.id,
            "name": person.id.replace("-", " on ").capitalize(),
            "licence": "CC0-1.0",
            "consent": "no real person: drawn from a parametric head",
            "loop": "seamless",
            "fps": RATE_HZ,
            "size": [SIZE_PX, SIZE_PX],
            "description": person.description,
            "boxes": boxes,
        }
        _write_facts(facts, home)
        _add_detector_boxes(home)


def _add_detector_boxes(home: Path) -> None:
    facts = json.loads((home / "avatar.json").read_text())
    if "detector_boxes" not in facts:
        manifest = Manifest.read(home / "avatar.json")
        facts["detector_boxes"] = detect_boxes(manifest, home / "clip.mp4", create_detector("built-in"))
        _write_facts(facts, home)


def _write_facts(facts: dict[str, Any], home: Path) -> None:
    """Write the manifest with one line for each box."""
    lists = {key: facts[key] for key in ("boxes", "detector_boxes") if key in facts}
    parts = [json.dumps({key: value for key, value in facts.items() if key not in lists}, indent=1)[:-2]]
    for key, boxes in lists.items():
        rows = ",\n  ".join(json.dumps(box) for box in boxes)
        parts.append(f' "{key}": [\n  {rows}\n ]')
    (home / "avatar.json").write_text(",\n".join(parts) + "\n}\n")
