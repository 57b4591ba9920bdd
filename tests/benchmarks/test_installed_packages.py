"""The sizes of packages add up to what an environment takes."""

from pathlib import Path

import pytest

from benchmarks.installed_packages import NOBODY, package_sizes


def write(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    return path


def install(site: Path, name: str, files: dict[str, int], *, unlisted: dict[str, int]) -> None:
    """Install a package as uv does; what is unlisted was made later."""
    info = site / f"{name}-1.0.dist-info"
    write(info / "METADATA", 0).write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    for file, size in {**files, **unlisted}.items():
        write(site / file, size)
    listed = [*files, f"{info.name}/METADATA", f"{info.name}/RECORD"]
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in listed))


@pytest.mark.parametrize("folders", ["lib/python3.11/site-packages", "Lib/site-packages"])
def test_each_file_counts_once(tmp_path: Path, folders: str) -> None:
    site = tmp_path / folders
    install(site, "big", {"big/a.py": 700_000, "big/core.so": 2_000_000}, unlisted={
        "big/__pycache__/a.cpython-311.pyc": 400_000,
    })  # fmt: skip
    install(site, "small", {"small.py": 1_000}, unlisted={"__pycache__/small.cpython-311.pyc": 2_000})
    write(tmp_path / "pyvenv.cfg", 300_000)
    write(site / "stray" / "x.pyc", 5_000)
    (tmp_path / "python").symlink_to("/bin/sh")
    sizes = {size.name: size for size in package_sizes(tmp_path)}
    assert next(iter(sizes)) == "big"
    assert (sizes["big"].compiled_mb, sizes["small"].compiled_mb) == (0.4, 0.002)
    assert sizes["big"].files_mb == pytest.approx(2.7, abs=0.001)
    assert sizes[NOBODY].files_mb == 0.3
    assert sizes[NOBODY].compiled_mb == 0.005
    on_disk = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink())
    assert sum(size.mb for size in sizes.values()) == pytest.approx(on_disk / 1e6)
