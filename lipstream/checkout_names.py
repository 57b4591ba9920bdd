"""Makes ``import realtime`` in a checkout give the modules of ``lipstream.realtime``, and so for ``avatar_cache``.

A module that was loaded under two names would have each of its classes twice, and neither would know the other's
objects. The wheel holds ``lipstream`` alone, because another distribution's package is called ``realtime``.
"""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType

_FOLDERS = ("realtime", "avatar_cache")


def share_modules(folder: str) -> None:
    """Have a top-level package be the one of the same name in ``lipstream``, with all modules in it.

    Args:
        folder: ``realtime`` or ``avatar_cache``; its own ``__init__`` calls this when it is imported by that name.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    sys.modules[folder] = importlib.import_module(f"lipstream.{folder}")


class _Finder(MetaPathFinder):
    """Finds ``realtime.x`` where ``lipstream.realtime.x`` is."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if not fullname.startswith(tuple(f"{folder}." for folder in _FOLDERS)):
            return None
        real = importlib.util.find_spec(f"lipstream.{fullname}")
        if real is None:
            return None
        is_package = real.submodule_search_locations is not None
        return ModuleSpec(fullname, _SameModule(real), origin=real.origin, is_package=is_package)


class _SameModule(Loader):
    """Loads a module by importing it under its own name.

    Args:
        real: How the module is found under that name.
    """

    def __init__(self, real: ModuleSpec) -> None:
        self._real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        del spec
        return importlib.import_module(self._real.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._real  # the import system has just put the other name's there

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the code that ``python -m`` runs."""
        del fullname
        code: CodeType | None = self._real.loader.get_code(self._real.name)  # type: ignore[union-attr]
        return code
