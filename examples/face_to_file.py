"""Writes a film of a face that says a sound file: ``python examples/face_to_file.py hello.wav hello.mp4``."""

import sys
from fractions import Fraction

import av
import numpy as np

from lipstream import Face

RATE = 24_000


def read(path: str) -> np.ndarray:
    """Return any sound file as ``int16[n]``, mono."""
    resampler = av.AudioResampler("s16", "mono", RATE)
    with av.open(path) as file:
        frames = [part for frame in file.decode(audio=0) for part in resampler.resample(frame)]
    frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def write(face: Face, sound: str, film: str) -> None:
    """Write a film of a face that says a sound file."""
    with av.open(film, "w") as file:
        video = file.add_stream("libx264", rate=25, options={"crf": "18"})
        audio = file.add_stream("aac", rate=RATE, layout="mono")
        video.width, video.height = face.size
        face.push(read(sound))
        face.end()
        for frame in face:
            picture = av.VideoFrame.from_ndarray(frame.picture, format="yuv420p")
            picture.pts, picture.time_base = frame.number, Fraction(1, 25)
            file.mux(video.encode(picture))
            said = frame.sound if frame.sound is not None else np.zeros(RATE // 25, np.int16)
            piece = av.AudioFrame.from_ndarray(said[None], format="s16", layout="mono")
            piece.rate, piece.pts, piece.time_base = RATE, frame.number * RATE // 25, Fraction(1, RATE)
            file.mux(audio.encode(piece))
        file.mux(video.encode(None))
        file.mux(audio.encode(None))


def main(sound: str, film: str) -> None:
    """Write a film of Ada."""
    with Face("ada", rate=RATE) as face:
        write(face, sound, film)


if __name__ == "__main__":
    main(*sys.argv[1:])
