"""How a message between the server and a worker becomes bytes: a line of JSON that names its type, then any payload."""

import json
from collections.abc import Mapping
from typing import Any


def pack(message: tuple[Any, ...], payload: bytes = b"") -> bytes:
    """Return a message as bytes.

    Args:
        message: A named tuple whose fields JSON can hold.
        payload: Bytes that follow it.
    """
    return b"".join((json.dumps((type(message).__name__, *message)).encode(), b"\n", payload))


def unpack(types: Mapping[str, type[Any]], data: bytes) -> tuple[Any, bytes]:
    """Return a message and the payload that follows it.

    Args:
        types: The types that may come, by their names.
        data: What :func:`pack` returned.
    """
    head, _, payload = data.partition(b"\n")
    name, *fields = json.loads(head)
    return types[name](*fields), payload


def by_name(*types: type[Any]) -> dict[str, type[Any]]:
    """Return types by their names."""
    return {each.__name__: each for each in types}
