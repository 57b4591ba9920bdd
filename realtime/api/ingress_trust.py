"""Lets only the ingresses of its cluster speak to a worker. What proves an ingress is the secret, never an address.

An ingress has checked host, origin, size and rate. It names the client that it speaks for, so that limits and the audit
log count clients, not ingresses.
"""

import json

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from lipstream.realtime.errors import ForbiddenError, NotFoundError
from lipstream.realtime.session.cluster_secret import ClusterSecret
from lipstream.realtime.wire.answers import ErrorAnswer, ErrorBody
from lipstream.realtime.wire.cluster_messages import CLIENT_HEADER, SECRET_HEADER

OPEN = ("/healthz", "/readyz", "/metrics")
"""What is answered to everybody, the last one to those with a key if there are keys: an orchestrator's probes."""
_POLICY = 1008
_OF_CLUSTER = "lipstream.of_cluster"


class IngressTrust:
    """ASGI middleware in front of everything else of a worker."""

    def __init__(self, app: ASGIApp, secret: ClusterSecret) -> None:
        self._app, self._secret = app, secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an ingress's request to the application, or refuse another's."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        shown = headers.get(SECRET_HEADER)
        if shown is None and scope["path"] in OPEN:
            await self._app(scope, receive, send)
        elif shown is not None and self._secret.opens(shown, self._secret.for_client):
            await self._app({**scope, "client": (headers.get(CLIENT_HEADER, ""), 0)}, receive, send)
        elif shown is not None and self._secret.opens(shown, self._secret.for_itself):
            await self._app({**scope, _OF_CLUSTER: True}, receive, send)
        else:
            await _refuse(scope, send)


async def of_cluster(request: Request) -> None:
    """Admit requests of ingresses and workers themselves; those of their clients find nothing here.

    Raises:
        NotFoundError: If the request is a client's.
    """
    if not request.scope.get(_OF_CLUSTER):
        raise NotFoundError("Not Found")


async def _refuse(scope: Scope, send: Send) -> None:
    error = ForbiddenError("this server is a worker of a cluster: ask an ingress of it")
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _POLICY, "reason": error.message})
        return
    body = json.dumps(ErrorAnswer(error=ErrorBody(code=error.code, message=error.message))).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
