"""OpenAI's Realtime API with a face: you speak, it answers, you may interrupt it, and it knows what you have heard.

``OPENAI_API_KEY=… python examples/openai_realtime.py`` hears the microphone; a mono WAV file of 24 kHz behind it is
heard instead. Needs ``pip install openai``, and what ``face_call.py`` needs. ``OPENAI_BASE_URL`` names another server.
"""

import asyncio
import base64
import sys
from collections.abc import AsyncIterator
from typing import Any

from face_call import RATE, FaceCall, microphone, recording
from openai import AsyncOpenAI

from lipstream import Face

MODEL = "gpt-realtime"
PCM = {"type": "audio/pcm", "rate": RATE}
SESSION = {
    "type": "realtime",
    "instructions": "You are a friendly face on a screen. Answer in two short sentences.",
    "audio": {"input": {"format": PCM, "turn_detection": {"type": "server_vad"}}, "output": {"format": PCM}},
}


async def hear(voice: Any, sound: AsyncIterator[bytes]) -> None:
    async for pcm in sound:
        await voice.input_audio_buffer.append(audio=base64.b64encode(pcm).decode())


async def answer(voice: Any, call: FaceCall) -> None:
    async for event in voice:
        match event.type:
            case "response.output_audio.delta":
                call.say(event.item_id, base64.b64decode(event.delta))
            case "response.output_audio.done":
                call.end(event.item_id)
            case "input_audio_buffer.speech_started":  # the API ends its answer by itself
                for item, heard_ms in call.interrupt().items():
                    await voice.conversation.item.truncate(item_id=item, content_index=0, audio_end_ms=heard_ms)
            case "error":
                print(event.error.message)


async def main(sound: AsyncIterator[bytes]) -> None:
    with await asyncio.to_thread(Face, "ada", rate=RATE) as face:
        call = FaceCall(face)
        async with AsyncOpenAI().realtime.connect(model=MODEL) as voice:
            await voice.session.update(session=SESSION)
            await call.run(hear(voice, sound), answer(voice, call))


if __name__ == "__main__":
    asyncio.run(main(recording(sys.argv[1]) if sys.argv[1:] else microphone()))
