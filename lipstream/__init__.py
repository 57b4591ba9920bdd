"""A real-time talking avatar: live speech in, a speaking face out.

In a checkout ``realtime``, ``avatar_cache`` and ``web`` lie beside this folder, and this folder holds links to them.
The build and the type checker follow the links, so the modules are named ``lipstream.realtime`` and
``lipstream.avatar_cache``.
"""

from pathlib import Path

__version__ = "0.1.0"

if not Path(__file__).with_name("realtime").is_dir():  # Windows checks links out as text files by default
    __path__.append(str(Path(__file__).parent.parent))
