"""What the tests ask with."""

import httpx

from lipstream.realtime.api.whip_whep_routes import SDP
from lipstream.realtime.session.session import Session
from lipstream.realtime.wire.session_answers import IceServer

KEY = "the key of an operator"
SITE = "https://app.example"
TURN = IceServer(urls=["turn:turn.example:3478", "turns:turn.example:5349"], username='a"b', credential="c\\d")


def bearer(token: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", **more}


def sdp(token: str = KEY) -> dict[str, str]:
    return bearer(token, **{"Content-Type": SDP})


def fragment_of(offer: str, *candidates: str) -> str:
    credentials = [line for line in offer.splitlines() if line.startswith(("a=ice-ufrag", "a=ice-pwd"))][:2]
    return "\r\n".join(
        ["a=group:BUNDLE 0 1", "m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0", *credentials, *candidates, ""]
    )


async def watch(client: httpx.AsyncClient, session: Session, offer: str) -> httpx.Response:
    return await client.post(f"/api/sessions/{session.id}/whep", content=offer, headers=sdp(session.viewer_token))
