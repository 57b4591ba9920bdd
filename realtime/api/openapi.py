"""The description of the API that ``/openapi.json`` returns."""

from typing import Any

from fastapi import FastAPI
from pydantic import TypeAdapter

from lipstream.realtime.api.error_responses import ERROR_SCHEMA
from lipstream.realtime.wire.answers import ErrorAnswer
from lipstream.realtime.wire.field_descriptions import describe_fields

_TOKENS = {
    "api_key": "A key of the server's secret file. It opens every route, or those of its scopes, which a route names.",
    "join_token": "From `POST /api/tokens`. It lists avatars and begins as many sessions as it grants.",
    "session_token": "From `POST /api/sessions`. It opens the routes of the session.",
    "viewer_token": "From `POST /api/sessions`. It opens the session's WHEP and notices, and nothing else.",
}
_KEY = "api_key"
_CALLERS = {
    "everybody": (),
    "operators": ("api_key",),
    "guests": ("api_key", "join_token"),
    "owners": ("api_key", "session_token"),
    "viewers": ("api_key", "session_token", "viewer_token"),
}
"""The tokens that each tag of a route accepts."""


def openapi_of(app: FastAPI) -> dict[str, Any]:
    """Return an application's OpenAPI description, with each field's meaning, and with the tokens that open a route.

    Raises:
        KeyError: If a route has none of the tags that name its callers.
    """
    description = app.openapi()
    components = description["components"]
    error = TypeAdapter(ErrorAnswer).json_schema(ref_template="#/components/schemas/{model}")
    components["schemas"] |= {**error.pop("$defs"), ERROR_SCHEMA: error}
    for schema in components["schemas"].values():
        describe_fields(schema)
    components["securitySchemes"] = {
        name: {"type": "http", "scheme": "bearer", "description": meaning} for name, meaning in _TOKENS.items()
    }
    for operations in description["paths"].values():
        for operation in operations.values():
            callers, *scopes = operation["tags"]
            operation["security"] = [{name: scopes if name == _KEY else []} for name in _CALLERS[callers]]
            for status, answer in operation["responses"].items():
                if (
                    not status.startswith("2") and "content" in answer
                ):  # FastAPI assumes the type of the route's answers
                    (body,) = answer["content"].values()
                    answer["content"] = {"application/json": body}
    return description
