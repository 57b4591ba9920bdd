"""Shows a face in a window; it says a 16-bit mono WAV file: ``python examples/face_window.py hello.wav``.

Needs Tk, which comes with most Pythons, and ``pip install sounddevice`` to be heard.
"""

import sys
import tkinter as tk
import wave
from collections.abc import Callable

import numpy as np

from lipstream import Face, Frame


def speaker(rate: int) -> Callable[[np.ndarray], object]:
    """Return what plays sound; without a loudspeaker the face is only seen."""
    try:
        import sounddevice  # type: ignore[import-untyped]

        stream = sounddevice.OutputStream(rate, channels=1, dtype="int16")
    except Exception as error:  # noqa: BLE001 (no package, no PortAudio, no device)
        print(f"not heard: {error}")
        return lambda _: None
    stream.start()
    return stream.write  # type: ignore[no-any-return]


def show(label: tk.Label, frame: Frame) -> None:
    image = tk.PhotoImage(data=b"P6 %d %d 255 " % (frame.width, frame.height) + frame.rgb().tobytes())
    label.configure(image=image)
    label.image = image  # type: ignore[attr-defined]  # Tk keeps none itself


def main(sound: str) -> None:
    with wave.open(sound) as file:
        rate, pcm = file.getframerate(), file.readframes(file.getnframes())
    window = tk.Tk()
    window.title("Lipstream")
    label = tk.Label(window)
    label.pack()
    play = speaker(rate)
    with Face("ada", rate=rate) as face:
        face.push(pcm)
        face.end()
        for frame in face.live():
            show(label, frame)
            window.update()
            play(frame.sound if frame.sound is not None else np.zeros(rate // 25, np.int16))
            if face.resting:
                break


if __name__ == "__main__":
    main(*sys.argv[1:])
