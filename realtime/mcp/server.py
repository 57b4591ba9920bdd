"""Tools of a session for a language model's program, by the Model Context Protocol over standard input and output.

``lipstream mcp [--url ADDRESS] [--session ID]``. The program that runs it gets ``say``, ``interrupt``, ``motion`` and
``status``.
"""

import argparse
import functools
import os
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from lipstream.realtime.errors import LipstreamError
from lipstream.realtime.picture.provenance import version
from lipstream.realtime.test_client.server_client import TOKEN_VARIABLE, ServerClient

_INSTRUCTIONS = "A face that speaks to people who see it. Say short sentences, as they are to be heard."


class SessionTools:
    """What a language model can do with one session.

    Args:
        session_id: Session to use; empty for the only one that the server has, looked up at each call.
    """

    def __init__(self, server: ServerClient, session_id: str = "") -> None:
        self._server, self._session_id = server, session_id

    async def say(self, text: str) -> str:
        """Let the face say a text aloud, after what it is saying. Returns when it begins."""
        await self._ask("/say", "POST", {"text": text})
        return "The face says it now."

    async def interrupt(self) -> str:
        """Stop the face at once; what it has not said is dropped."""
        await self._ask("/interrupt", "POST")
        return "The face is silent."

    async def motion(self, name: str) -> str:
        """Let the face show one of its motions once, such as a nod; `status` lists their names."""
        await self._ask("/motion", "POST", {"name": name})
        return "The face shows it as soon as it can."

    async def status(self) -> dict[str, Any]:
        """Return whether somebody is connected, whether the face speaks, which avatar it shows, and its motions."""
        stats = await self._ask("", "GET")
        shown = {name: stats[name] for name in ("state", "speaking", "avatar", "motions")}
        return shown | {"viewers": stats["viewers"]["count"]}

    async def _ask(self, route: str, method: str, body: Any = None) -> Any:
        path = f"/api/sessions/{quote(self._session_id or await self._only_session(), safe='')}{route}"
        return await self._server.ask(path, method=method, body=body)

    async def _only_session(self) -> str:
        sessions = await self._server.ask("/api/sessions")
        if len(sessions) != 1:
            raise LipstreamError(f"the server has {len(sessions)} sessions; name one with --session")
        return str(sessions[0]["id"])


def mcp_server(tools: SessionTools) -> MCPServer[Any]:
    """Return an MCP server with these tools; a refusal becomes the tool's error, with the server's sentence."""
    server: MCPServer[Any] = MCPServer("lipstream", version=version(), instructions=_INSTRUCTIONS)
    for tool in (tools.say, tools.interrupt, tools.motion, tools.status):

        @functools.wraps(tool)
        async def call(*arguments: Any, tool: Any = tool, **named: Any) -> Any:
            try:
                return await tool(*arguments, **named)
            except LipstreamError as error:
                raise ToolError(error.message) from error

        server.add_tool(call)
    return server


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="lipstream mcp", description="Tools of a session for a language model's program, by MCP over stdio."
    )
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="address of the server (default: %(default)s)")
    parser.add_argument("--session", default="", help="id of the session (default: the only one of the server)")
    parser.epilog = f"{TOKEN_VARIABLE} holds the session's token or an API key; without --session, an API key."
    chosen = parser.parse_args(arguments)
    try:
        server = ServerClient(chosen.url, token=os.environ.get(TOKEN_VARIABLE, ""), timeout_s=60)
        mcp_server(SessionTools(server, chosen.session)).run()
    except LipstreamError as error:
        print(f"lipstream mcp: {error.message}", file=sys.stderr)
        return 2
    return 0
