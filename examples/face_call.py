"""A face in a window that answers a microphone: what the examples of speech-to-speech APIs have in common.

Needs Tk, which comes with most Pythons, and ``pip install sounddevice`` to hear and be heard. Wear headphones: nothing
here takes the face's own voice out of the microphone.
"""

import asyncio
import tkinter as tk
import wave
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any

import numpy as np
from face_window import show, speaker
from websockets.exceptions import ConnectionClosedOK

from lipstream import Face

RATE = 24_000
SILENCE = np.zeros(RATE // 25, np.int16)


class FaceCall:
    """Says answers one after the other, and knows how much of each was heard when it is interrupted.

    An answer is named by its id in the API's conversation. One that was cut off is over: what still comes of it is
    dropped.
    """

    def __init__(self, face: Face) -> None:
        self._face = face
        self._waiting: dict[int, str] = {}  # answers that are not heard to their end, by the face's utterance
        self._open: str | None = None
        self._cut: set[str] = set()
        self._next = 0  # utterances of the face before this one are over

    def say(self, answer: str, pcm: bytes) -> None:
        """Add sound to an answer: s16le, mono, 24 kHz."""
        if answer in self._cut or not pcm:
            return
        if self._open != answer:
            self.end(self._open)
            self._open = answer
            self._waiting[self._next + len(self._waiting)] = answer
        self._face.push(pcm)

    def end(self, answer: str | None) -> None:
        """End an answer, if it is the open one."""
        if self._open is not None and self._open == answer:
            self._face.end()
            self._open = None

    def interrupt(self) -> dict[str, int]:
        """Be silent; return how many milliseconds of each answer that was cut off have been heard."""
        cut = self._face.clear()
        rate = self._face.rate
        heard = {
            answer: cut.position * 1000 // rate if utterance == cut.utterance else 0
            for utterance, answer in self._waiting.items()
        }
        self._waiting.clear()
        self._open, self._next = None, cut.following
        self._cut.update(heard)
        return heard

    async def run(self, *sides: Coroutine[Any, Any, None]) -> None:
        """Show the face beside what hears and answers for it, until one of them ends or fails.

        Raises:
            ExceptionGroup: With what failed.
        """
        over = asyncio.Event()

        async def until_over(side: Coroutine[Any, Any, None]) -> None:
            with suppress(ConnectionClosedOK):  # the API hung up
                await side
            over.set()

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(until_over(side)) for side in (self.show(), *sides)]
            await over.wait()
            for task in tasks:
                task.cancel()

    async def show(self) -> None:
        """Show the face in a window, and play what it says, until the window is closed."""
        window = tk.Tk()
        window.title("Lipstream")
        label = tk.Label(window)
        label.pack()
        play = speaker(self._face.rate)
        try:
            async for frame in self._face.live():
                show(label, frame)
                window.update()
                sound = SILENCE
                if frame.utterance is not None and frame.utterance >= self._next:  # it was not cut off meanwhile
                    sound = SILENCE if frame.sound is None else frame.sound
                    if frame.ended:
                        del self._waiting[frame.utterance]
                        self._next = frame.utterance + 1
                await asyncio.to_thread(play, sound)
        except tk.TclError:  # the window was closed
            return


async def microphone() -> AsyncIterator[bytes]:
    """Yield what the microphone hears: s16le, mono, 24 kHz."""
    import sounddevice  # type: ignore[import-untyped]

    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    def hear(data: object, *_: object) -> None:
        loop.call_soon_threadsafe(heard.put_nowait, bytes(data))  # type: ignore[call-overload]

    with sounddevice.RawInputStream(RATE, blocksize=RATE // 25, channels=1, dtype="int16", callback=hear):
        while True:
            yield await heard.get()


async def recording(name: str) -> AsyncIterator[bytes]:
    """Yield a mono WAV file of 24 kHz as if it was spoken now, and then silence."""
    with wave.open(name) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        while True:
            yield file.readframes(RATE // 25).ljust(RATE // 25 * 2, b"\0")
            await asyncio.sleep(1 / 25)
