"""AMF0, the encoding of RTMP's commands. Pure functions.

After Adobe's *Action Message Format -- AMF 0* (2007), limited to the types that a publisher needs.
"""

import struct
from typing import Any

Value = float | bool | str | dict[str, Any] | list[Any] | None

_NUMBER, _BOOLEAN, _STRING, _OBJECT, _NULL, _ARRAY, _OBJECT_END, _STRICT_ARRAY = 0, 1, 2, 3, 5, 8, 9, 10
_DEEPEST = 8
_SCALARS = {_NUMBER: (">d", 8), _BOOLEAN: (">?", 1), _NULL: ("", 0), 6: ("", 0), 11: (">d", 10)}
"""Struct format and length of each type; 6 is undefined, 11 a date with its time zone."""
_TEXTS = {_STRING: 2, 12: 4}
"""Width of the length field, bytes; 12 is a long string."""


def encode(*values: Value) -> bytes:
    """Return the encoded values in a row; dictionaries become objects.

    Raises:
        TypeError: For a type without an encoding here.
    """
    return b"".join(map(_encoded, values))


def decode(data: bytes) -> list[Value]:
    """Return all values in ``data``.

    Raises:
        ValueError: If the data is malformed.
    """
    values, place = [], 0
    try:
        while place < len(data):
            value, place = _decoded(data, place, 0)
            values.append(value)
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise ValueError("not AMF0") from error
    return values


def _encoded(value: Value) -> bytes:
    match value:
        case bool():
            return bytes((_BOOLEAN, value))
        case int() | float():
            return struct.pack(">Bd", _NUMBER, value)
        case str():
            return bytes((_STRING,)) + _name(value)
        case None:
            return bytes((_NULL,))
        case dict():
            fields = b"".join(_name(key) + _encoded(field) for key, field in value.items())
            return bytes((_OBJECT,)) + fields + bytes((0, 0, _OBJECT_END))
        case other:
            raise TypeError(f"no AMF0 for {type(other).__name__}")


def _name(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data


def _decoded(data: bytes, place: int, depth: int) -> tuple[Value, int]:
    kind, place = data[place], place + 1
    if kind in _SCALARS:
        form, size = _SCALARS[kind]
        return (struct.unpack_from(form, data, place)[0] if form else None), place + size
    if kind in _TEXTS:
        return _text(data, place, _TEXTS[kind])
    if depth == _DEEPEST:
        raise ValueError("AMF0 nested too deeply")
    if kind == _STRICT_ARRAY:
        (count,) = struct.unpack_from(">I", data, place)
        items, place = [], place + 4
        for _ in range(count):
            item, place = _decoded(data, place, depth + 1)
            items.append(item)
        return items, place
    if kind in (_OBJECT, _ARRAY):
        return _fields(data, place + 4 * (kind == _ARRAY), depth + 1)
    raise ValueError(f"AMF0 of the unknown kind {kind}")


def _text(data: bytes, place: int, width: int) -> tuple[str, int]:
    size = int.from_bytes(data[place : place + width], "big")
    end = place + width + size
    if end > len(data):
        raise ValueError("AMF0 that ends too soon")
    return data[place + width : end].decode(), end


def _fields(data: bytes, place: int, depth: int) -> tuple[dict[str, Any], int]:
    fields: dict[str, Any] = {}
    while True:
        name, place = _text(data, place, 2)
        if data[place] == _OBJECT_END and not name:
            return fields, place + 1
        fields[name], place = _decoded(data, place, depth)
