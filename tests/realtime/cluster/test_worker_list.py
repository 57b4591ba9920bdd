from pathlib import Path

import pytest

from lipstream.realtime.cluster.worker_list import WorkerList, parse_urls
from lipstream.realtime.errors import SettingsError


def test_addresses_are_read_from_the_setting() -> None:
    assert WorkerList("http://10.0.0.7:8080, https://b.example/,").look() == (
        "http://10.0.0.7:8080",
        "https://b.example",
    )


@pytest.mark.parametrize("text", ["ftp://a", "http://", "a.example", "http://a/path", "http://u:p@a", "http://a:x"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="is no address"):
        parse_urls([text])


def test_a_file_is_read_again_when_it_changes_and_damage_leaves_what_was(tmp_path: Path) -> None:
    path = tmp_path / "workers"
    path.write_text("# ours\nhttp://a:1  # left\n\nhttp://b:2\nhttp://a:1\n")
    workers = WorkerList(str(path))
    assert workers.look() == ("http://a:1", "http://b:2")
    path.write_text("http://c:3\n")
    assert workers.look() == ("http://c:3",)
    path.write_text("nonsense\n")
    assert workers.look() == ("http://c:3",)
    path.unlink()
    assert workers.look() == ("http://c:3",)
    with pytest.raises(SettingsError, match="cannot be read"):
        WorkerList(str(path))
