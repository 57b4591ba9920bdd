"""Names and ages of recordings' files."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.errors import NotFoundError
from lipstream.realtime.option_values import Retention, parse_retention
from lipstream.realtime.sinks.recording_files import (
    KeptFile,
    kept_recordings,
    overdue,
    recorded_file,
    remove_overdue,
    remove_recording,
)

SECOND = "20261129T120000Z"
NAME = f"abc_-123-{SECOND}"
KEPT = st.lists(st.builds(KeptFile, st.text(max_size=3), st.integers(0, 1000), st.integers(0, 1000).map(float)))


def store(folder: Path, name: str, *, changed_s: float, size: int = 10) -> None:
    for suffix in (".mp4", ".jsonl"):
        (folder / f"{name}{suffix}").write_bytes(bytes(size))
        os.utime(folder / f"{name}{suffix}", (changed_s, changed_s))


@given(KEPT, st.none() | st.integers(0, 1200), st.none() | st.integers(0, 3000))
def test_what_stays_is_young_and_small_enough_and_the_latest(
    kept: list[KeptFile], seconds: int | None, size: int | None
) -> None:
    over = overdue(kept, Retention(seconds, size), 1000.0)
    left = list(kept)
    for one in over:
        left.remove(one)
    if seconds is not None:
        assert all(1000 - one.changed_s <= seconds for one in left)
    if size is not None:
        assert sum(one.bytes for one in left) <= size
    if over and left:
        assert max(one.changed_s for one in over) <= min(one.changed_s for one in left)
    if seconds is None and (size is None or sum(one.bytes for one in kept) <= size):
        assert not over


def test_files_of_others_and_of_running_recordings_stay(tmp_path: Path) -> None:
    store(tmp_path, NAME, changed_s=1000)
    store(tmp_path, f"{NAME}-2", changed_s=1001)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / f"x-{SECOND}.mp4").symlink_to(tmp_path / "notes.txt")
    assert [(one.name, one.bytes) for one in kept_recordings(tmp_path)] == [(f"{NAME}-2", 20), (NAME, 20)]
    assert remove_overdue(tmp_path, Retention(seconds=1), 5000, written={f"{NAME}-2"}) == [NAME]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [f"{NAME}-2.mp4", f"{NAME}-2.jsonl", "notes.txt", f"x-{SECOND}.mp4"]
    )
    with pytest.raises(NotFoundError):
        recorded_file(tmp_path, f"x-{SECOND}.mp4")
    assert kept_recordings(tmp_path / "missing") == []


@given(st.text(max_size=40) | st.sampled_from(["..", "../keys", f"../{NAME}.mp4", f"{NAME}.mp4/", f"{NAME}.mp4\n"]))
def test_no_other_name_is_a_recording(name: str) -> None:
    for find in (recorded_file, remove_recording):
        with pytest.raises(NotFoundError):
            find(Path("/"), name)


@pytest.mark.parametrize(
    ("text", "retention"),
    [
        ("30d", Retention(30 * 86400, None)),
        ("12h, 1.5GB", Retention(12 * 3600, 1_500_000_000)),
        (["500 MB"], Retention(None, 500_000_000)),
        ("", None),
    ],
)
def test_an_age_and_a_size_are_read(text: str | list[str], retention: Retention | None) -> None:
    assert parse_retention(text) == retention


@pytest.mark.parametrize("text", ["30", "d", "-1d", "0d", "1e3d", "30days", "5GiB"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no age or size"):
        parse_retention(text)
