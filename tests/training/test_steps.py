"""Every step of ``python -m training``, one after another, at toy size."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("anny")
moderngl = pytest.importorskip("moderngl")

from benchmarks.rendered import rendered_mouths  # noqa: E402
from lipstream.realtime.lipsync.weights import load_weights  # noqa: E402
from training import kokoro  # noqa: E402
from training.__main__ import main  # noqa: E402
from training.voices import HTS_VOICES, RHVOICE  # noqa: E402

pytestmark = [
    pytest.mark.skipif(
        not (RHVOICE / "say.exe").exists()
        or not (kokoro.FOLDER / "model.onnx").exists()
        or not (HTS_VOICES / "mei_normal.htsvoice").exists()
        or not all(shutil.which(name) for name in ("flite", "festival", "espeak-ng", "open_jtalk")),
        reason="needs all synthesisers",
    ),
    pytest.mark.timeout(400),
]


def test_all_steps_run_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        moderngl.create_context(standalone=True, backend="egl").release()
    except Exception as error:  # noqa: BLE001 (the binding raises bare Exception)
        pytest.skip(f"no EGL: {error}")
    weights = tmp_path / "toy.safetensors"
    for step in (
        "heads --count 7",
        "speech --shards 1 --clips 4 --workers 1",
        "faces --shards 1 --scenes 4 --workers 1",
        "listen --minutes 0.02",
        "listen --ear published --minutes 0.02",
        f"look-ahead --minutes 0.01 --plot {tmp_path / 'look-ahead.png'}",
        "fit --minutes 0.02",
        "sync --clips 2 --minutes 0.01",
        f"export --out {weights}",
        "faces --fine --shards 1 --scenes 2 --workers 1",
        f"fit --fine --weights {weights} --minutes 0.02 --out {tmp_path / 'fine.safetensors'}",
        f"rendered --scenes 1 --out {tmp_path / 'rendered.npz'}",
        f"calibration --out {tmp_path / 'calibration.npz'}",
        f"evaluate --weights {weights} --clips 1",
    ):
        monkeypatch.setattr(sys, "argv", ["training", "--data", str(tmp_path / "data"), *step.split()])
        main()
    printed = capsys.readouterr().out
    assert "aperture r" in printed
    assert "sync: confidence" in printed
    assert "held vowels: change / truth" in printed
    assert load_weights(weights)[1].head == "copy"
    assert load_weights(tmp_path / "fine.safetensors")[1].paint_scale == 2
    assert len(list(rendered_mouths(tmp_path / "rendered.npz"))) == 2
    assert (tmp_path / "look-ahead.png").exists()
    with np.load(tmp_path / "calibration.npz") as chosen:
        assert chosen["mel"].shape[1:] == (80, 16)
        assert chosen["crops"].shape[1:] == (96, 96, 3)
