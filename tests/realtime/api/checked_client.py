"""A client that holds each answer of the server against ``/openapi.json``."""

import copy
import re
from dataclasses import dataclass, field
from typing import Any

import httpx
from jsonschema import Draft202012Validator

EMPTY = {
    ("DELETE", "/api/sessions/{session_id}/whep/{viewer_id}"),
    ("DELETE", "/api/whip/{session_id}"),
    ("HEAD", "/api/sessions/{session_id}/whep"),
}
"""Answers of status 200 without a body, as WHEP and WHIP want them."""


def operations(description: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the operations of a description by method and path."""
    return {
        (method.upper(), path): operation
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    }


def closed(schemas: dict[str, Any]) -> dict[str, Any]:
    """Return schemas that take no field that they do not name."""
    schemas = copy.deepcopy(schemas)
    for schema in schemas.values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return schemas


@dataclass
class CheckedTransport(httpx.AsyncBaseTransport):
    """Passes requests on, and fails on an answer that the description does not foresee.

    Attributes:
        answered: Method, path as the description spells it, and status of each answer.
    """

    description: dict[str, Any]
    server: httpx.AsyncBaseTransport
    answered: set[tuple[str, str, int]] = field(default_factory=set)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self.server.handle_async_request(request)
        await response.aread()
        path, operation = self._operation(request)
        self.answered.add((request.method, path, response.status_code))
        self._check(operation["responses"][str(response.status_code)], response)
        return response

    def _operation(self, request: httpx.Request) -> tuple[str, dict[str, Any]]:
        found = [
            (path, operation)
            for (method, path), operation in operations(self.description).items()
            if method == request.method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), request.url.path)
        ]
        assert found, f"not described: {request.method} {request.url.path}"
        return min(found, key=lambda one: one[0].count("{"))

    def _check(self, described: dict[str, Any], response: httpx.Response) -> None:
        assert [name for name in described.get("headers", {}) if name not in response.headers] == []
        if "content" not in described:
            assert not response.content
            return
        kind = response.headers["content-type"].partition(";")[0]
        assert kind in described["content"]
        body = described["content"][kind]
        if kind == "application/json":
            whole = {**body["schema"], "components": {"schemas": closed(self.description["components"]["schemas"])}}
            Draft202012Validator(whole).validate(response.json())
