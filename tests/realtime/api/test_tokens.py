import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.api.tokens import JOIN_TOKEN_S, Access, Caller
from realtime.errors import ConflictError, SettingsError

KEY, OTHER = "an API key of fair length", "another one of fair length"
NOW_S = 1_800_000_000.0


def test_a_key_makes_an_operator_and_nothing_else_does() -> None:
    access = Access([KEY, OTHER])
    assert access.required
    assert access.caller(KEY, NOW_S) is access.caller(OTHER, NOW_S) is Caller.OPERATOR
    for token in ("", KEY[:-1], KEY.upper(), f"{KEY} ", "ключ", f"{KEY}{OTHER}"):
        assert access.caller(token, NOW_S) is Caller.NOBODY
    assert not Access().required


def test_a_join_token_is_good_until_it_expires() -> None:
    access = Access([KEY])
    token = access.join_token(NOW_S)
    assert token != access.join_token(NOW_S)
    assert access.caller(token, NOW_S) is Caller.GUEST
    assert access.caller(token, NOW_S + JOIN_TOKEN_S - 1) is Caller.GUEST
    assert access.caller(token, NOW_S + JOIN_TOKEN_S) is Caller.NOBODY


def test_a_join_token_outlives_a_new_first_key_but_not_the_loss_of_its_own() -> None:
    token = Access([KEY]).join_token(NOW_S)
    assert Access([OTHER, KEY]).caller(token, NOW_S) is Caller.GUEST
    assert Access([OTHER]).caller(token, NOW_S) is Caller.NOBODY


@given(st.integers(0, 200), st.characters(min_codepoint=33, max_codepoint=0x2FF))
def test_a_join_token_that_was_changed_anywhere_is_worth_nothing(place: int, character: str) -> None:
    access = Access([KEY])
    token = access.join_token(NOW_S)
    place %= len(token)
    changed = token[:place] + character + token[place + 1 :]
    assert access.caller(changed, NOW_S) is (Caller.GUEST if changed == token else Caller.NOBODY)


@given(st.text(max_size=200))
def test_any_text_is_a_token_of_nobody(text: str) -> None:
    assert Access([KEY]).caller(text, NOW_S) is Caller.NOBODY


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_a_token_of_another_kind_is_worth_nothing(algorithm: str) -> None:
    parts = [{"alg": algorithm, "typ": "JWT"}, {"exp": int(NOW_S) + 60}]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    for token in (".".join([*encoded, ""]), f"{encoded[1]}.", f".{encoded[1]}"):
        assert Access([KEY]).caller(token, NOW_S) is Caller.NOBODY


def test_without_a_key_there_is_nothing_to_sign_with() -> None:
    with pytest.raises(ConflictError):
        Access().join_token(NOW_S)


def test_a_secret_file_holds_a_key_a_line(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# of the kiosk\n{KEY}\n\n  {OTHER}  \n")
    access = Access.read(file)
    assert access.caller(KEY, NOW_S) is access.caller(OTHER, NOW_S) is Caller.OPERATOR
    assert access.caller("# of the kiosk", NOW_S) is Caller.NOBODY
    assert not Access.read(None).required


@pytest.mark.parametrize(
    ("content", "why"), [("", "holds no key"), ("# only this\n", "holds no key"), ("short", "less than 16")]
)
def test_a_secret_file_that_protects_nothing_is_refused(tmp_path: Path, content: str, why: str) -> None:
    file = tmp_path / "keys"
    file.write_text(content)
    with pytest.raises(SettingsError, match=why):
        Access.read(file)
    with pytest.raises(SettingsError, match="cannot be read"):
        Access.read(tmp_path / "missing")
