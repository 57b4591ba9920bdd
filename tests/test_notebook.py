"""The notebook runs from its first to its last cell, with a checkpoint and a face of one's own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import pytest
import torch

from lipstream.realtime.lipsync.network import Wav2Lip
from tests.realtime.speech import voice
from tests.server_process import ROOT
from tests.sound_files import write_wav

NOTEBOOK = ROOT / "examples/wav2lip.ipynb"
EXECUTE = """
import sys
import nbclient, nbformat
notebook = nbformat.read(sys.argv[1], 4)
nbclient.NotebookClient(notebook, timeout=800, startup_timeout=200).execute()
nbformat.write(notebook, sys.argv[1])
"""


def test_the_notebook_is_kept_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 6
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    assert NOTEBOOK.stat().st_size < 20_000


@pytest.mark.timeout(1100)
def test_every_cell_of_the_notebook_runs(tmp_path: Path) -> None:
    torch.manual_seed(1)
    torch.save({"state_dict": Wav2Lip(0.0625).state_dict()}, tmp_path / "bought.pth")
    write_wav(tmp_path / "speech.wav", voice(0.5, 48000))
    parameters = {
        "CHECKPOINT": "bought.pth",
        "FACE": str(ROOT / "tests/avatar_cache/astronaut.jpg"),
        "SOUND": "speech.wav",
        "FOLDER": "made",
        "BUILD_OPTIONS": ["--still"],
    }
    notebook = json.loads(NOTEBOOK.read_text())
    (given,) = [cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", ())]
    assert [line.split()[0].rstrip(":") for line in given["source"]] == list(parameters)
    given["source"] = [f"{name} = {value!r}\n" for name, value in parameters.items()]
    copy = tmp_path / "copy.ipynb"
    copy.write_text(json.dumps(notebook))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "IPYTHONDIR": str(tmp_path / "ipython")}
    run = subprocess.run(
        [sys.executable, "-c", EXECUTE, copy], cwd=tmp_path, env=environment, capture_output=True, text=True,
        check=False, timeout=1000,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr

    outputs = [output for cell in json.loads(copy.read_text())["cells"] for output in cell.get("outputs", ())]
    said = "".join("".join(output["text"]) for output in outputs if output["output_type"] == "stream")
    assert "layout          published" in said
    assert "Look for: " in said
    shown = {kind for output in outputs for kind in output.get("data", ())}
    assert {"image/jpeg", "text/html"} <= shown, "the sheet and the video"
    with av.open(str(tmp_path / "made/speech.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == 13
