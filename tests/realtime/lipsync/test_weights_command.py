"""``lipstream weights show`` and ``convert``."""

import dataclasses
import errno
from pathlib import Path

import pytest
import torch

from lipstream.realtime.lipsync.__main__ import main
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS, PUBLISHED_PADS, file_sha256
from lipstream.realtime.lipsync.network import Wav2Lip
from lipstream.realtime.lipsync.weights import load_weights


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "bought.pth"
    torch.save({"state_dict": Wav2Lip(0.0625, 192, layout_name="tall").state_dict(), "optimizer": None}, path)
    return path


def _shown(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    assert main(["show", str(path)]) == 0
    return {line[:16].strip(): line[16:] for line in capsys.readouterr().out.splitlines()}


def test_show_says_what_a_checkpoint_is(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = _shown(checkpoint, capsys)
    network, _ = load_weights(checkpoint)
    assert facts == {
        "name": "bought",
        "format": "PyTorch checkpoint",
        "layout": "tall, audio encoder published, head paint",
        "width": "0.0625",
        "crop": "192 px, a detector's box with pads 0,10,0,0",
        "drawn": "rows 84 to 192, columns 0 to 192",
        "parameters": f"{sum(parameter.numel() for parameter in network.parameters()):,}",
        "window offset": "-640 samples",
        "look-ahead": "172.5 ms",
        "licence": "unknown",
        "sha256": file_sha256(checkpoint),
    }


def test_show_says_what_the_built_in_weights_are(capsys: pytest.CaptureFixture[str]) -> None:
    facts = _shown(BUILT_IN_WEIGHTS, capsys)
    assert (facts["format"], facts["licence"]) == ("safetensors of Lipstream", "Apache-2.0")
    assert facts["look-ahead"] == "60 ms"
    assert facts["crop"] == "96 px, Lipstream's square"


def test_a_converted_checkpoint_is_the_same_network(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.safetensors"
    told = ["--window-offset", "0", "--licence", "bought from Ada"]
    assert main(["convert", str(checkpoint), str(out), *told]) == 0
    network, before = load_weights(checkpoint)
    converted, after = load_weights(out)
    assert (
        (after.name, after.layout, after.size) == (before.name, before.layout, before.size) == ("bought", "tall", 192)
    )
    assert (after.window_offset_samples, after.licence) == (0, "bought from Ada")
    assert (after.crop, after.pads) == (before.crop, before.pads) == ("detector", PUBLISHED_PADS)
    for name, tensor in network.state_dict().items():
        assert torch.equal(converted.state_dict()[name], tensor), name

    padded = tmp_path / "padded.safetensors"
    assert main(["convert", str(checkpoint), str(padded), "--pads", "0,20,0,0"]) == 0
    assert load_weights(padded)[1].pads == (0, 20, 0, 0)

    half, again = tmp_path / "half.safetensors", tmp_path / "again.safetensors"
    assert main(["convert", str(out), str(half), "--half"]) == 0
    assert half.stat().st_size < 0.6 * out.stat().st_size
    assert load_weights(half)[1].window_offset_samples == 0
    assert main(["convert", str(out), str(again)]) == 0
    assert dataclasses.replace(load_weights(again)[1], sha256="") == dataclasses.replace(after, sha256="")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "none.pth"], "cannot read the weights file"),
        (["show", "text.pth"], "text.pth is a text, not a checkpoint"),
        (["convert", "bought.pth", "out.pth"], "out.pth has to end in .safetensors"),
        (["convert", "bought.pth", "there.safetensors"], "is there already"),
        (["convert", "bought.pth", "none/out.safetensors"], "cannot write"),
        (["convert", "bought.pth", "out.safetensors", "--window-offset", "-5000"], "ends before its frame"),
        (["convert", str(BUILT_IN_WEIGHTS), "out.safetensors", "--pads", "0,20,0,0"], "takes Lipstream's own square"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    arguments: list[str],
    message: str,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(checkpoint.parent)
    Path("there.safetensors").write_bytes(b"mine")
    Path("text.pth").write_text("no weights")
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("lipstream weights: ")
    assert message in said
    assert said.count("\n") == 1
    assert Path("there.safetensors").read_bytes() == b"mine"


def test_a_disk_that_is_full_leaves_no_half_file(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def cut_short(_: object, path: str, **__: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("lipstream.realtime.lipsync.weights_file.save_file", cut_short)
    assert main(["convert", str(checkpoint), str(tmp_path / "out.safetensors")]) == 2
    assert "cannot write" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.name]
