import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.api.keys import Scope, find_key, parse_keys
from lipstream.realtime.errors import SettingsError

SECRET = "0123456789abcdef"


def test_a_plain_line_is_a_key_that_opens_everything() -> None:
    first, second = parse_keys(f"# ours\n{SECRET}\n\n  the key of an operator \n")
    assert (first.secret, first.name, first.is_admin()) == (SECRET, "key-1", True)
    assert (second.secret, second.name, second.is_admin()) == ("the key of an operator", "key-2", True)


def test_a_line_may_give_a_name_and_scopes() -> None:
    (key,) = parse_keys(f"obs  watch,publish\t{SECRET}")
    assert (key.name, key.secret) == ("obs", SECRET)
    assert key.scopes == frozenset((Scope.WATCH, Scope.PUBLISH))
    assert not key.is_admin()
    (key,) = parse_keys(f"boss admin {SECRET}")
    assert (key.name, key.is_admin()) == ("boss", True)


def test_three_words_without_a_scope_are_a_key_with_spaces() -> None:
    (key,) = parse_keys("another key, of-sixteen-and-more")
    assert (key.secret, key.is_admin()) == ("another key, of-sixteen-and-more", True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"obs watch,pubilsh {SECRET}", "'pubilsh' is no scope"),
        (f"obs watch, {SECRET}", "'' is no scope"),
        ("obs watch 0123456789abcde", "less than 16"),
        (f"obs watch {SECRET}\nobs record {SECRET}x", "two keys 'obs'"),
    ],
)
def test_a_line_that_makes_no_sense_is_refused(text: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why) as refused:
        parse_keys(text)
    assert SECRET not in refused.value.message


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        keys = parse_keys(text)
    except SettingsError:
        return
    for key in keys:
        found = find_key(keys, key.secret)
        assert found is not None
        assert found.secret == key.secret
        assert key.secret in text
