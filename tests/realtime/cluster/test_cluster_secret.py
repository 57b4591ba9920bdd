"""Names and tokens of sessions, which every server of a cluster derives alike."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.errors import SettingsError
from lipstream.realtime.session.cluster_secret import SHORTEST_SECRET, ClusterSecret
from lipstream.realtime.session.session_names import WORKER_CHARACTERS, SessionNames, split_id

SECRET = ClusterSecret("s" * SHORTEST_SECRET)


def test_a_server_on_its_own_names_sessions_at_random() -> None:
    names = SessionNames()
    first, second = names.new(), names.new()
    assert len({first.id, first.token, first.viewer_token, second.id, second.token, second.viewer_token}) == 6
    assert names.worker == first.former_id == ""
    assert names.continued(first.id, first.token, ()).id != first.id, "it continues nothing"


def test_a_session_keeps_its_name_and_tokens_on_another_worker() -> None:
    before, after = SessionNames(SECRET), SessionNames(ClusterSecret("s" * SHORTEST_SECRET))
    lost = before.new()
    found = after.continued(lost.id, lost.token, ())
    assert before.worker != after.worker
    assert found.id == split_id(lost.id)[1] + after.worker
    assert (found.token, found.viewer_token, found.former_id) == (lost.token, lost.viewer_token, lost.id)


def test_a_session_that_is_not_proven_or_not_lost_is_a_new_one() -> None:
    before, after = SessionNames(SECRET), SessionNames(SECRET)
    lost = before.new()
    for session_id, token, taken in (
        *((lost.id, lost.viewer_token, ()), (lost.id, "", ()), (lost.id[:-1], lost.token, ())),
        *((lost.id[-WORKER_CHARACTERS:], SECRET.owner_token(""), ()), ("", lost.token, ())),
        (lost.id, lost.token, (split_id(lost.id)[1] + after.worker,)),
    ):
        new = after.continued(session_id, token, taken)
        assert new.former_id == ""
        assert split_id(new.id)[1] != split_id(lost.id)[1]
    stranger = SessionNames(ClusterSecret("t" * SHORTEST_SECRET))
    assert stranger.continued(lost.id, lost.token, ()).former_id == "", "it has another secret"


@given(st.text(max_size=40), st.text(max_size=40))
def test_ids_and_tokens_of_strangers_break_nothing(session_id: str, token: str) -> None:
    assert SessionNames(SECRET).continued(session_id, token, ()).former_id == ""
    assert not SECRET.opens(token, SECRET.for_client, SECRET.for_itself)


def test_what_is_derived_differs_by_its_purpose() -> None:
    derived = (SECRET.for_client, SECRET.for_itself, SECRET.owner_token("x"), SECRET.viewer_token("x"))
    assert len(set(derived)) == 4
    assert not any("s" * SHORTEST_SECRET in one for one in derived)


def test_a_short_or_missing_secret_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="less than"):
        ClusterSecret("short")
    with pytest.raises(SettingsError, match="cannot be read"):
        ClusterSecret.read(tmp_path / "none")
    (tmp_path / "secret").write_text("s" * SHORTEST_SECRET + "\n")
    assert ClusterSecret.read(tmp_path / "secret").for_client == SECRET.for_client
