"""Docstrings explain the fields of schemas."""

from typing import Any

import pytest

from lipstream.realtime.wire.field_descriptions import describe_fields

TEXT = (
    "Two things.\n\nMore of them.\n\nAttributes:\n    one: The first,\n        which is long.\n    two: The second: 2."
)


def test_each_field_gets_its_own_meaning_once() -> None:
    schema: dict[str, Any] = {"description": TEXT, "properties": {"one": {}, "two": {"type": "integer"}, "three": {}}}
    for _ in range(2):
        describe_fields(schema)
        assert schema == {
            "description": "Two things.\n\nMore of them.",
            "properties": {
                "one": {"description": "The first, which is long."},
                "two": {"type": "integer", "description": "The second: 2."},
                "three": {},
            },
        }


def test_a_meaning_of_a_field_that_is_not_there_is_a_fault() -> None:
    with pytest.raises(KeyError, match="two"):
        describe_fields({"description": TEXT, "properties": {"one": {}}})


def test_a_schema_without_a_section_stays() -> None:
    schema = {"description": "Attributes: none."}
    describe_fields(schema)
    assert schema == {"description": "Attributes: none."}
