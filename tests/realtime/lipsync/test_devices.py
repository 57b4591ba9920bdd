from pathlib import Path

import pytest
import torch

from lipstream.realtime.errors import SettingsError
from lipstream.realtime.lipsync import devices
from lipstream.realtime.lipsync.devices import devices_of, resolve_device


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file whose text is what the driver's own program lists."""
    listing, program = tmp_path / "listing", tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat {listing}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return listing


def test_devices_that_are_not_there_are_refused() -> None:
    assert resolve_device("cpu") == "cpu"
    for unknown in ("tpu", "cuda:", "cuda:one", "cpu:0"):
        with pytest.raises(SettingsError, match="none of"):
            resolve_device(unknown)
    with pytest.raises(SettingsError, match="no CUDA device"):
        resolve_device("cuda:64")
    if not torch.cuda.is_available():
        with pytest.raises(SettingsError, match="no CUDA device"):
            resolve_device("cuda")
        assert resolve_device("auto") == "cpu"


def test_every_card_that_torch_can_use_is_used_where_any_may_be(listed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed.write_text("GPU 0: A card (UUID: GPU-1)\nGPU 1: A card (UUID: GPU-2)\nGPU 2: A card (UUID: GPU-3)\n")
    monkeypatch.setattr(devices, "_ASK_TORCH", "print(2)")
    assert devices_of("auto") == devices_of("cuda") == ("cuda:0", "cuda:1")
    assert devices_of("cpu") == ("cpu",)
    assert devices_of("cuda:1") == ("cuda:1",)


@pytest.mark.parametrize("answer", ["print(0)", "print(1)", "raise ImportError", "print('none')"])
def test_cards_that_torch_cannot_use_are_not_counted(
    answer: str, listed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed.write_text("GPU 0: A card (UUID: GPU-1)\nGPU 1: A card (UUID: GPU-2)\n")
    monkeypatch.setattr(devices, "_ASK_TORCH", answer)
    assert devices_of("auto") == ("auto",)


def test_a_driver_that_hangs_is_not_waited_for(listed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed.with_name("nvidia-smi").write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(devices, "_PATIENCE_S", 0.1)
    assert devices_of("auto") == ("auto",)


def test_torch_is_not_asked_about_one_card_or_none(listed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_ASK_TORCH", "print(9)")
    for text in ("GPU 0: A card (UUID: GPU-1)\n", "No devices were found\n", ""):
        listed.write_text(text)
        assert devices_of("auto") == ("auto",)
    listed.with_name("nvidia-smi").unlink()
    assert devices_of("cuda") == ("cuda",)
