"""The server, with a white corner in every picture that shows a spoken mouth, so that a peer can tell them apart.

``python -m tests.integrations.marked_server OPTIONS``. Pictures are painted in this process, where the mark is added.
The file that ``STAGES`` names gets a line for each stage on the way through the server: its name and the monotonic
time, s.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from lipstream.cli import main
from lipstream.realtime.encoding.encoded_unit import EncodedUnit
from lipstream.realtime.picture.compositor import Painting
from lipstream.realtime.picture.i420 import Picture
from lipstream.realtime.rooms import agent_voice, publication
from tests.integrations.marked_face import MARK

HEARD, PAINTED, PUBLISHED = "heard", "painted", "published"
_paint, _publish, _push = Painting.__call__, publication.Publication._publish_picture, agent_voice._SoundReader.push


def note(stage: str) -> None:
    if path := os.environ.get("STAGES"):
        with Path(path).open("a") as file:
            file.write(f"{stage} {time.monotonic()}\n")


def stages(path: Path) -> list[tuple[str, float]]:
    """Return what a file of stages holds, in order."""
    return [(name, float(at)) for name, at in map(str.split, path.read_text().splitlines())]


def _paint_marked(painting: Painting) -> Picture:
    picture = _paint(painting)
    if painting.spoken > 0 and painting.mouth is not None:
        note(PAINTED)
        picture = picture.copy()
        picture[picture.shape[0] * 2 // 3 - MARK : picture.shape[0] * 2 // 3, -MARK:] = 235
    return picture


def _publish_noted(self: publication.Publication, unit: EncodedUnit) -> None:
    _publish(self, unit)
    note(PUBLISHED)


def _push_noted(self: Any, data: bytes) -> bytes:
    note(HEARD)
    return _push(self, data)


if __name__ == "__main__":
    Painting.__call__ = _paint_marked  # type: ignore[method-assign, assignment]
    publication.Publication._publish_picture = _publish_noted  # type: ignore[method-assign]
    agent_voice._SoundReader.push = _push_noted  # type: ignore[method-assign]
    sys.argv[1:1] = ["--picture-workers", "0"]
    sys.exit(main())
