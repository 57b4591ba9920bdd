"""Runs the entry point of a code block of docs/LIVEKIT.md, with a voice in place of the reader's own session.

``python -m tests.integrations.livekit_document BLOCK`` in an environment with livekit-agents. What the block leaves to
its reader, ``...``, is an agent that says a sentence by :func:`voice` when it enters.
"""

import asyncio
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from livekit import rtc
from livekit.agents import Agent, AgentSession

from tests.integrations import livekit_in_process
from tests.integrations.livekit_in_process import tts
from tests.integrations.livekit_in_room import KEY, SECRET, Seen, agent_token
from tests.integrations.standin_room import StandInRoom
from tests.server_process import ServerProcess

_MISSED_S = 0.5
"""Beginning of the greeting that may leave before the listener is connected."""


class Greeter(Agent):  # type: ignore[misc]  # untyped where LiveKit is not
    """Says a sentence when it enters."""

    async def on_enter(self) -> None:
        self.session.say("Hello", audio=tts(), add_to_chat_ctx=False)


async def run(block: str) -> None:
    seen, room = Seen(), rtc.Room()
    names: dict[str, Any] = {}
    exec(compile(block, "docs/LIVEKIT.md", "exec"), names)
    sessions: list[Any] = []
    names["AgentSession"] = lambda *_: sessions.append(AgentSession()) or sessions[-1]  # type: ignore[func-returns-value]
    names["Agent"] = Greeter
    async with StandInRoom(seen.on_track) as there:
        os.environ.update(LIVEKIT_URL=there.url, LIVEKIT_API_KEY=KEY, LIVEKIT_API_SECRET=SECRET)
        await room.connect(there.url, agent_token())
        await names["entrypoint"](SimpleNamespace(room=room))
        async with asyncio.timeout(200):
            while len(seen.pictures) < 25 or seen.heard_s() < livekit_in_process.SPEECH.size / 24_000 - _MISSED_S:
                await asyncio.sleep(0.05)
        print("25 pictures and the greeting")
        await sessions[0].aclose()
        await room.disconnect()


def main(block: str) -> None:
    server = ServerProcess(Path(os.environ["LIPSTREAM_STORE"]))
    if "RemoteAvatarSession" in block:
        server.start()
        os.environ["LIPSTREAM_URL"] = server.url
    try:
        asyncio.run(run(block))
    finally:
        if server.process:
            server.stop()


if __name__ == "__main__":
    main(sys.argv[1])
