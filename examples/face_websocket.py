"""A face behind a WebSocket: PCM in (int16, mono, 24 kHz), JPEG pictures and PCM out, 25 times a second.

``python examples/face_websocket.py 8765`` serves at ``ws://127.0.0.1:8765``. Text ``end`` marks the end of an
utterance, ``clear`` interrupts. Each message out is the sound of 40 ms, 1920 bytes, and then a JPEG picture.
"""

import asyncio
import sys
from contextlib import suppress

import cv2
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from lipstream import Engine, Face

SILENCE = bytes(1920)


async def listen(socket: ServerConnection, face: Face) -> None:
    async for message in socket:
        if isinstance(message, bytes):
            face.push(message)
        elif message == "end":
            face.end()
        elif message == "clear":
            face.clear()


async def main(port: str) -> None:
    with Engine() as engine:  # one network for all who connect

        async def answer(socket: ServerConnection) -> None:
            with await asyncio.to_thread(Face, "ada", engine=engine) as face, suppress(ConnectionClosed):
                listening = asyncio.create_task(listen(socket, face))
                async for frame in face.live():
                    if listening.done():
                        break
                    sound = frame.sound.tobytes() if frame.sound is not None else SILENCE
                    await socket.send(sound + cv2.imencode(".jpg", frame.bgr())[1].tobytes())
                await listening

        async with serve(answer, "127.0.0.1", int(port)) as server:
            print(f"ws://127.0.0.1:{port}")
            await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
