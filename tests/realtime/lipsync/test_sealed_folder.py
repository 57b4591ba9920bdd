"""Damaged folders of derived files are noticed; test_backends.py has graphs that are made again."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lipstream.realtime.lipsync.sealed_folder import is_whole, seal

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda _: b"",
    "cut": lambda data: data[:-1],
    "zeroed": lambda data: bytes(len(data)),
    "a list": lambda _: b"[1]",
}


@pytest.mark.parametrize("damage", [*DAMAGES, "missing"])
@pytest.mark.parametrize("name", ["a.bin", "b.xml", "seal"])
def test_a_sealed_folder_notices_each_damage(tmp_path: Path, name: str, damage: str) -> None:
    names = ("a.bin", "b.xml")
    for each in names:
        (tmp_path / each).write_bytes(each.encode() * 100)
    assert is_whole(tmp_path, "seal", names), "files of earlier versions have no seal"
    seal(tmp_path, "seal", names)
    assert is_whole(tmp_path, "seal", names)
    path = tmp_path / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert is_whole(tmp_path, "seal", names) == (name == "seal" and damage == "missing")
