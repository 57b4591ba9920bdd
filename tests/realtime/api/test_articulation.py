"""How far the mouth goes, by HTTP: with a session's beginning, by PATCH, and where weights have none."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from lipstream.realtime.api.app import create_app
from lipstream.realtime.errors import SettingsError
from lipstream.realtime.lipsync.articulation import DEFAULT_ARTICULATION
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.settings import Settings
from tests.realtime.fakes import make_store, worker_settings

Serve = Callable[..., Sessions]


@pytest.fixture
def serve(tmp_path: Path, no_built_in_avatars: None) -> Serve:
    store = make_store(tmp_path, {"ann": 60, "bob": 120})

    def serve(predictor: str, articulation: float | None = None) -> Sessions:
        settings = Settings(store=store.root, max_sessions=4, picture_workers=0, articulation=articulation)
        return Sessions(settings, worker_settings(store, predictor))

    return serve


@pytest.fixture
async def running() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def _client(running: AsyncExitStack, sessions: Sessions) -> httpx.AsyncClient:
    app = create_app(sessions)
    await running.enter_async_context(app.router.lifespan_context(app))
    await sessions.start()
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8080")
    return await running.enter_async_context(client)


async def test_a_session_begins_and_goes_on_with_the_articulation_that_is_asked_for(
    serve: Serve, running: AsyncExitStack
) -> None:
    client = await _client(running, serve("SpeakingPredictor"))
    begun = (await client.post("/api/sessions", json={})).json()
    assert begun["articulation"] == DEFAULT_ARTICULATION
    asked = (await client.post("/api/sessions", json={"articulation": 0.6})).json()
    assert asked["articulation"] == 0.6
    path = asked["urls"]["self"]
    assert (await client.patch(path, json={"articulation": 1.5, "avatar": "bob"})).status_code == 204
    figures = (await client.get(path)).json()
    assert (figures["articulation"], figures["avatar"]) == (1.5, "bob")
    assert (await client.patch(path, json={"articulation": 0.7, "avatar": "eve"})).status_code == 404
    assert (await client.get(path)).json()["articulation"] == 1.5, "all or nothing"
    assert (await client.patch(path, json={"avatar": "ann"})).status_code == 204
    assert (await client.get(path)).json()["articulation"] == 1.5, "another face keeps it"


@pytest.mark.parametrize("body", [{}, {"articulation": 0.49}, {"articulation": 1.6}, {"articulation": "far"}], ids=str)
async def test_what_cannot_be_set_is_refused_and_changes_nothing(
    serve: Serve, running: AsyncExitStack, body: dict[str, object]
) -> None:
    client = await _client(running, serve("SpeakingPredictor", 0.8))
    path = (await client.post("/api/sessions", json={})).json()["urls"]["self"]
    refused = await client.patch(path, json=body)
    assert refused.status_code == 400
    assert "articulation" in refused.json()["error"]["message"]
    nonsense = await client.patch(path, content='{"articulation": NaN}', headers={"Content-Type": "application/json"})
    assert nonsense.status_code == 400
    assert (await client.get(path)).json()["articulation"] == 0.8


async def test_weights_without_an_articulation_say_so(serve: Serve, running: AsyncExitStack) -> None:
    client = await _client(running, serve("FakePredictor"))
    begun = (await client.post("/api/sessions", json={})).json()
    assert begun["articulation"] is None
    for answer in (
        await client.patch(begun["urls"]["self"], json={"articulation": 1.2, "avatar": "bob"}),
        await client.post("/api/sessions", json={"articulation": 1.2}),
    ):
        assert answer.status_code == 409
        assert "no articulation" in answer.json()["error"]["message"]
    assert (await client.get(begun["urls"]["self"])).json()["avatar"] == "ann"


async def test_a_server_with_such_weights_does_not_start_with_an_articulation(serve: Serve) -> None:
    sessions = serve("FakePredictor", 1.2)
    with pytest.raises(SettingsError, match="no articulation"):
        await sessions.start()
    await sessions.close()
