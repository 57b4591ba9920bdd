"""Other projects are timed in processes of their own: here, small stand-ins with the same entrances."""

import sys
from pathlib import Path

import pytest

from benchmarks.others import PROJECTS, _goals, _rows, time_project
from lipstream.realtime.errors import SettingsError

NETWORK = """
import time
import torch

class Wav2Lip(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.shade = torch.nn.Parameter(torch.rand(1))

    def forward(self, mel, faces):
        time.sleep(0.002 * len(faces))
        return self.shade.expand(len(faces), 3, *faces.shape[2:])
"""
INFERENCE = """
import argparse
import cv2, numpy as np, torch
from models import Wav2Lip

parser = argparse.ArgumentParser()
for name in ("checkpoint_path", "face", "audio", "outfile"):
    parser.add_argument("--" + name)
parser.add_argument("--box", nargs="+", type=int)
options = parser.parse_args()
if __name__ == "__main__":
    model = Wav2Lip()
    model.load_state_dict(torch.load(options.checkpoint_path)["state_dict"])
    clip, pictures = cv2.VideoCapture(options.face), []
    while (read := clip.read())[0]:
        pictures.append(read[1])
    top, bottom, left, right = options.box
    for at in range(0, 20, 5):
        faces = np.stack([cv2.resize(p[top:bottom, left:right], (96, 96)) for p in pictures[at : at + 5]])
        with torch.no_grad():
            mouths = model(torch.zeros(5, 1, 80, 16), torch.from_numpy(faces.transpose(0, 3, 1, 2))).numpy()
        if at == 0:
            out = cv2.VideoWriter("temp/result.avi", cv2.VideoWriter_fourcc(*"DIVX"), 25, (512, 512))
        for picture, mouth in zip(pictures[at:], mouths):
            picture[top:bottom, left:right] = cv2.resize(mouth.transpose(1, 2, 0), (right - left, bottom - top))
            out.write(picture)
    out.release()
"""
AVATAR = (
    NETWORK
    + """
import pickle, queue
import numpy as np

def load_model(path):
    model = Wav2Lip()
    model.load_state_dict(torch.load(path)["state_dict"])
    return model

def warm_up(size, model, px):
    model(torch.zeros(size, 1, 80, 16), torch.zeros(size, 6, px, px))

def load_avatar(name):
    with open(f"data/avatars/{name}/coords.pkl", "rb") as file:
        return pickle.load(file)

class LipReal:
    def __init__(self, opt, model, avatar):
        self.opt, self.model, self.speaking, self.heard = opt, model, False, queue.Queue()
        assert len(avatar) == 50

    def put_audio_frame(self, chunk, facts):
        assert chunk.shape == (320,) and chunk.dtype == np.float32
        self.heard.put(chunk)

    def render(self, quit_event):
        self.tts.render(quit_event)
        self.output.start()
        while not quit_event.is_set():
            self.speaking = not self.heard.empty()
            for _ in range(2 * self.opt.batch_size):
                if not self.heard.empty():
                    self.heard.get()
            faces = torch.zeros(self.opt.batch_size, 6, 8, 8)
            mouths = self.model(torch.zeros(len(faces), 1, 80, 16), faces) if self.speaking else faces
            for mouth in mouths:
                self.output.push_video_frame(mouth)
        self.output.stop()
"""
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the entrances of both."""
    files = {"inference.py": INFERENCE, "models/__init__.py": NETWORK, "avatars/wav2lip_avatar.py": AVATAR}
    for name, text in files.items():
        path = tmp_path / "checkout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "checkout"


@pytest.mark.parametrize(("name", "frames"), [("wav2lip", 20), ("livetalking", 48)])
def test_a_project_is_timed_from_its_checkout(name: str, frames: int, checkout: Path) -> None:
    before = sorted(checkout.rglob("*.*"))
    figures = time_project(name, checkout, 2, sys.executable)
    assert figures["frames"] == frames
    assert figures["network_ms"] >= 2
    assert figures["loop_ms"] >= 2
    assert figures["threads"] >= 1
    written = {path for path in checkout.rglob("*.*") if path.suffix != ".pyc"} - set(before)
    assert not {path for path in written if path.is_file()}


def test_a_project_that_fails_says_why(checkout: Path) -> None:
    (checkout / "models" / "__init__.py").write_text("import no_such_package_of_theirs\n")
    with pytest.raises(SettingsError, match=r"wav2lip could not be timed: (.|\n)*no_such_package_of_theirs"):
        time_project("wav2lip", checkout, 2, sys.executable)


def test_ratios_are_those_within_a_round() -> None:
    theirs = [{"network_ms": ms, "loop_ms": 2 * ms, "threads": 2.0} for ms in (100.0, 300.0, 200.0)]
    ours = [{"network_ms": ms, "threads": 2.0} for ms in (20.0, 60.0, 20.0)]
    mine = "Lipstream, the same width, 96 px, bf16, batches of 8"
    rows = _rows({PROJECTS["wav2lip"]: theirs, mine: ours})
    assert rows[0]["loop, ms a frame"] == 400
    assert rows[1] == {
        "who": mine,
        "network, ms a mouth": 20,
        "loop, ms a frame": None,
        "of the first": 0.2,
        "threads": 2,
    }
    (goal,) = _goals(rows)
    assert goal.holds
    assert _goals(rows[1:])[0].holds is None
