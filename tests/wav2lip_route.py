"""The way of a Wav2Lip checkpoint from its file to a video, command by command, with the published detector.

``python -m tests.wav2lip_route FOLDER`` runs it where face-alignment is installed: ``FOLDER/points.npy`` holds the
landmarks that the stand-in weights are to find. It writes ``route.json``: each command's exit status and what it said.
"""

import contextlib
import io
import json
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import torch

from lipstream import cli
from lipstream.avatar_cache.detectors import create_detector
from lipstream.realtime.lipsync.network import Wav2Lip
from tests.avatar_cache.stand_in_weights import picture, write_stand_ins
from tests.realtime.speech import voice
from tests.sound_files import write_wav

STORE = "store"


def run(*arguments: str) -> tuple[int, str, str]:
    """Run ``lipstream`` with these arguments."""
    sys.argv = ["lipstream", *arguments]
    out, complaints = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(complaints):
        status = cli.main()
    return status, out.getvalue(), complaints.getvalue()


def main(folder: Path) -> None:
    """Go the whole way in ``folder``."""
    os.chdir(folder)
    cv2.imwrite("face.png", picture())
    write_wav(Path("speech.wav"), voice(0.6, 48000))
    torch.manual_seed(3)
    torch.save({"state_dict": Wav2Lip(0.25).state_dict(), "optimizer": None}, "bought.pth")
    detector = "--detector", "face-alignment"
    build = "avatar", "--store", STORE, "build", "face.png", "--id", "me", "--still", *detector
    cache = Path(os.environ["TORCH_HOME"]) / "hub/checkpoints"

    told = {"unreachable": run(*build)}
    (cache / "s3fd-619a316812.pth").write_text("<html>no weights</html>")
    told["damaged"] = run(*build)
    (cache / "s3fd-619a316812.pth").unlink()
    cache.rmdir()

    write_stand_ins(cache, np.load("points.npy"))
    faces = create_detector("face-alignment")
    (found,) = faces.find(picture())
    moved = faces.follow(np.roll(picture(), 32, axis=1), found)
    nobody = faces.find(np.full((128, 128, 3), 100, np.uint8))
    assert moved is not None
    assert found.box is not None
    assert moved.box is not None
    told["convert"] = run("weights", "convert", "bought.pth", "mine.safetensors", "--window-offset", "0")
    told["build"] = run(*build, "--weights", "mine.safetensors")
    common = "--store", STORE, "--weights", "mine.safetensors", "--device", "cpu"
    told["check"] = run("weights", "check", "me", *common)
    told["render"] = run("render", "--audio", "speech.wav", "--out", "speech.mp4", "--avatar", "me", *common)
    facts = {
        "cv2": cv2.__file__,
        "commands": told,
        "points": found.points.tolist(),
        "doubt": found.mean_doubt,
        "box": found.box.tolist(),
        "moved": (moved.box - found.box).tolist(),
        "nobody": len(nobody),
    }
    Path("route.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
