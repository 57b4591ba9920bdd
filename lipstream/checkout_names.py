"""Makes ``import realtime`` in a checkout give the modules of ``lipstream.realtime``; the same for ``avatar_cache``.

A module loaded under two names would define each of its classes twice, and ``isinstance`` would fail between them.
The wheel holds ``lipstream`` alone, because another distribution has a package named ``realtime``.
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
    """Replace a top-level package, with all of its modules, by the package of the same name in ``lipstream``.

    Args:
        folder: ``realtime`` or ``avatar_cache``; the package calls this when it is imported under that name.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    sys.modules[folder] = importlib.import_module(f"lipstream.{folder}")


class _Finder(MetaPathFinder):
    """Finds ``realtime.x`` at ``lipstream.realtime.x``."""

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
    """Loads a module by importing it under its real name."""

    def __init__(self, real: ModuleSpec) -> None:
        self._real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        del spec
        return importlib.import_module(self._real.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._real  # the import system has just replaced it by the spec of the other name

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the code for ``python -m``."""
        del fullname
        code: CodeType | None = self._real.loader.get_code(self._real.name)  # type: ignore[union-attr]
        return code
