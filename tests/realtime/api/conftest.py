"""A client of a started server; each file of tests has its own fixture ``sessions``."""

from collections.abc import AsyncIterator

import httpx
import pytest

from lipstream.realtime.api.app import create_app
from lipstream.realtime.server.sessions import Sessions
from tests.loopback.conftest import patient_sessions

__all__ = ["patient_sessions"]


@pytest.fixture
async def client(sessions: Sessions) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(sessions)
    async with app.router.lifespan_context(app):
        await sessions.start()
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", timeout=300) as client:
            yield client
