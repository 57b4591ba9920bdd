import base64
import hmac
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.api.tokens import JOIN_TOKEN_S, Role, Tokens
from lipstream.realtime.errors import ConflictError, SettingsError

KEY, OTHER = "an API key of fair length", "another one of fair length"
NOW_S = 1_800_000_000.0


def test_a_key_makes_an_operator_and_nothing_else_does() -> None:
    tokens = Tokens([KEY, OTHER])
    assert tokens.required
    assert tokens.role_of(KEY, NOW_S) is tokens.role_of(OTHER, NOW_S) is Role.OPERATOR
    for token in ("", KEY[:-1], KEY.upper(), f"{KEY} ", "ключ", f"{KEY}{OTHER}"):
        assert tokens.role_of(token, NOW_S) is Role.NOBODY
    assert not Tokens().required


def test_a_join_token_is_good_until_it_expires() -> None:
    tokens = Tokens([KEY])
    token = tokens.join_token(NOW_S)
    assert token != tokens.join_token(NOW_S)
    assert tokens.role_of(token, NOW_S) is Role.GUEST
    assert tokens.role_of(token, NOW_S + JOIN_TOKEN_S - 1) is Role.GUEST
    assert tokens.role_of(token, NOW_S + JOIN_TOKEN_S) is Role.NOBODY


def test_a_join_token_outlives_a_new_first_key_but_not_the_loss_of_its_own() -> None:
    token = Tokens([KEY]).join_token(NOW_S)
    assert Tokens([OTHER, KEY]).role_of(token, NOW_S) is Role.GUEST
    assert Tokens([OTHER]).role_of(token, NOW_S) is Role.NOBODY


@given(st.integers(0, 200), st.characters(min_codepoint=33, max_codepoint=0x2FF))
def test_a_join_token_that_was_changed_anywhere_is_worth_nothing(place: int, character: str) -> None:
    tokens = Tokens([KEY])
    token = tokens.join_token(NOW_S)
    place %= len(token)
    changed = token[:place] + character + token[place + 1 :]
    assert tokens.role_of(changed, NOW_S) is (Role.GUEST if changed == token else Role.NOBODY)


@given(st.text(max_size=200))
def test_any_text_is_a_token_of_nobody(text: str) -> None:
    assert Tokens([KEY]).role_of(text, NOW_S) is Role.NOBODY


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_a_token_of_another_kind_is_worth_nothing(algorithm: str) -> None:
    parts = [{"alg": algorithm, "typ": "JWT"}, {"exp": int(NOW_S) + 60}]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    for token in (".".join([*encoded, ""]), f"{encoded[1]}.", f".{encoded[1]}"):
        assert Tokens([KEY]).role_of(token, NOW_S) is Role.NOBODY


def test_without_a_key_there_is_nothing_to_sign_with() -> None:
    with pytest.raises(ConflictError):
        Tokens().join_token(NOW_S)


def test_a_secret_file_holds_a_key_a_line(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# of the kiosk\n{KEY}\n\n  {OTHER}  \n")
    tokens = Tokens.read(file)
    assert tokens.role_of(KEY, NOW_S) is tokens.role_of(OTHER, NOW_S) is Role.OPERATOR
    assert tokens.role_of("# of the kiosk", NOW_S) is Role.NOBODY
    assert not Tokens.read(None).required


@pytest.mark.parametrize(
    ("content", "why"), [("", "holds no key"), ("# only this\n", "holds no key"), ("short", "less than 16")]
)
def test_a_secret_file_that_protects_nothing_is_refused(tmp_path: Path, content: str, why: str) -> None:
    file = tmp_path / "keys"
    file.write_text(content)
    with pytest.raises(SettingsError, match=why):
        Tokens.read(file)
    with pytest.raises(SettingsError, match="cannot be read"):
        Tokens.read(tmp_path / "missing")


@pytest.mark.parametrize(
    "claims", [b"\xff\xfe", b"no JSON", b"[1]", b'"text"', b'{"exp": "soon"}', b'{"exp": null}', b"{}"]
)
def test_what_another_version_may_have_signed_is_worth_nothing(claims: bytes) -> None:
    tokens = Tokens([KEY])
    body = base64.urlsafe_b64encode(claims).rstrip(b"=").decode()
    signature = hmac.digest(tokens._signing[0], body.encode(), "sha256")
    token = f"{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    assert tokens.role_of(token, NOW_S) is Role.NOBODY
