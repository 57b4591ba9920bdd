"""Sends a face into a meeting of Zoom, Meet or Teams, by a bot of Attendee or Recall.ai.

The bot shows ``/stage`` of a Lipstream server as its camera, with its sound, and sends the meeting's sound here.
``python examples/meeting_bot.py attendee https://meet.google.com/abc-defg-hij``; docs/MEETINGS.md says what it needs.
The agent here repeats what it hears: put yours in its place.
"""

import asyncio
import base64
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from lipstream.realtime.audio.turn_detector import TurnBegan, TurnDetector, TurnEnded
from lipstream.realtime.speaker import Speaker

RATE = 16_000


@dataclass(frozen=True)
class Service:
    """How one service is asked for a bot, and where its messages have the meeting's sound, base64 of s16le."""

    address: str
    authorization: str
    bot: Callable[[str, str, str], dict[str, Any]]
    sound: Callable[[dict[str, Any]], str]


def attendee_bot(meeting: str, page: str, ear: str) -> dict[str, Any]:
    audio = {"url": ear, "sample_rate": RATE}
    return {
        "meeting_url": meeting,
        "bot_name": "Ada",
        "voice_agent_settings": {"url": page},
        "websocket_settings": {"audio": audio},
    }


def recall_bot(meeting: str, page: str, ear: str) -> dict[str, Any]:
    endpoint = {"type": "websocket", "url": ear, "events": ["audio_mixed_raw.data"]}
    return {
        "meeting_url": meeting,
        "bot_name": "Ada",
        "output_media": {"camera": {"kind": "webpage", "config": {"url": page}}},
        "recording_config": {"audio_mixed_raw": {}, "realtime_endpoints": [endpoint]},
    }


SERVICES = {
    "attendee": Service(
        "https://app.attendee.dev/api/v1/bots",
        "Token {}",
        attendee_bot,
        lambda message: message["data"]["chunk"] if message.get("trigger") == "realtime_audio.mixed" else "",
    ),
    "recall": Service(
        "https://us-east-1.recall.ai/api/v1/bot/",
        "{}",
        recall_bot,
        lambda message: message["data"]["data"]["buffer"] if message.get("event") == "audio_mixed_raw.data" else "",
    ),
}


async def answer(speech: np.ndarray) -> AsyncIterator[bytes]:
    """Yield what is said to ``float32[n]`` at 16 kHz, as s16le: the same again. Put your agent here."""
    yield np.rint(np.clip(speech, -1, 1) * 32767).astype("<i2").tobytes()


async def say(speaker: Speaker, speech: np.ndarray) -> None:
    async for pcm in answer(speech):
        await speaker.say(pcm)
    await speaker.end_of_speech()


async def hear(socket: ServerConnection, service: Service, speaker: Speaker) -> None:
    """Let the agent answer each turn of the meeting, and be silent when somebody speaks."""
    turns, position = TurnDetector(), 0
    saying: asyncio.Task[None] | None = None
    async for text in socket:
        samples = np.frombuffer(base64.b64decode(service.sound(json.loads(text))), "<i2")
        sound = samples.astype(np.float32) / np.float32(32768)
        position += sound.size
        for event in turns.push(sound, position):
            if isinstance(event, TurnBegan):
                if saying:
                    saying.cancel()
                await speaker.interrupt()
            elif isinstance(event, TurnEnded):
                saying = asyncio.create_task(say(speaker, event.speech))
    if saying:
        saying.cancel()


async def main(name: str, meeting: str) -> None:
    """Begin a session, send the bot, and speak until this program is ended."""
    env, service, secret = os.environ, SERVICES[name], secrets.token_urlsafe(16)
    server, key = env["LIPSTREAM_URL"].rstrip("/"), {"Authorization": f"Bearer {env['LIPSTREAM_TOKEN']}"}

    def let_in(socket: ServerConnection, request: Request) -> Response | None:
        return None if request.path == f"/{secret}" else socket.respond(404, "")

    async with httpx.AsyncClient(timeout=30) as client:
        begun = await client.post(f"{server}/api/sessions", headers=key, json={"avatar": "ada"})
        session = begun.raise_for_status().json()
        page = f"{server}/stage?session={session['id']}#token={session['viewer_token']}"
        ear = f"{env['BRIDGE_URL'].rstrip('/')}/{secret}"
        try:
            async with Speaker(server, session["id"], token=session["token"], rate_hz=RATE) as speaker:
                listening = partial(hear, service=service, speaker=speaker)
                async with serve(listening, "127.0.0.1", int(env["PORT"]), process_request=let_in):
                    headers = {"Authorization": service.authorization.format(env["BOT_KEY"])}
                    address = env.get("BOT_API", service.address)
                    bot = await client.post(address, headers=headers, json=service.bot(meeting, page, ear))
                    print(f"the bot {bot.raise_for_status().json()['id']} joins", flush=True)
                    async for event in speaker:
                        if event["type"] in ("interrupted", "error"):
                            print(event, flush=True)
        finally:
            await client.delete(f"{server}{session['urls']['self']}", headers=key)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
