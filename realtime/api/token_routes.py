"""The routes of join tokens: sign, list, take back."""

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import AfterValidator, BaseModel, Field

from lipstream.realtime.api.authorization import REFUSALS, AllSessions, Authorization, note_audit, operator
from lipstream.realtime.api.error_responses import error_answers
from lipstream.realtime.api.plain_text import LONGEST_TEXT, one_line
from lipstream.realtime.api.token_register import SignedToken
from lipstream.realtime.api.tokens import JOIN_TOKEN_S, KIOSK_TOKEN_S, MOST_SESSIONS
from lipstream.realtime.errors import ConflictError, StorageFullError
from lipstream.realtime.wire.answers import RevokedTokenAnswer, SignedTokenItem, TokenAnswer

_MOST_AVATARS = 100
_DAY_MINUTES = 24 * 60

token_routes = APIRouter(
    prefix="/api/tokens", dependencies=[Depends(operator)], tags=["operators"], responses=error_answers(*REFUSALS)
)


class NewToken(BaseModel):
    """What a join token grants.

    Attributes:
        kiosk: Whether it lasts for a kiosk's year instead of five minutes; default false.
        label: Text for the list of tokens, at most 120 characters.
        max_sessions: Most sessions at once, 1 to 1000; default 1. A session whose client is gone makes room.
        max_minutes: Longest session, up to a day; default: the server's own limit.
        avatars: Ids of the avatars that its sessions may show; default: all.
        conversation: Whether its sessions may be conversations; default true.
        once: Whether it begins one session in all; default false.
        local_audio: Whether its sessions may use microphone and loudspeaker of the server's machine; default false.
        motions: Whether its sessions may ask for motions of the avatar, also by tags in texts; default false.
    """

    kiosk: bool = False
    label: Annotated[str, Field(max_length=LONGEST_TEXT), AfterValidator(one_line)] = ""
    max_sessions: int = Field(default=1, ge=1, le=MOST_SESSIONS)
    max_minutes: float | None = Field(default=None, gt=0, le=_DAY_MINUTES)
    avatars: list[str] | None = Field(default=None, min_length=1, max_length=_MOST_AVATARS)
    conversation: bool = True
    once: bool = False
    local_audio: bool = False
    motions: bool = False


@token_routes.post("", status_code=201, responses=error_answers(ConflictError, StorageFullError))
async def create_token(request: Request, body: NewToken | None = None) -> TokenAnswer:
    """Sign a join token, for a link `/#join=TOKEN`, or a long-lived one for `/kiosk#join=TOKEN`."""
    wanted, authorization = body or NewToken(), _authorization(request)
    token, invitation = authorization.tokens.invite(
        time.time(),
        kiosk=wanted.kiosk,
        max_sessions=wanted.max_sessions,
        max_minutes=wanted.max_minutes,
        avatars=None if wanted.avatars is None else tuple(wanted.avatars),
        conversation=wanted.conversation,
        once=wanted.once,
        local_audio=wanted.local_audio,
        motions=wanted.motions,
    )
    signed = SignedToken(invitation, wanted.label, authorization.caller(request).key, int(time.time()))
    await authorization.register.note_signed(signed, time.time())
    note_audit(request, "token_signed", signed=invitation.id, label=wanted.label)
    return TokenAnswer(id=invitation.id, token=token, expires_in=KIOSK_TOKEN_S if wanted.kiosk else JOIN_TOKEN_S)


@token_routes.get("")
async def list_tokens(request: Request, sessions: AllSessions) -> list[SignedTokenItem]:
    """List the join tokens that have not expired. After a restart short-lived ones of before are missing."""
    register = _authorization(request).register
    return [_item(token, request, sessions) for token in register.signed(time.time())]


@token_routes.delete("/{token_id}", responses=error_answers(StorageFullError))
async def revoke_token(token_id: str, request: Request, sessions: AllSessions) -> RevokedTokenAnswer:
    """Take a join token back: it opens nothing from now on, and its sessions end.

    Any id is taken, since tokens of before a restart are not listed; `GET /api/sessions` shows the id of a session's
    token.
    """
    expires_s = max(
        (session.grant.expires_s for session in sessions.all() if session.grant.token_id == token_id), default=0
    )
    register = _authorization(request).register
    register.revoke(token_id, time.time(), expires_s=expires_s)
    ended = sessions.end_of_token(token_id)
    note_audit(request, "token_revoked", revoked=token_id, sessions=ended)
    await register.keep()
    return RevokedTokenAnswer(sessions=ended)


def _authorization(request: Request) -> Authorization:
    authorization: Authorization = request.app.state.authorization
    return authorization


def _item(token: SignedToken, request: Request, sessions: AllSessions) -> SignedTokenItem:
    register, invitation = _authorization(request).register, token.invitation
    return SignedTokenItem(
        id=invitation.id,
        label=token.label,
        key=token.key,
        signed=token.signed_s,
        expires=invitation.expires_s,
        kiosk=invitation.kiosk,
        max_sessions=invitation.max_sessions,
        max_minutes=invitation.max_minutes,
        avatars=None if invitation.avatars is None else list(invitation.avatars),
        conversation=invitation.conversation,
        once=invitation.once,
        local_audio=invitation.local_audio,
        motions=invitation.motions,
        used=register.is_used(invitation.id),
        revoked=register.is_revoked(invitation.id),
        sessions=sum(session.grant.token_id == invitation.id for session in sessions.all()),
    )
