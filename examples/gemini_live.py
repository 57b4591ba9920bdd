"""Gemini's Live API with a face: you speak, it answers, and you may interrupt it.

``GEMINI_API_KEY=… python examples/gemini_live.py`` hears the microphone; a mono WAV file of 24 kHz behind it is heard
instead. Needs what ``face_call.py`` needs. ``GEMINI_URL`` names another server, ``GEMINI_MODEL`` another model. The API
drops by itself what it had not sent when you interrupted it; it has no message for what was sent and not heard.
"""

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator

from face_call import RATE, FaceCall, microphone, recording
from websockets.asyncio.client import ClientConnection, connect

from lipstream import Face

URL = os.environ.get(
    "GEMINI_URL",
    "wss://generativelanguage.googleapis.com/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
)
MODEL = os.environ.get("GEMINI_MODEL", "gemini-2.5-flash-native-audio-preview-09-2025")
SETUP = {
    "model": f"models/{MODEL}",
    "generationConfig": {"responseModalities": ["AUDIO"]},
    "systemInstruction": {"parts": [{"text": "You are a friendly face on a screen. Answer in two short sentences."}]},
}


async def hear(voice: ClientConnection, sound: AsyncIterator[bytes]) -> None:
    async for pcm in sound:
        blob = {"mimeType": f"audio/pcm;rate={RATE}", "data": base64.b64encode(pcm).decode()}
        await voice.send(json.dumps({"realtimeInput": {"audio": blob}}))


async def answer(voice: ClientConnection, call: FaceCall) -> None:
    turn = 0
    async for message in voice:
        content = json.loads(message).get("serverContent", {})
        if content.get("interrupted"):
            call.interrupt()
            turn += 1
        for part in content.get("modelTurn", {}).get("parts", ()):
            if "inlineData" in part:
                call.say(str(turn), base64.b64decode(part["inlineData"]["data"]))
        if content.get("turnComplete"):
            call.end(str(turn))
            turn += 1


async def main(sound: AsyncIterator[bytes]) -> None:
    with await asyncio.to_thread(Face, "ada", rate=RATE) as face:
        call = FaceCall(face)
        async with connect(URL, additional_headers={"x-goog-api-key": os.environ["GEMINI_API_KEY"]}) as voice:
            await voice.send(json.dumps({"setup": SETUP}))
            assert "setupComplete" in json.loads(await voice.recv())
            await call.run(hear(voice, sound), answer(voice, call))


if __name__ == "__main__":
    asyncio.run(main(recording(sys.argv[1]) if sys.argv[1:] else microphone()))
