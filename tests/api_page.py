"""Writes docs/API.md from the OpenAPI description and the shapes of events: ``python -m tests.api_page``."""

import json
import re
import tempfile
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from lipstream.realtime.api.app import create_app
from lipstream.realtime.api.openapi import openapi_of
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.settings import Settings
from lipstream.realtime.wire import control_messages, events
from lipstream.realtime.wire.field_descriptions import describe_fields
from tests.realtime.fakes import make_store, worker_settings
from tests.server_process import ROOT

PAGE = ROOT / "docs" / "API.md"
_METHODS = ("get", "head", "post", "patch", "delete")
_CALLERS = {
    "everybody": "nothing",
    "operators": "an API key",
    "guests": "an API key or a join token",
    "owners": "an API key or the session's token",
    "viewers": "an API key, the session's token or its viewer token",
}
_INTRODUCTION = """\
# API

<!-- Do not edit: `python -m tests.api_page` writes this from the server and `realtime/wire/`. -->

This page lists what a server answers, the events of its sessions, and the messages that it takes.
`GET /openapi.json` gives the same routes to programs: a client can be generated from it.

Without a secret file a server asks for no token. With one, send `Authorization: Bearer TOKEN`; each
route says below which tokens open it. [DEPLOY.md](DEPLOY.md) tells how to set up a secret file.

A field with `?` may be absent. Positions called `sample` are on the session's timeline: 16 kHz,
counted from the session's beginning, silence included.

## Errors

Every answer that is not 2xx has one shape, [ErrorAnswer](#erroranswer):
`{"error": {"code", "message"}}`. `message` is one sentence for people. An answer of status 429 or
503 says in `Retry-After` after how many seconds a retry makes sense. The one exception is
`GET /readyz`.

| status | meaning |
| --- | --- |
"""
_EVENTS = """\
## Events

A session tells its clients what happens: by text frames of the WebSocket, and by the data channel
`control` if the speaking peer's offer opens one. Each is a JSON object with a `type`.

"""
_MESSAGES = """\
## Control messages

Clients send these the same ways: one JSON object of at most 4 KiB each. A message that cannot be
carried out is answered by an event of type `error`.

"""
_WEBSOCKET = """\
### WebSocket `/api/sessions/{session_id}/audio`

Asks for an API key or the session's token. A program speaks through the session: its binary frames
are sound, s16le, mono, at the rate that the query names: `?rate=16000`, 8000 to 48000 Hz. Text
frames carry the [control messages](#control-messages) in and the [events](#events) out. Browsers,
which cannot set a header here, offer the subprotocols `["lipstream.v1", "bearer.TOKEN"]`.
[SPEAKING.md](SPEAKING.md) shows a program.

"""


def read_description(folder: Path) -> dict[str, Any]:
    """Return the OpenAPI description of a server that has one avatar in a folder."""
    store = make_store(folder, {"ann": 60})
    return openapi_of(create_app(Sessions(Settings(store=store.root), worker_settings(store, "FakePredictor"))))


def api_page(description: dict[str, Any]) -> str:
    """Return docs/API.md."""
    schemas = description["components"]["schemas"]
    parts = [_INTRODUCTION, *_errors(description), "\n## Routes\n\n"]
    for path, operations in description["paths"].items():
        for method in _METHODS:
            if method in operations:
                parts += _route(method, path, operations[method])
    parts += [_WEBSOCKET, "## Objects\n\n"]
    for name in sorted(schemas):
        parts += _object(f"### {name}", schemas[name])
    parts.append(_EVENTS)
    parts += _messages(events.ServerEvent)
    parts.append("Two more are told to the program at a WebSocket alone:\n\n")
    parts += _messages(events.ProgramEvent)
    parts.append(_MESSAGES)
    parts += _messages(control_messages.ControlMessage)
    return "".join(parts).rstrip("\n") + "\n"


def _errors(description: dict[str, Any]) -> Iterator[str]:
    statuses = {
        (status, answer["description"])
        for operations in description["paths"].values()
        for operation in operations.values()
        for status, answer in operation["responses"].items()
        if status[0] in "45" and "ErrorAnswer" in json.dumps(answer)
    }
    for status, meaning in sorted(statuses):
        yield f"| {status} | {meaning} |\n"


def _route(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"### {method.upper()} `{path}`\n\n{_prose(operation['description'])}\n\n"
    scopes = [scope for token in operation["security"] for scope in token.get("api_key", ())]
    yield f"- Asks for {_CALLERS[operation['tags'][0]]}{_scopes(scopes)}.\n"
    for parameter in operation.get("parameters", ()):
        if parameter["in"] != "path":
            yield f"- Takes `{parameter['name']}` in the {parameter['in']}: {_type(parameter['schema'])}.\n"
    for kind, body in operation.get("requestBody", {}).get("content", {}).items():
        yield f"- Takes {_body(kind, body['schema'])}.\n"
    answers = operation["responses"]
    for status, answer in sorted(answers.items()):
        if status[0] == "2" or (status == "503" and "ErrorAnswer" not in json.dumps(answer)):
            bodies = [_body(kind, body["schema"]) for kind, body in answer.get("content", {}).items()]
            headers = "".join(f", header `{name}`" for name in answer.get("headers", {}))
            yield f"- Answers {status}: {', '.join(bodies) or 'nothing'}{headers}.\n"
    errors = [status for status, answer in sorted(answers.items()) if "ErrorAnswer" in json.dumps(answer)]
    if known := [status for status in errors if status != "default"]:
        yield f"- Known errors: {', '.join(known)}.\n"
    yield "\n"
    fields = operation.get("requestBody", {}).get("content", {}).get("multipart/form-data")
    if fields:
        yield from _fields(fields["schema"])


def _scopes(scopes: list[str]) -> str:
    """Return the scopes that a key needs, in words; empty if the route names none."""
    named = " and ".join(f"`{scope}`" for scope in scopes)
    return f" with the scope{'s' * (len(scopes) > 1)} {named} or `admin`" if scopes else ""


def _body(kind: str, schema: dict[str, Any]) -> str:
    return _type(schema) if kind == "application/json" else f"`{kind}`"


def _object(heading: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"{heading}\n\n{_prose(schema['description'])}\n\n"
    yield from _fields(schema)


def _fields(schema: dict[str, Any]) -> Iterator[str]:
    if not schema.get("properties"):
        return
    yield "| field | type | meaning |\n| --- | --- | --- |\n"
    for name, field in schema["properties"].items():
        mark = "" if name in schema.get("required", ()) else "?"
        yield f"| `{name}`{mark} | {_type(field)} | {_prose(field.get('description', ''), wrap=False)} |\n"
    yield "\n"


def _messages(union: Any) -> Iterator[str]:
    for member in typing.get_args(union):
        schema = TypeAdapter(member).json_schema()
        describe_fields(schema)
        kind = schema["properties"].pop("type")
        names = " · ".join(f"`{name}`" for name in kind.get("enum", [kind.get("const")]))
        yield from _object(f"### {names}", schema)


def _type(schema: dict[str, Any]) -> str:
    """Return a schema in words, with links to the objects of the page."""
    match schema:
        case {"$ref": ref}:
            name = ref.rpartition("/")[2]
            return f"[{name}](#{name.lower()})"
        case {"anyOf": members}:
            return " or ".join(_type(member) for member in members)
        case {"const": value}:
            return f"`{json.dumps(value)}`"
        case {"enum": values}:
            return " or ".join(f"`{json.dumps(value)}`" for value in values)
        case {"prefixItems": items}:
            return f"[{', '.join(_type(item) for item in items)}]"
        case {"type": "array", "items": item}:
            return f"list of {_type(item)}"
    names = {"null": "`null`", "integer": "int", "number": "float", "boolean": "bool"}
    return names.get(schema["type"], str(schema["type"]))


def _prose(text: str, *, wrap: bool = True) -> str:
    """Return a docstring as Markdown; its double backquotes are single ones there."""
    text = re.sub(r"``(.+?)``", r"`\1`", text.replace("|", "\\|"))
    return "\n\n".join(_wrapped(part) if wrap else " ".join(part.split()) for part in text.split("\n\n"))


def _wrapped(paragraph: str) -> str:
    lines = [""]
    for word in paragraph.split():
        if len(lines[-1]) + len(word) >= 100:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(api_page(read_description(Path(folder))))
