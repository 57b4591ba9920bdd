"""A page that makes films of a face: choose one, record a sentence or upload one, and watch it being said.

``pip install gradio``, ``python examples/face_gradio.py 7860``, and open http://127.0.0.1:7860.
"""

import sys
import tempfile
from pathlib import Path
from uuid import uuid4

import gradio as gr
from face_to_file import RATE, write

from lipstream import Engine, Face

FACES = ["ada", "amara", "ben", "ines", "kenji", "mira", "viktor"]


def main(port: str) -> None:
    with Engine() as engine, tempfile.TemporaryDirectory() as folder:  # one network for all who visit

        def speak(avatar: str, sound: str) -> str:
            film = str(Path(folder) / f"{uuid4()}.mp4")
            with Face(avatar, rate=RATE, engine=engine) as face:
                write(face, sound, film)
            return film

        page = gr.Interface(
            speak,
            [gr.Dropdown(FACES, value="ada", label="Face"), gr.Audio(type="filepath", label="What it says")],
            gr.Video(autoplay=True, label="The film"),
            title="A face that says it",
            description="Every picture carries the mark AI.",
            analytics_enabled=False,
            flagging_mode="never",
        )
        page.launch(server_name="127.0.0.1", server_port=int(port), allowed_paths=[folder])


if __name__ == "__main__":
    main(*sys.argv[1:])
