"""The meaning of a schema's fields, read from the docstring of the class that it was made of."""

import re
from typing import Any

_SECTION = re.compile(r"\n+Attributes:\n")
_FIELD = re.compile(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", re.MULTILINE)


def describe_fields(schema: dict[str, Any]) -> None:
    """Move the section ``Attributes:`` of a schema's description to the fields. May be called again.

    Args:
        schema: JSON schema of an object; changed in place.

    Raises:
        KeyError: If the section names a field that the schema has not.
    """
    meaning, *section = _SECTION.split(schema.get("description", ""), maxsplit=1)
    if not section:
        return
    schema["description"] = meaning
    for name, text in _FIELD.findall(section[0]):
        schema["properties"][name]["description"] = " ".join(text.split())
