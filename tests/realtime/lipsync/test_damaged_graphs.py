"""Damaged graphs of OpenVINO are noticed; test_backends.py has one that is converted again."""

from collections.abc import Callable
from pathlib import Path

import openvino as ov
import pytest

from lipstream.realtime.lipsync.openvino_backend import quantized
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


def test_damaged_eight_bits_are_fitted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fitting(Exception):  # noqa: N818 (a signal, not an error)
        """Raised where the fitting would begin."""

    def begin() -> None:
        raise Fitting

    monkeypatch.setattr(ov, "Core", begin)
    names = ("mouth-int8.bin", "mouth-int8.xml")
    for name in names:
        (tmp_path / name).write_bytes(b"eight bits")
    seal(tmp_path, "int8.sums.json", names)
    assert quantized(tmp_path) == tmp_path / names[1]
    (tmp_path / names[0]).write_bytes(b"eight bit")
    with pytest.raises(Fitting):
        quantized(tmp_path)
