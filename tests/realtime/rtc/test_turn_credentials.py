import base64
import hashlib
import hmac
from pathlib import Path

import pytest

from lipstream.realtime.errors import SettingsError
from lipstream.realtime.rtc.turn_credentials import TurnSecret, quota_user
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.settings import Settings
from lipstream.realtime.wire.session_answers import IceServer
from tests.realtime.fakes import make_store, worker_settings

URL = "turn:turn.example.org:3478"
SECRET = "a secret of both servers"


def test_a_credential_says_until_when_it_is_good_and_is_signed() -> None:
    server = TurnSecret((URL,), SECRET, 60).ice_server("ann", 1_000_000.9)
    assert server["urls"] == [URL]
    assert server["username"] == "1000060:ann"
    digest = hmac.new(SECRET.encode(), b"1000060:ann", hashlib.sha1).digest()
    assert server["credential"] == base64.b64encode(digest).decode()


def test_the_secret_shows_nowhere() -> None:
    assert SECRET not in repr(TurnSecret((URL,), SECRET))


def test_the_user_of_a_quota_is_not_the_sessions_id() -> None:
    assert quota_user("one") == quota_user("one") != quota_user("two")
    assert "one" not in quota_user("one")


@pytest.mark.parametrize(
    ("text", "message"), [("short", "less than 16"), ("", "less than 16"), (None, "cannot be read")]
)
def test_a_secret_that_cannot_be_used_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "turn-secret"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SettingsError, match=message):
        TurnSecret.read((URL,), path, 600)


def test_without_a_secret_file_there_are_no_credentials() -> None:
    assert TurnSecret.read((), None, 600) is None


async def test_each_session_gets_its_own_credentials_beside_what_is_configured(
    tmp_path: Path, no_built_in_avatars: None
) -> None:
    (tmp_path / "turn-secret").write_text(f"{SECRET}\n")
    store = make_store(tmp_path, {"ann": 60})
    stun = IceServer(urls="stun:stun.example.org")
    settings = Settings(
        picture_workers=0,
        store=store.root,
        ice_servers=(stun,),
        turn_urls=(URL,),
        turn_secret_file=tmp_path / "turn-secret",
        max_sessions=2,
    )
    sessions = Sessions(settings, worker_settings(store, "FakePredictor"))
    await sessions.start()
    try:
        one, two = [sessions.factory.connectivity((await sessions.create("ann", None))[0]) for _ in range(2)]
    finally:
        await sessions.close()
    assert [one["ice_servers"][0], two["ice_servers"][0]] == [stun, stun]
    assert one["ice_servers"][1]["username"] != two["ice_servers"][1]["username"]
    assert one["ice_transport_policy"] == "all"
