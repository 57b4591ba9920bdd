"""How avatars travel between the workers of a cluster."""

import io
import tarfile
from pathlib import Path

import pytest

from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.errors import AvatarError, NotFoundError
from lipstream.realtime.server.avatar_ledger import AvatarLedger
from tests.realtime.fakes import make_store, write_avatar


def test_an_avatar_arrives_as_it_was_with_its_time(tmp_path: Path) -> None:
    here, there = AvatarLedger(make_store(tmp_path, {"ann": 60})), AvatarLedger(AvatarStore(tmp_path / "there"))
    entry = here.entries()["ann"]
    assert there.take("ann", io.BytesIO(here.archive("ann")), entry)
    assert there.entries() == here.entries()
    clips = [root / "avatars" / "ann" / "clip.mp4" for root in (tmp_path / "store", tmp_path / "there")]
    assert clips[0].read_bytes() == clips[1].read_bytes()
    assert not there.take("ann", io.BytesIO(here.archive("ann")), entry), "it is there already"
    with pytest.raises(NotFoundError):
        here.archive("bob")


def test_the_later_of_two_events_stays(tmp_path: Path) -> None:
    store = make_store(tmp_path, {"ann": 60})
    ledger = AvatarLedger(store)
    archive, (at_ns, digest) = ledger.archive("ann"), ledger.entries()["ann"]
    store.remove("ann")
    ledger.note_removed("ann", at_ns + 5)
    assert ledger.entries() == {"ann": (at_ns + 5, "")}
    assert not ledger.take("ann", io.BytesIO(archive), (at_ns, digest)), "it was removed later"
    assert ledger.take("ann", io.BytesIO(archive), (at_ns + 9, digest)), "it was built later"
    assert ledger.entries()["ann"] == (at_ns + 9, digest)
    ledger.note_removed("ann", at_ns)
    assert ledger.entries()["ann"] == (at_ns + 9, digest), "an old removal says nothing"


def test_a_changed_avatar_has_another_digest(tmp_path: Path) -> None:
    store = make_store(tmp_path, {"ann": 60})
    ledger = AvatarLedger(store)
    before = ledger.entries()["ann"]
    store.build(write_avatar(tmp_path / "again", "ann", shade=100), "ann")
    after = ledger.entries()["ann"]
    assert after[1] != before[1]
    assert after[0] > before[0]


def test_what_is_not_what_it_says_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    here, store = AvatarLedger(make_store(tmp_path, {"ann": 60})), AvatarStore(tmp_path / "there")
    there, archive, entry = AvatarLedger(store), here.archive("ann"), here.entries()["ann"]
    broken = bytearray(archive)
    broken[archive.index(b"ftyp")] ^= 1
    outside = _tar({"../evil": b"x"})
    linked = io.BytesIO()
    with tarfile.open(fileobj=linked, mode="w") as made:
        link = tarfile.TarInfo("clip.mp4")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(link)
    for content in (bytes(broken), b"", b"nonsense", archive[:1000], outside, linked.getvalue()):
        with pytest.raises(AvatarError):
            there.take("ann", io.BytesIO(content), entry)
    with pytest.raises(AvatarError, match="must match"):
        there.take("../ann", io.BytesIO(archive), entry)
    with pytest.raises(AvatarError, match="this is the avatar"):
        there.take("bob", io.BytesIO(archive), entry)
    assert there.entries() == {}
    assert not list((tmp_path / "there").rglob("*.mp4"))
    assert not (tmp_path / "evil").exists()


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
