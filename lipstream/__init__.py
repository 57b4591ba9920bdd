"""A real-time talking avatar: live speech in, a face that says it out.

``realtime``, ``avatar_cache`` and ``web`` stand beside this folder in a checkout; in it are links to them, which the
build and the type checker follow. So the modules are called ``lipstream.realtime`` and ``lipstream.avatar_cache``.
"""

from pathlib import Path

__version__ = "0.1.0"

if not Path(__file__).with_name("realtime").is_dir():  # Windows checks links out as text files, unless told otherwise
    __path__.append(str(Path(__file__).parent.parent))
