"""What is told of an upload, and what it leaves."""

import json
from typing import Any

import httpx

from lipstream.realtime.server.sessions import Sessions


async def told(client: httpx.AsyncClient, avatar_id: str) -> list[dict[str, Any]]:
    """Return what the events of an avatar tell until it is ready or has failed."""
    text = (await client.get(f"/api/avatars/{avatar_id}/events")).text
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]


def left_over(sessions: Sessions) -> list[str]:
    """Return the files of uploads and builds that are there."""
    root = sessions.store.root
    return [str(path) for path in (*root.glob("uploads/*"), *root.glob("avatars/.build-*"))]
