"""What an environment takes of the disk, package by package."""

import importlib.util
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

NOBODY = "no package"
"""Owner of files that no package lists, such as those of the environment itself."""


@dataclass(frozen=True, slots=True)
class PackageSize:
    """What one package takes.

    Attributes:
        files_mb: Files of the package itself, 1e6 bytes.
        compiled_mb: Size of bytecode that an installer or a start compiled of its modules, 1e6 bytes.
    """

    name: str
    version: str
    files_mb: float
    compiled_mb: float

    @property
    def mb(self) -> float:
        """Both together, 1e6 bytes."""
        return self.files_mb + self.compiled_mb


def package_sizes(environment: Path) -> list[PackageSize]:
    """Return the packages of a virtual environment, the largest first; they add up to all of its files.

    Args:
        environment: Folder of the environment. Links count nothing: what they lead to belongs to others.
    """
    owners: dict[Path, str] = {}
    versions = {NOBODY: ""}
    sites = [*environment.glob("lib/python*/site-packages"), *environment.glob("Lib/site-packages")]
    for package in distributions(path=[str(site) for site in sites]):
        versions[package.name] = package.version
        for file in package.files or ():
            owners[Path(str(file.locate())).resolve()] = package.name
    files: Counter[str] = Counter()
    compiled: Counter[str] = Counter()
    for path in environment.resolve().rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        if path.suffix == ".pyc":
            compiled[owners.get(path) or owners.get(_source(path), NOBODY)] += path.stat().st_size
        else:
            files[owners.get(path, NOBODY)] += path.stat().st_size
    sizes = [PackageSize(name, versions[name], files[name] / 1e6, compiled[name] / 1e6) for name in versions]
    return sorted(sizes, key=lambda size: -size.mb)


def _source(compiled: Path) -> Path:
    """Return the module that a file of bytecode was compiled from."""
    try:
        return Path(importlib.util.source_from_cache(str(compiled)))
    except ValueError:  # not named as Python names them
        return compiled
