"""Loads code of the operator's own, named by a setting as ``package.module:factory`` or ``path/to/file.py:factory``.

Nothing else names code: no request, no avatar and no weights file can.
"""

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from lipstream.realtime.errors import SettingsError

CODE_FORM = "MODULE:FACTORY or FILE.py:FACTORY"

_NAME = r"[^\W\d]\w*"
_MODULE = re.compile(rf"{_NAME}(\.{_NAME})*")
_FACTORY = re.compile(_NAME)


def parse_code_name(text: str) -> str:
    """Return the name of a factory, with an absolute path if it names a file; the empty text for none.

    Raises:
        ValueError: If it is neither ``MODULE:FACTORY`` nor ``FILE.py:FACTORY``.
    """
    where, _, factory = text.rpartition(":")
    if not text:
        return ""
    if not _FACTORY.fullmatch(factory) or not (where.endswith(".py") or _MODULE.fullmatch(where)):
        raise ValueError(f"{text!r} is not {CODE_FORM}")
    return f"{Path(where).expanduser().absolute()}:{factory}" if where.endswith(".py") else text


def import_factory(name: str) -> Callable[..., Any]:
    """Import the code that ``name`` names and return its factory.

    Args:
        name: As :func:`parse_code_name` returns it.

    Raises:
        SettingsError: If there is no such file.
        Exception: Whatever the code raises when it is imported.
    """
    where, _, factory = name.rpartition(":")
    made: Callable[..., Any] = getattr(_import(where), factory)
    return made


def _import(where: str) -> ModuleType:
    if not where.endswith(".py"):
        return importlib.import_module(where)
    path = Path(where)
    if not path.is_file():
        raise SettingsError(f"there is no file {path}")
    name = f"lipstream_own_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SettingsError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look a module up by its name
    spec.loader.exec_module(module)
    return module
