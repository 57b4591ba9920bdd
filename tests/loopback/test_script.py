"""A host that reads a script without a browser: by the option, and by the route."""

from pathlib import Path

import httpx
import pytest

from lipstream.realtime.api.app import create_app
from lipstream.realtime.errors import SettingsError
from lipstream.realtime.settings import Settings
from lipstream.realtime.wire.events import ServerEvent
from tests.loopback.conftest import Callers, Serve, Stand, until


@pytest.mark.needs("espeak-ng")
async def test_a_standing_session_reads_its_script_and_takes_a_chat_between_the_lines(
    serve: Serve, stand: Stand, callers: Callers, tmp_path: Path
) -> None:
    script = tmp_path / "lines.txt"
    script.write_text("Good evening.\n\nThis goes on.\n")
    sessions = await serve(synthesizer="espeak-ng", script=script)
    standing = stand(sessions)
    await until(sessions.all, "its session")
    (session,) = sessions.all()
    said: list[str] = []

    def note(event: ServerEvent) -> None:
        if event["type"] == "caption":
            said.append(event["text"])

    session.listeners.add(note)
    await callers.call_back(session)
    await until(lambda: said.count("Good evening.") > 1, "the script, again and again")
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(sessions)), base_url="http://127.0.0.1:8080"
    ) as client:
        path = f"/api/sessions/{session.id}/script"
        refused = await client.post(path, json={"lines": ["x"], "priority": 10})
        assert refused.status_code == 400
        asked = await client.post(path, json={"lines": ["Hello, chat."], "priority": 1})
        assert (asked.status_code, asked.json()["lines"]) == (202, 3)
        await until(lambda: "Hello, chat." in said, "the chat")
        assert (await client.get(path)).json() == {"lines": 2, "characters": len("Good evening.This goes on.")}
        assert (await client.delete(path)).status_code == 204
        assert (await client.get(path)).json()["lines"] == 0
    sessions.drain()
    await until(lambda: standing.done() and not sessions.count, "its end")


def test_a_script_needs_a_synthesizer(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="script needs a synthesizer"):
        Settings(script=tmp_path / "lines.txt")
