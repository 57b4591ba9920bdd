"""Cards that are missing, too old, full or gone: one that fails as it is told stands in their place."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lipstream.realtime.errors import SettingsError
from lipstream.realtime.lipsync import backends, card
from lipstream.realtime.lipsync.backends import create_predictor
from lipstream.realtime.lipsync.card import Processor, open_device
from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.lipsync.network import Wav2Lip
from lipstream.realtime.lipsync.predictor import DeviceLostError, MouthPredictor
from lipstream.realtime.lipsync.torch_backend import TorchPredictor
from lipstream.realtime.lipsync.weights import save_weights

GONE = "CUDA error: unspecified launch failure\nCUDA kernel errors might be asynchronously reported"
NO_KERNEL = "CUDA error: no kernel image is available for execution on the device\nand advice"


class FakeCard(Processor):
    """Computes on the CPU and fails as it is told: at a capture, a replay, or from the first call on."""

    precision = "fp16"

    def __init__(self, device: str = "cuda") -> None:
        super().__init__()
        self.asked_for = device
        self.at_capture: list[BaseException] = []
        self.at_replay: list[BaseException] = []
        self.alive, self.released, self.captures = True, 0, 0

    def capture(self, call: Callable[[], Tensor]) -> Callable[[], Tensor]:
        if self.at_capture:
            _as_a_capture_fails(self.at_capture.pop())
        self.captures += 1

        def replay() -> Tensor:
            if self.at_replay:
                raise self.at_replay.pop()
            return call()

        return replay

    def answers(self) -> bool:
        return self.alive

    def release(self) -> None:
        self.released += 1


def _as_a_capture_fails(error: BaseException) -> None:
    """Raise what torch does: the end of a capture that failed fails, too."""
    try:
        raise error
    finally:
        raise RuntimeError("CUDA error: operation failed due to a previous error during capture")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    network = Wav2Lip(0.125, 96).eval()
    region = Region(48, 94, 10, 84)
    save_weights(network, path, window_offset_samples=-640, decoded_region=region, licence="CC0-1.0", name="random")
    return path


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> FakeCard:
    """A card that is found where any device may be used; OpenVINO is not, as it would take time to convert."""
    fake = FakeCard()
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(card, "count", lambda: 1)
    monkeypatch.setattr(card, "Card", lambda device: _opened(fake, device))
    monkeypatch.setattr(backends, "openvino_backend", None)
    return fake


def _opened(fake: FakeCard, device: str) -> FakeCard:
    fake.asked_for = device
    return fake


def _draw(predictor: MouthPredictor, count: int = 3) -> np.ndarray:
    crops = np.random.default_rng(0).integers(0, 256, (count, 96, 96, 3), np.uint8)
    return predictor.predict(np.zeros((count, 80, 16), np.float32), predictor.encode_faces(crops), np.arange(count))


def test_a_card_that_works_is_used(weights: Path, there: FakeCard, caplog: pytest.LogCaptureFixture) -> None:
    predictor = create_predictor(weights, device="auto", cache=weights.parent)
    assert isinstance(predictor, TorchPredictor)
    assert predictor.on is there
    assert there.captures == 1, "a mouth was drawn before the card is relied on"
    assert next(predictor._mouth.network.parameters()).dtype == torch.float16
    assert not caplog.records


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (RuntimeError(NO_KERNEL), "no kernel image is available"),
        (torch.AcceleratorError(GONE), "unspecified launch failure"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), "out of memory"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"), "CUDNN_STATUS_NOT_INITIALIZED"),
    ],
)
def test_a_card_that_draws_no_mouth_gives_way_to_the_cpu(
    weights: Path, there: FakeCard, caplog: pytest.LogCaptureFixture, fault: RuntimeError, says: str, gone: bool
) -> None:
    there.at_replay, there.alive = [fault] * 2, not gone
    predictor = create_predictor(weights, device="auto", cache=weights.parent, precision="fp16", threads=1)
    assert predictor.device == "cpu"
    assert isinstance(predictor, TorchPredictor)
    assert predictor.on is not there
    (line,) = [record.message for record in caplog.records if "no card is used" in record.message]
    assert says in line
    assert "\n" not in line
    assert _draw(predictor).shape == (3, 46, 74, 3)
    with pytest.raises(SettingsError, match="'cuda' was asked for, but it cannot draw") as told:
        create_predictor(weights, device="cuda", cache=weights.parent)
    assert says in told.value.message
    there.at_replay = [fault]
    assert create_predictor(weights, device="cuda", cache=weights.parent, fall_back=True, threads=1).device == "cpu"


def test_a_card_that_cannot_be_opened_gives_way_to_the_cpu(
    weights: Path, there: FakeCard, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: str) -> FakeCard:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).\nand advice")

    monkeypatch.setattr(card, "Card", refuse)
    assert create_predictor(weights, device="auto", cache=weights.parent, threads=1).device == "cpu"
    assert any("cuda cannot be used: The NVIDIA driver on your system is too old" in r.message for r in caplog.records)


def test_a_card_that_torch_does_not_find_is_told_of(
    weights: Path, there: FakeCard, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(card, "count", lambda: 0)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert create_predictor(weights, device="auto", cache=weights.parent, threads=1).device == "cpu"
    assert any("this torch is built without CUDA" in record.message for record in caplog.records)
    with pytest.raises(SettingsError, match=r"no CUDA device like that here \(this torch is built without CUDA\)"):
        create_predictor(weights, device="cuda", cache=weights.parent)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "init", _no_driver)
    with pytest.raises(SettingsError, match="Found no NVIDIA driver"):
        create_predictor(weights, device="cuda", cache=weights.parent)
    assert create_predictor(weights, device="cuda", cache=weights.parent, fall_back=True, threads=1).device == "cpu"


def _no_driver() -> None:
    raise RuntimeError("Found no NVIDIA driver on your system.\nand advice")


@pytest.mark.parametrize(("capability", "fits"), [((3, 5), False), ((7, 0), False), ((7, 5), True), ((10, 3), True)])
def test_a_card_older_than_what_torch_was_built_for_is_not_opened(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], *, fits: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_90a", "sm_100", "compute_120"])
    if fits:
        assert open_device("cuda").pins
    else:
        have = ".".join(map(str, capability))
        with pytest.raises(DeviceLostError, match=f"it has compute capability {have}, and this torch needs 7.5"):
            open_device("cuda")


@pytest.mark.parametrize("when", ["at_capture", "at_replay"])
@pytest.mark.parametrize(
    "fault",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nand advice"),
        torch.AcceleratorError("CUDA error: out of memory\nand advice"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_memory_that_is_short_in_mid_call_is_told_as_such_and_given_back(
    weights: Path, when: str, fault: RuntimeError
) -> None:
    on = FakeCard()
    predictor = TorchPredictor(weights, device=on)
    getattr(on, when).append(fault)
    with pytest.raises(MemoryError) as told:
        _draw(predictor)
    assert "\n" not in str(told.value)
    assert on.released == 1
    expected = _draw(TorchPredictor(weights, device="cpu", precision="fp16"))
    assert np.array_equal(_draw(predictor), expected), "it draws again"
    assert on.captures == 1


def test_a_card_that_goes_away_in_mid_call_is_told_as_such_and_a_fault_of_one_call_is_not(weights: Path) -> None:
    on = FakeCard()
    predictor = TorchPredictor(weights, device=on)
    on.at_replay.append(RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        _draw(predictor)
    on.at_replay, on.alive = [torch.AcceleratorError(GONE)], False
    with pytest.raises(DeviceLostError, match=r"is gone: CUDA error: unspecified launch failure$"):
        _draw(predictor)
