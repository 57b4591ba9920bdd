"""Writes the files of a built-in avatar: its clip, its manifest, and the boxes of the face detector."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from lipstream.avatar_cache.crop_change import detect_boxes
from lipstream.avatar_cache.detectors import create_detector
from lipstream.avatar_cache.manifest import Manifest

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]
RATE_HZ, _SOUND_HZ = 25, 16000


def write_video(path: Path, frames: list[Picture], crf: int, samples: Floats | None = None) -> None:
    """Write frames (red first) as H.264, 4:2:0, BT.601 limited range, with these tags in the file, and their sound.

    Args:
        path: Path of the ``.mp4`` file.
        frames: Frames, ``uint8[H, W, 3]`` each.
        crf: Quality of x264: a lower value is better and larger.
        samples: Sound, ``float32[n]`` at 16 kHz mono; ``None`` for none.
    """
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream: Any = container.add_stream("libx264", rate=RATE_HZ, options={"crf": str(crf), "preset": "slow"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, RATE_HZ)
        context = stream.codec_context
        # 6 is SMPTE 170M (BT.601), 1 is limited range, in FFmpeg's numbering.
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = 6, 6, 6, 1
        sound: Any = None if samples is None else container.add_stream("aac", rate=_SOUND_HZ, layout="mono")
        for index, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                format="yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG", interpolation="LANCZOS"
            )
            frame.pts, frame.time_base = index, Fraction(1, RATE_HZ)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if samples is not None:
            heard = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            heard.sample_rate, heard.time_base, heard.pts = _SOUND_HZ, Fraction(1, _SOUND_HZ), 0
            container.mux(sound.encode(heard))
            container.mux(sound.encode(None))


def add_detector_boxes(home: Path) -> None:
    """Find the face detector's boxes in a stored clip, and add them to its manifest if they are missing."""
    facts = json.loads((home / "avatar.json").read_text())
    if "detector_boxes" not in facts:
        manifest = Manifest.read(home / "avatar.json")
        facts["detector_boxes"] = detect_boxes(manifest, home / "clip.mp4", create_detector("built-in"))
        write_facts(facts, home)


def write_facts(facts: dict[str, Any], home: Path) -> None:
    """Write the manifest with one line for each box."""
    lists = {key: facts[key] for key in ("outline", "boxes", "detector_boxes") if key in facts}
    parts = [json.dumps({key: value for key, value in facts.items() if key not in lists}, indent=1)[:-2]]
    for key, boxes in lists.items():
        rows = ",\n  ".join(json.dumps(box) for box in boxes)
        parts.append(f' "{key}": [\n  {rows}\n ]')
    (home / "avatar.json").write_text(",\n".join(parts) + "\n}\n")
