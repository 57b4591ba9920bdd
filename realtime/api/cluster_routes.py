"""What ingresses ask of a worker beside what clients ask: its state, its avatars, its lists of tokens.

``realtime.api.ingress_trust`` lets nobody else come so far, not even a client whose request an ingress passes on.
"""

import asyncio
import io
import json
import socket
import tarfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import BinaryIO

import httpx
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse

from lipstream.realtime.api.authorization import AllSessions, Authorization
from lipstream.realtime.api.connections import CONNECTIONS
from lipstream.realtime.api.ingress_trust import of_cluster
from lipstream.realtime.api.token_claims import TokenClaims
from lipstream.realtime.errors import ConflictError, NotFoundError, TooLargeError, UnavailableError
from lipstream.realtime.server.avatar_catalog import AvatarCatalog
from lipstream.realtime.server.avatar_ledger import AvatarLedger
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.wire.answer_body import UNCOMPRESSED, AnswerBodyError, body_pieces
from lipstream.realtime.wire.authorities import authorities
from lipstream.realtime.wire.cluster_messages import ANNOUNCE_S, SECRET_HEADER, Announcement, TokenClaim, TokenLists

_LOOK_S = 0.05
_FETCH_S, _WHOLE_S = 20.0, 600.0
"""Time for another worker to send the next piece of an avatar, and all of it, s."""

ingresses = APIRouter(prefix="/api/cluster", dependencies=[Depends(of_cluster)], include_in_schema=False)


@ingresses.get("/announcements")
async def announcements(request: Request, sessions: AllSessions) -> StreamingResponse:
    """Tell the worker's state each second and at each change, until the ingress hangs up."""
    announcer, connections = _Announcer(request, sessions), getattr(request.state, CONNECTIONS, None)

    async def lines() -> AsyncIterator[str]:
        trusting = connections.trusting(request.client.host) if connections and request.client else nullcontext()
        with trusting:
            async for line in announcer.lines():
                yield line

    return StreamingResponse(lines(), media_type="application/x-ndjson")


@ingresses.get("/avatars/{avatar_id}")
async def give_avatar(avatar_id: str, request: Request) -> Response:
    """Give an avatar away, as a tar archive."""
    archive = await asyncio.to_thread(_ledger(request).archive, avatar_id)
    return Response(archive, media_type="application/x-tar")


@ingresses.post("/avatars/{avatar_id}", status_code=204)
async def take_avatar(
    avatar_id: str, at_ns: int, digest: str, source: str, request: Request, sessions: AllSessions
) -> None:
    """Fetch an avatar from another worker; a later one here stays."""
    ledger, entry = _ledger(request), (at_ns, digest)
    async with ledger.turn:
        if await asyncio.to_thread(ledger.knows, avatar_id, entry):
            return
        if sessions.shows(avatar_id):
            raise ConflictError(f"the avatar {avatar_id!r} is being shown")
        archive = await _fetched(f"{source}/api/cluster/avatars/{avatar_id}", sessions)
        await asyncio.to_thread(ledger.take, avatar_id, archive, entry)
        sessions.avatars.forget(avatar_id)
        _catalog(request).forget()


async def _fetched(url: str, sessions: Sessions) -> BinaryIO:
    """Return an archive that another worker gives away.

    Raises:
        UnavailableError: If the worker does not give it.
        TooLargeError: If it is larger than an upload may be.
    """
    assert sessions.names.secret is not None
    headers = {SECRET_HEADER: sessions.names.secret.for_itself, "host": "localhost"} | UNCOMPRESSED
    most_bytes = (sessions.settings.upload_mb << 20) + tarfile.RECORDSIZE
    archive = io.BytesIO()
    try:
        async with (
            asyncio.timeout(_WHOLE_S),
            httpx.AsyncClient(timeout=_FETCH_S, verify=authorities(), trust_env=False) as client,
            client.stream("GET", url, headers=headers) as answer,
        ):
            answer.raise_for_status()
            async for piece in body_pieces(answer, most_bytes):
                archive.write(piece)
    except AnswerBodyError as error:
        raise TooLargeError("the avatar is larger than an upload may be") from error
    except (httpx.HTTPError, TimeoutError) as error:
        raise UnavailableError(f"the avatar did not come: {error}", reason="busy") from error
    archive.seek(0)
    return archive


@ingresses.delete("/avatars/{avatar_id}", status_code=204)
async def remove_avatar(avatar_id: str, at_ns: int, request: Request, sessions: AllSessions) -> None:
    """Remove an avatar that was removed elsewhere; one that was built later stays."""
    ledger = _ledger(request)
    async with ledger.turn:
        known = (await asyncio.to_thread(ledger.entries)).get(avatar_id)
        if known and known[1] and known[0] < at_ns:
            try:
                await sessions.remove_avatar(avatar_id)
            except NotFoundError:
                pass
            finally:
                _catalog(request).forget()
        await asyncio.to_thread(ledger.note_removed, avatar_id, at_ns)


@ingresses.get("/tokens")
async def token_lists(request: Request) -> TokenLists:
    """Return the join tokens that open nothing more."""
    return _authorization(request).register.lists()


@ingresses.put("/tokens")
async def merge_token_lists(lists: TokenLists, request: Request, sessions: AllSessions) -> TokenLists:
    """Take in the lists of other workers, end the sessions of tokens that were taken back, and return the whole."""
    register = _authorization(request).register
    await register.merge(lists, time.time())
    for token_id in lists["revoked"]:
        sessions.end_of_token(token_id)
    return register.lists()


@ingresses.post("/tokens/{token_id}/claims", status_code=204)
async def claim_session(token_id: str, claim: TokenClaim, request: Request) -> None:
    """Count a session of a join token that an ingress is about to place anywhere, if it may have one more."""
    claims: TokenClaims = request.app.state.claims
    if not claims.take(token_id, **claim, now_s=time.monotonic()):
        raise ConflictError("the token has as many sessions as it may")


@ingresses.delete("/tokens/{token_id}/claims", status_code=204)
async def give_claim_back(token_id: str, request: Request) -> None:
    """Forget the latest claim of a join token: no session came of it."""
    claims: TokenClaims = request.app.state.claims
    claims.give_back(token_id)


class _Announcer:
    """Tells one ingress the state of this worker."""

    def __init__(self, request: Request, sessions: Sessions) -> None:
        self._request, self._sessions = request, sessions

    async def lines(self) -> AsyncIterator[str]:
        """Yield announcements; they wait for no thread, since a busy machine must not look lost."""
        await _ledger(self._request).looked.wait()
        loop = asyncio.get_running_loop()
        last, told_s = None, 0.0
        while not (self._sessions.draining and not self._sessions.count):  # nothing more to tell
            changing = self._changing()
            if changing != last or loop.time() - told_s >= ANNOUNCE_S:
                yield json.dumps(self._announcement()) + "\n"
                last, told_s = changing, loop.time()
            await asyncio.sleep(_LOOK_S)

    def _changing(self) -> tuple[object, ...]:
        """Return what is told at once when it changes."""
        sessions = self._sessions
        avatars = tuple(_ledger(self._request).known.items())
        register = _authorization(self._request).register
        return sessions.count, sessions.created, sessions.unready_reason(), avatars, register.sizes

    def _announcement(self) -> Announcement:
        sessions = self._sessions
        reason, count, capacity = sessions.unready_reason(), sessions.count, sessions.capacity
        held = Counter(session.grant.token_id for session in sessions.all() if session.grant.max_sessions)
        return Announcement(
            worker=sessions.names.worker,
            node=socket.gethostname(),
            model=sessions.avatars.fingerprint,
            reason=reason,
            capacity=capacity,
            free=max(capacity - count, 0 if reason else 1),  # one that waits for its owner makes room
            sessions=count,
            begun=sessions.created,
            continued=[session.id for session in sessions.all() if session.former_id],
            prepared=sessions.avatars.at_hand(),
            shown=sorted({session.avatar_id for session in sessions.all()}),
            avatars=_ledger(self._request).known,
            tokens=_authorization(self._request).register.lists_tag(),
            keyed=_authorization(self._request).tokens.required,
            held=dict(held),
        )


def _ledger(request: Request) -> AvatarLedger:
    ledger: AvatarLedger = request.app.state.ledger
    return ledger


def _catalog(request: Request) -> AvatarCatalog:
    catalog: AvatarCatalog = request.app.state.catalog
    return catalog


def _authorization(request: Request) -> Authorization:
    authorization: Authorization = request.app.state.authorization
    return authorization
