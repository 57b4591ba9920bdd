"""requirements.lock holds what pyproject.toml asks for, and nothing that only an extra brings."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def locked() -> dict[str, list[Version]]:
    """Return the locked versions of each package; more than one where they differ by Python's version."""
    found: dict[str, list[Version]] = {}
    for name, version in re.findall(r"^([a-z0-9-]+)==(\S+)", LOCK, re.MULTILINE):
        found.setdefault(name, []).append(Version(version))
    return found


def test_each_dependency_of_the_project_is_locked_in_its_bounds() -> None:
    versions = locked()
    for line in PROJECT["dependencies"]:
        wanted = Requirement(line)
        assert versions[canonicalize_name(wanted.name)], line
        assert all(wanted.specifier.contains(one) for one in versions[canonicalize_name(wanted.name)]), line


def test_what_they_need_themselves_is_locked_too() -> None:
    versions = locked()
    for name in versions:
        try:
            lines = requires(name) or []
        except PackageNotFoundError:  # for another system or version of Python
            continue
        for line in lines:
            wanted = Requirement(line)
            if (wanted.marker or Marker("python_version > '3'")).evaluate({"extra": ""}):
                assert canonicalize_name(wanted.name) in versions, f"{name} needs {line}"


def test_each_file_has_a_hash_and_no_index_is_named() -> None:
    entries = re.findall(r"^[a-z0-9-]+==.*(?:\n .*)*", LOCK, re.MULTILINE)
    assert len(entries) == sum(map(len, locked().values())) > 30
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)
    assert "://" not in LOCK
    assert "--index" not in LOCK


def test_nothing_is_locked_that_an_extra_brings() -> None:
    own = {Requirement(line).name for line in PROJECT["dependencies"]}
    extras = {Requirement(line).name for lines in PROJECT["optional-dependencies"].values() for line in lines} - own
    assert {"torch", "face-alignment", "opencv-python", "sounddevice"} <= extras
    assert not (extras | {"triton"}) & locked().keys()
