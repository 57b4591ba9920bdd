"""A real-time talking avatar: live speech in, a speaking face out.

In a checkout ``realtime``, ``avatar_cache`` and ``web`` lie beside this folder, and this folder holds links to them.
The build and the type checker follow the links, so the modules are named ``lipstream.realtime`` and
``lipstream.avatar_cache``.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lipstream.realtime.face.engine import Engine
    from lipstream.realtime.face.face import Face
    from lipstream.realtime.face.frame import Frame
    from lipstream.realtime.face.pacing import LiveFrames
    from lipstream.realtime.face.speech import Cut
    from lipstream.realtime.picture.mark_style import MarkStyle

__all__ = ["Cut", "Engine", "Face", "Frame", "LiveFrames", "MarkStyle", "__version__"]
__version__ = "0.1.0"

# OpenVINO tells Google Analytics of each import and each conversion, asks nobody, and knows no variable that forbids
# it. It does without if this package is missing, which its wheel brings along.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

_MODULES = {
    "Cut": "realtime.face.speech",
    "Engine": "realtime.face.engine",
    "Face": "realtime.face.face",
    "Frame": "realtime.face.frame",
    "LiveFrames": "realtime.face.pacing",
    "MarkStyle": "realtime.picture.mark_style",
}

if not Path(__file__).with_name("realtime").is_dir():  # Windows checks links out as text files by default
    __path__.append(str(Path(__file__).parent.parent))


def __getattr__(name: str) -> Any:
    """Import a public class when it is first used: the network's libraries take a second."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
