"""Places new sessions: by the pages and programs, by WHIP, and in rooms."""

import json
import time
from dataclasses import dataclass

import httpx
from starlette.requests import Request
from starlette.responses import Response

from lipstream.realtime.cluster.forwarding import UnreachableError, answer_with, whole_answer
from lipstream.realtime.cluster.ingress import Ingress
from lipstream.realtime.cluster.placement import Wish
from lipstream.realtime.errors import UnavailableError

_PASSED_ON = frozenset({"full", "draining", "renderer"})
"""Reasons of a refusal after which another worker is asked. One that prepares the avatar says that it is warming."""
_RETRY_S = 1


@dataclass(frozen=True, slots=True)
class NewSessions:
    """The routes of one ingress that begin a session."""

    ingress: Ingress

    async def place(self, request: Request) -> Response:
        """Let the best worker begin a session; one that refuses or does not answer is followed by the next."""
        ingress, body, invitation = self.ingress, await request.body(), self.ingress.caller(request).invitation
        wish, body = self._wish(request, body)
        order, is_one_more = ingress.order(wish, invitation)
        claim = await ingress.claim(invitation) if is_one_more else None
        has_begun = False
        try:
            answer = await self._placed(request, order, body)
            has_begun = answer.status_code < 300
            return answer
        finally:
            if claim and not has_begun:
                await claim.give_back()

    async def _placed(self, request: Request, order: list[str], body: bytes) -> Response:
        """Return the answer of the first worker that does not refuse for want of room.

        Raises:
            UnavailableError: If none answers.
        """
        ingress = self.ingress
        refused: httpx.Response | None = None
        for worker_id in order:
            if (url := ingress.members.url_of(worker_id)) is None:
                continue
            asked_s = time.monotonic()
            ingress.members.note_asked(worker_id, asked_s)
            has_begun = False
            try:
                answer = await ingress.forwarder.send(request, url, body=body)
                has_begun = answer.is_success
            except UnreachableError as error:
                ingress.note(error, url)
                continue
            finally:
                if not has_begun:
                    ingress.members.note_refused(worker_id, asked_s)
            if answer.status_code == 503 and await _reason(answer) in _PASSED_ON:
                refused = answer
                continue
            return answer_with(answer) if not answer.is_closed else whole_answer(answer)
        if refused is not None:
            return whole_answer(refused)
        raise UnavailableError("no worker answers", reason="warming", retry_after_s=_RETRY_S)

    def _wish(self, request: Request, body: bytes) -> tuple[Wish, bytes]:
        """Return what a new session wants, and its body without a former session that is not lost."""
        if request.scope["path"] == "/api/whip":
            return Wish(request.query_params.get("avatar", "")), body
        try:
            wanted = json.loads(body)
            avatar = wanted.get("avatar") or ""
            former = (wanted.get("continues") or {}).get("id", "")
        except (ValueError, AttributeError, RecursionError):
            return Wish(), body  # a worker says what is wrong with it
        if not isinstance(avatar, str) or not isinstance(former, str) or not former:
            return Wish(avatar if isinstance(avatar, str) else ""), body
        if self.ingress.members.route(former, time.monotonic()).kind in ("there", "moved"):
            del wanted["continues"]
            body = json.dumps(wanted).encode()
        return Wish(avatar, self.ingress.members.model_of(former)), body


async def _reason(answer: httpx.Response) -> str:
    """Return the reason of a refusal, which is read whole."""
    await answer.aread()
    try:
        return str(answer.json()["error"]["reason"])
    except (ValueError, KeyError, TypeError):
        return ""
