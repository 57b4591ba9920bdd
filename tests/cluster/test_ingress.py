"""Ingresses in front of workers, all of them real processes."""

import asyncio
import contextlib
import io
import json
import signal
from functools import partial
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from lipstream.avatar_cache.store import AvatarStore
from lipstream.realtime.session.session_names import split_id
from lipstream.realtime.speaker import LastingSession
from tests.cluster.conftest import KEY, WORKERS, Cluster, Process, until
from tests.realtime.fakes import write_avatar

pytestmark = pytest.mark.timeout(900)
SDP = {"content-type": "application/sdp"}


async def test_sessions_spread_over_workers_and_a_full_cluster_says_so(cluster: Cluster) -> None:
    first, second = cluster.ingresses
    calls = [await cluster.call(first), await cluster.call(second, "bob"), await cluster.call(first)]
    assert len({split_id(call.id)[0] for call in calls}) == WORKERS, "one on each worker, by different ingresses"
    for ingress in (first, second):
        client = cluster.client(ingress)
        refused = await client.post("/api/sessions", json={})
        assert (refused.status_code, refused.json()["error"]["reason"]) == (503, "full")
        assert int(refused.headers["retry-after"]) > 0
        await until(partial(_answers, client, "/readyz", 503), "an ingress that says that it is full")
        assert {one["id"] for one in (await client.get("/api/sessions")).json()} == {call.id for call in calls}
        for call in calls:  # every ingress finds every session
            figures = await cluster.client(ingress, call.session["token"]).get(f"/api/sessions/{call.id}")
            assert figures.json()["avatar"] == call.avatar
    await calls[0].end()
    await until(lambda: _answers(cluster.client(second), "/readyz", 200), "room again")
    text = (await cluster.client(first).get("/metrics")).text
    for worker in cluster.workers:
        assert f'worker="{worker.url}"' in text


async def _answers(client: httpx.AsyncClient, path: str, status: int) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return (await client.get(path)).status_code == status
    return False


async def test_a_killed_workers_call_goes_on_elsewhere_and_viewers_and_programs_are_sent_there(
    cluster: Cluster,
) -> None:
    first, second = cluster.ingresses
    call = await cluster.call(first, "bob")
    await until(call.speaks, "speech")
    old, session = call.id, call.session
    cluster.worker_of(old).replace()
    await until(lambda: _answers(call.client, f"/api/sessions/{old}", 404), "word of the loss")
    for path, token in (("whep", session["viewer_token"]), ("audio", session["token"])):
        told = await _waits(cluster, second, f"/api/sessions/{old}/{path}", token)
        assert (told.status_code, told.json()["error"]["reason"]) == (503, "moving")
        assert told.headers["retry-after"] == "1"

    await call.begin(continues={"id": old, "token": session["token"]})
    await until(call.speaks, "speech again")
    assert split_id(call.id)[0] != split_id(old)[0]
    assert split_id(call.id)[1] == split_id(old)[1]
    assert [call.session[name] for name in ("token", "viewer_token")] == [session["token"], session["viewer_token"]]
    assert (await call.client.get(f"/api/sessions/{call.id}", headers=call.own)).json()["avatar"] == "bob"

    viewer = cluster.client(second, session["viewer_token"])

    async def sent_on() -> httpx.Response | None:
        answer = await viewer.post(f"/api/sessions/{old}/whep", content=b"v=0", headers=SDP)
        return answer if answer.status_code == 307 else None

    moved = await until(sent_on, "the new address")
    assert moved.headers["location"] == f"/api/sessions/{call.id}/whep"
    await until(lambda: _answers(viewer, moved.headers["location"], 204), "the viewer's token stays good")
    address = f"{second.url.replace('http', 'ws')}/api/sessions/{old}/audio?rate=24000"
    async with connect(address, additional_headers=call.own) as program:  # it follows to the new worker
        assert json.loads(await program.recv())["type"]
    again = await call.client.post("/api/sessions", json={"continues": {"id": old, "token": session["token"]}})
    assert split_id(again.json()["id"])[1] != split_id(old)[1], "nobody continues a session that is not lost"
    await call.client.delete(f"/api/sessions/{again.json()['id']}")


async def _waits(cluster: Cluster, ingress: Process, path: str, token: str) -> httpx.Response:
    if not path.endswith("audio"):
        return await cluster.client(ingress, token).post(path, content=b"v=0", headers=SDP)
    with pytest.raises(InvalidStatus) as refused:
        await connect(ingress.url.replace("http", "ws") + path, additional_headers={"Authorization": f"Bearer {token}"})
    answer = refused.value.response
    return httpx.Response(
        answer.status_code, headers=list(answer.headers.raw_items()), content=bytes(answer.body or b"")
    )


async def test_a_programs_lasting_session_is_begun_again_with_its_avatar(cluster: Cluster) -> None:
    ingress = cluster.ingresses[0]
    async with LastingSession(ingress.url, avatar="bob", token=KEY, patience_s=60) as session:
        old = session.facts
        with contextlib.suppress(ConnectionClosed):
            async with session.speaking() as speaker:
                await speaker.say(bytes(3200))
                cluster.worker_of(old["id"]).replace()
                async for _ in speaker:  # until the connection ends
                    pass
        async with session.speaking() as speaker:
            await speaker.say(bytes(3200))
        assert split_id(session.facts["id"])[1] == split_id(old["id"])[1]
        assert session.facts["token"] == old["token"]
        figures = await cluster.client(ingress).get(f"/api/sessions/{session.facts['id']}")
        assert figures.json()["avatar"] == "bob"
    assert await _answers(cluster.client(ingress), f"/api/sessions/{session.facts['id']}", 404), (
        "it ends with its block"
    )


async def test_avatars_and_tokens_are_the_same_on_all_workers_also_on_one_that_was_away(
    cluster: Cluster, tmp_path: Path
) -> None:
    client, away = cluster.client(cluster.ingresses[0]), cluster.workers[2]
    away.kill()
    await until(lambda: _knows(cluster, client, 2), "the loss of a worker")
    assert (await client.delete("/api/avatars/eve")).status_code == 204
    token = (await client.post("/api/tokens", json={})).json()
    assert (await cluster.client(cluster.ingresses[0], token["token"]).get("/api/avatars")).is_success
    assert (await client.delete(f"/api/tokens/{token['id']}")).json()["sessions"] == 0
    await until(lambda: _have(cluster.workers[:2], cluster, "eve", has=False), "a deletion everywhere")
    away.again()
    await until(lambda: _knows(cluster, client, WORKERS), "the worker again")
    await until(lambda: _have(cluster.workers, cluster, "eve", has=False), "a deletion where it was missed")
    for worker in cluster.workers:
        guest = cluster.direct(worker, token["token"])
        await until(partial(_answers, guest, "/api/avatars", 401), "a revocation everywhere")

    stores = [cluster.list.parent / f"worker-{number}" for number in range(WORKERS)]
    AvatarStore(stores[0]).build(write_avatar(tmp_path / "cleo", "cleo"), "cleo")
    await until(lambda: _have(cluster.workers, cluster, "cleo", has=True), "a new avatar everywhere")
    assert len({(store / "avatars" / "cleo" / "clip.mp4").read_bytes() for store in stores}) == 1
    call = await cluster.call(cluster.ingresses[1], "cleo")
    refused = await client.delete("/api/avatars/cleo")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict"), "it is being shown"
    await call.end()

    once = (await client.post("/api/tokens", json={"once": True})).json()["token"]
    guests = [cluster.client(ingress, once) for ingress in cluster.ingresses for _ in range(3)]
    begun = await asyncio.gather(*(guest.post("/api/sessions", json={"avatar": "ann"}) for guest in guests))
    assert [answer.status_code for answer in begun].count(201) == 1, "at once, by two ingresses"
    assert {answer.status_code for answer in begun} <= {201, 403, 503}


async def _knows(cluster: Cluster, client: httpx.AsyncClient, workers: int) -> bool:
    return f"lipstream_cluster_workers {float(workers)}" in (await client.get("/metrics")).text


async def _have(workers: list[Process], cluster: Cluster, avatar: str, *, has: bool) -> bool:
    found = [(await cluster.direct(worker).get("/api/avatars")).json() for worker in workers]
    return all(any(one["id"] == avatar for one in listed) == has for listed in found)


async def test_a_worker_answers_nobody_but_ingresses_and_an_ingress_lets_nobody_in_unasked(cluster: Cluster) -> None:
    worker, ingress = cluster.workers[0], cluster.ingresses[0]
    direct = cluster.client(worker)
    assert (await direct.get("/healthz")).is_success
    for path in ("/api/avatars", "/", "/api/cluster/announcements", "/api/cluster/tokens"):
        for shown in ({}, {"lipstream-cluster": "guessed"}):
            refused = await direct.get(path, headers=shown)
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    for headers in ({"Authorization": f"Bearer {KEY}"}, {"lipstream-cluster": "guessed"}):
        with pytest.raises(InvalidStatus):
            await connect(f"{worker.url.replace('http', 'ws')}/api/sessions/x/audio", additional_headers=headers)
    stranger = cluster.client(ingress, "")
    for method, path in (
        *(("POST", "/api/sessions"), ("GET", "/api/sessions"), ("GET", "/metrics")),
        *(("DELETE", "/api/avatars/ann"), ("DELETE", "/api/tokens/x"), ("GET", "/openapi.json")),
    ):
        refused = await stranger.request(method, path, json={} if method == "POST" else None)
        assert refused.status_code == 401, path
    assert (await stranger.get("/")).is_success
    client = cluster.client(ingress)
    for path in (
        *("/api/cluster/tokens", "/api/cluster/announcements", "/api/cluster/avatars/bob", "/api/%63luster/tokens"),
        *("/api/x/../cluster/tokens", "/api/x/%2e%2e/cluster/tokens", "/api/sessions/../cluster/tokens"),
    ):
        assert (await client.get(path)).status_code == 404, "what ingresses ask of workers is not passed on"
    foreign = {"Origin": "https://evil.example"}
    assert (await client.get("/api/avatars", headers=foreign)).status_code == 403
    assert (await client.get("/api/avatars", headers={"Host": "evil.example"})).status_code == 403
    assert (await client.post("/api/sessions", content=b"x" * 200_000)).status_code == 413
    forged = await client.get("/api/avatars", headers={"lipstream-cluster": "x", "lipstream-client": "127.0.0.1"})
    assert forged.is_success, "the ingress shows its own proof, whatever a client claims"
    garbage = await client.post("/api/avatars", files={"file": ("a.mp4", io.BytesIO(b"0" * 300_000))})
    assert garbage.status_code == 202, "an upload is passed on whole"


async def test_a_drain_loses_no_call_and_a_restarted_ingress_touches_none(cluster: Cluster) -> None:
    ingress = cluster.ingresses[0]
    call = await cluster.call(ingress)
    draining = cluster.worker_of(call.id)
    draining.running.send_signal(signal.SIGTERM)
    await cluster.knows(ingress, WORKERS - 1)
    created = await call.client.post("/api/sessions", json={})
    assert split_id(created.json()["id"])[0] != split_id(call.id)[0], "it takes no new one"
    await call.goes_on()
    ingress.kill()
    await call.goes_on()
    ingress.again()
    await until(lambda: _answers(call.client, f"/api/sessions/{call.id}", 200), "the session by the new ingress")
    assert draining.runs
    await call.end()
    assert await asyncio.to_thread(draining.running.wait, 60) == 0, "it ends with its last call"
    await call.client.delete(f"/api/sessions/{created.json()['id']}")
