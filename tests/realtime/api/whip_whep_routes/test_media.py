"""WHEP and WHIP with media: a stock peer watches or publishes, and either side ends it."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from aiortc.mediastreams import AudioStreamTrack

from lipstream.realtime.server.sessions import Sessions
from tests.realtime.api.whip_whep_routes.asking import KEY, bearer, sdp
from tests.realtime.api.whip_whep_routes.musts import must
from tests.realtime.rtc.loopback import Client, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SILENCE_S = 3.0


class HttpPeer(Client):
    """A player, or a publisher, and where its session is."""

    def __init__(self, path: str) -> None:
        super().__init__(microphone=False, control=False)
        if "whip" in path:
            for transceiver in self.pc.getTransceivers():
                transceiver.direction = "sendonly"
            self.pc.getTransceivers()[0].sender.replaceTrack(AudioStreamTrack())
        self.path, self.there = path, ""

    async def call(self, client: httpx.AsyncClient) -> None:
        made = await client.post(self.path, content=await self.offer(), headers=sdp())
        assert made.status_code == 201, made.text
        self.there = made.headers["location"]
        await self.accept(made.text)
        await until(lambda: self.pc.connectionState == "connected", "the connection")
        if "whep" in self.path:
            await until(lambda: len(self.rtp) == 2, "sound and picture")

    async def gone(self, client: httpx.AsyncClient) -> None:
        async with asyncio.timeout(15):
            while (await client.get(self.there, headers=bearer(KEY))).status_code != 404:
                await asyncio.sleep(0.05)


@pytest_asyncio.fixture(loop_scope="module")
async def caller(client: httpx.AsyncClient, endpoint: tuple[str, str]) -> AsyncIterator[HttpPeer]:
    caller = HttpPeer(endpoint[0])
    yield caller
    await caller.close()


@must("4.2 created", "4.2 revoked", "4.2 delete")
async def test_after_a_delete_nothing_is_sent_any_more(client: httpx.AsyncClient, caller: HttpPeer) -> None:
    await caller.call(client)
    assert (await client.delete(caller.there, headers=bearer(KEY))).status_code == 200
    came = sum(map(len, caller.rtp.values()))  # the server has closed before it answered
    await until(lambda: caller.pc.connectionState == "closed", "the end of DTLS")
    assert sum(map(len, caller.rtp.values())) <= came + 2, "what was on its way"
    await caller.gone(client)


@must("4.2 consent")
async def test_a_client_that_ends_dtls_has_ended_its_session(client: httpx.AsyncClient, caller: HttpPeer) -> None:
    await caller.call(client)
    await caller.pc.close()
    await caller.gone(client)


@must("4.2 consent", "4.3.3 kept")
async def test_a_client_that_consents_no_more_has_ended_its_session_a_refused_restart_has_not(
    client: httpx.AsyncClient, sessions: Sessions, endpoint: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rtc = dataclasses.replace(sessions.factory.rtc, silence_timeout_s=SILENCE_S)
    monkeypatch.setattr(sessions.factory, "rtc", rtc)
    if "whep" in endpoint[0]:  # of a session that is made after the change
        session, _ = await sessions.create("ann", None)
        caller = HttpPeer(f"/api/sessions/{session.id}/whep")
    else:
        caller = HttpPeer(endpoint[0])
    await caller.call(client)
    restart = "a=ice-ufrag:else\r\na=ice-pwd:somebodyelsespassword00\r\n"
    headers = bearer(KEY, **{"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*"})
    assert (await client.patch(caller.there, content=restart, headers=headers)).status_code == 422
    came = sum(map(len, caller.rtp.values()))
    await until(lambda: "whip" in caller.path or sum(map(len, caller.rtp.values())) > came + 20, "more pictures")
    assert (await client.get(caller.there, headers=bearer(KEY))).status_code == 204
    caller.vanish()
    await caller.gone(client)
    await caller.close()
