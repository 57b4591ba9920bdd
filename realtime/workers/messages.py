"""Encodes messages between the server and a worker: a line of JSON that names the type, then an optional payload."""

import json
from collections.abc import Mapping
from typing import Any


def pack(message: tuple[Any, ...], payload: bytes = b"") -> bytes:
    """Return a message as bytes."""
    return b"".join((json.dumps((type(message).__name__, *message)).encode(), b"\n", payload))


def unpack(types: Mapping[str, type[Any]], data: bytes) -> tuple[Any, bytes]:
    """Return the message and the payload that :func:`pack` encoded.

    Raises:
        KeyError: If the message has another type.
    """
    head, _, payload = data.partition(b"\n")
    name, *fields = json.loads(head)
    return types[name](*fields), payload


def by_name(*types: type[Any]) -> dict[str, type[Any]]:
    """Return a dict of types by their names."""
    return {each.__name__: each for each in types}
