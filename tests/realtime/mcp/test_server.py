"""The tools of a session, called by the real client of the protocol against a real server."""

import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client, StdioServerParameters, stdio_client

from lipstream import cli
from tests.server_process import ROOT, ServerProcess

pytestmark = [pytest.mark.timeout(300), pytest.mark.needs("espeak-ng")]
KEY = "a-key-of-the-tests-that-is-long-enough"


@pytest.fixture
def server(start_server: Callable[..., ServerProcess], tmp_path: Path) -> ServerProcess:
    (tmp_path / "keys").write_text(f"{KEY}\n")
    (tmp_path / "keys").chmod(0o600)
    return start_server("--synthesizer", "espeak-ng", "--secret-file", str(tmp_path / "keys"))


@asynccontextmanager
async def tools(*arguments: str, token: str) -> AsyncIterator[Client]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "LIPSTREAM_TOKEN": token}
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "lipstream", "mcp", *arguments], env=environment
    )
    async with Client(stdio_client(command)) as client:
        yield client


def begin(server: ServerProcess) -> dict[str, Any]:
    answer = httpx.post(f"{server.url}/api/sessions", json={}, headers={"Authorization": f"Bearer {KEY}"})
    answer.raise_for_status()
    session: dict[str, Any] = answer.json()
    return session


async def test_a_language_model_says_interrupts_and_looks(server: ServerProcess) -> None:
    session = begin(server)
    async with tools("--url", server.url, "--session", session["id"], token=session["token"]) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == {"say", "interrupt", "motion", "status"}
        status = await client.call_tool("status", {})
        assert status.structured_content == {
            "state": "waiting", "speaking": False, "avatar": "ada", "motions": [], "viewers": 0
        }  # fmt: skip
        stopped = await client.call_tool("interrupt", {})
        assert not stopped.is_error
        unknown = await client.call_tool("motion", {"name": "greet"})
        assert unknown.is_error
        assert "no motions" in str(unknown.content[0])
        refused = await client.call_tool("say", {"text": "x" * 100_000})
        assert refused.is_error
        assert "5000" in str(refused.content[0])


async def test_without_a_session_the_only_one_is_meant(server: ServerProcess) -> None:
    async with tools("--url", server.url, token=KEY) as client:
        none = await client.call_tool("status", {})
        assert none.is_error
        assert "has 0 sessions" in str(none.content[0])
        begin(server)
        assert not (await client.call_tool("status", {})).is_error


def test_a_bad_address_and_a_missing_package_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["lipstream", "mcp", "--url", "ftp://face.example"])
    assert cli.main() == 2
    assert "is no http or https address" in capsys.readouterr().err
    monkeypatch.delitem(sys.modules, "lipstream.realtime.mcp.server")
    monkeypatch.setitem(sys.modules, "mcp.server", None)
    monkeypatch.setitem(sys.modules, "mcp", None)
    assert cli.main() == 2
    assert "pip install 'lipstream[mcp]'" in capsys.readouterr().err
