"""What is remembered of join tokens, over restarts too."""

import json
import os
from pathlib import Path

import pytest

from lipstream.realtime.api import token_register
from lipstream.realtime.api.token_register import FILE, SignedToken, TokenRegister
from lipstream.realtime.api.tokens import Invitation
from lipstream.realtime.errors import SettingsError
from lipstream.realtime.wire.cluster_messages import TokenLists

NOW_S = 1_800_000_000


def invitation(name: str, *, lasts_s: int = 300, kiosk: bool = False, once: bool = False) -> Invitation:
    return Invitation(name, NOW_S + lasts_s, kiosk=kiosk, once=once, avatars=("ann",))


def signed(name: str, *, lasts_s: int = 300, kiosk: bool = False) -> SignedToken:
    return SignedToken(invitation(name, lasts_s=lasts_s, kiosk=kiosk), "for the hall", "key-1", NOW_S)


async def test_a_revoked_token_stays_revoked_until_it_expires(tmp_path: Path) -> None:
    register = TokenRegister(tmp_path)
    await register.note_signed(signed("kiosk", lasts_s=1000, kiosk=True), NOW_S)
    await register.note_signed(signed("short"), NOW_S)
    assert [token.invitation.id for token in register.signed(NOW_S)] == ["kiosk", "short"]
    register.revoke("kiosk", NOW_S)
    register.revoke("of-another-year", NOW_S, expires_s=NOW_S + 500)
    await register.keep()
    again = TokenRegister(tmp_path)
    assert again.is_revoked("kiosk")
    assert again.is_revoked("of-another-year")
    assert not again.is_revoked("short")
    assert again.signed(NOW_S) == [signed("kiosk", lasts_s=1000, kiosk=True)]
    assert again.signed(NOW_S + 1000) == []
    assert not again.is_revoked("kiosk")
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0


async def test_one_use_is_one_use(tmp_path: Path) -> None:
    register, once = TokenRegister(tmp_path), invitation("once", once=True)
    assert register.reserve(once)
    assert not register.reserve(once)
    register.give_back(once)
    assert register.reserve(once)
    await register.keep()
    again = TokenRegister(tmp_path)
    assert again.is_used("once")
    assert not again.reserve(once)


async def test_only_so_many_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_register, "MOST_LISTED", 3)
    register = TokenRegister(tmp_path)
    for n in range(5):
        await register.note_signed(signed(f"t{n}", lasts_s=100 + n), NOW_S)
    assert [token.invitation.id for token in register.signed(NOW_S)] == ["t2", "t3", "t4"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"revoked": [], "used": {}, "signed": []}', '{"revoked": {"a": "x"}}']
)
def test_a_damaged_list_ends_the_start_since_revoked_tokens_would_be_good_again(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(SettingsError, match="cannot be read"):
        TokenRegister(tmp_path)


async def test_a_write_that_fails_leaves_the_list_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register = TokenRegister(tmp_path)
    register.revoke("one", NOW_S)
    await register.keep()

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    register.revoke("two", NOW_S)
    with pytest.raises(OSError, match="space"):
        await register.keep()
    assert register.is_revoked("two")
    assert list(json.loads((tmp_path / FILE).read_text())["revoked"]) == ["one"]


async def test_servers_of_a_cluster_take_each_others_lists(tmp_path: Path) -> None:
    here, there = TokenRegister(tmp_path / "here"), TokenRegister(tmp_path / "there")
    assert here.lists_tag() == there.lists_tag()
    here.revoke("taken", NOW_S, expires_s=NOW_S + 500)
    assert here.reserve(invitation("once", once=True))
    assert here.lists()["used"] == {}, "its session may fail yet"
    await here.keep(invitation("once", once=True))
    assert here.lists_tag() != there.lists_tag()
    await there.merge(here.lists(), NOW_S)
    assert here.lists_tag() == there.lists_tag()
    assert there.is_revoked("taken")
    assert not there.reserve(invitation("once", once=True))
    assert TokenRegister(tmp_path / "there").is_revoked("taken"), "it lasts"
    await there.merge(TokenLists(revoked={"taken": NOW_S + 10, "old": NOW_S - 1}, used={}), NOW_S)
    assert there.lists()["revoked"] == {"taken": NOW_S + 500}, "the later expiry counts"
