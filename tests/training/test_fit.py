"""Training pairs, both fits and the export, on made-up pictures and sounds."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lipstream.realtime.lipsync.mouth_code import SPREAD
from lipstream.realtime.lipsync.network import SLIDING_SHARE
from lipstream.realtime.lipsync.weights import load_weights
from training.audio_encoder import codes_of, listen, unsteady
from training.augmentation import WINDOW_OFFSET_SAMPLES, Sound, disguise
from training.codes import code_to_mouth, mouth_to_code, say_firmly
from training.critic import Critic, misjudged, unmasked
from training.export import export
from training.figures import best_lag, similarity
from training.fit import draw_mouths, fit, new_network
from training.pairs import CROP, DECODED_REGION, TARGETS, Pictures, decoded, draw_batch
from training.speech import VARIANTS, pack_mel
from training.visemes import MOUTH_ACTIONS

ACTIONS, MOUTHS = len(MOUTH_ACTIONS), 5


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    frames, columns = 50, 161
    mels = [pack_mel(rng.uniform(-4, 4, (80, columns)).astype(np.float32)) for _ in range(2)]
    np.savez(
        tmp_path / "speech-0000.npz",
        mel=np.repeat(np.concatenate(mels)[None], VARIANTS, axis=0),
        mouth=rng.uniform(0, 1, (2 * frames, ACTIONS)).astype(np.float32),
        columns=[columns] * 2,
        frames=[frames] * 2,
        closed=np.arange(2 * frames) % 10 == 3,
        voiced=[True, False],
    )
    mouths = rng.uniform(0, 1, (3, MOUTHS, ACTIONS)).astype(np.float32)
    mouths[:, 0] = 0
    np.savez(
        tmp_path / "faces-0000.npz",
        images=rng.integers(0, 256, (3, MOUTHS, CROP, CROP, 3), dtype=np.uint8),
        mouths=mouths,
        identity=np.zeros(3, int),
    )
    return tmp_path


def test_windows_are_cut_by_the_rule_and_silent_outside(data: Path) -> None:
    sound = Sound(data, "speech")
    first = (10 * 640 + WINDOW_OFFSET_SAMPLES) // 200
    silent = -(WINDOW_OFFSET_SAMPLES // 200)
    before, later, next_clip = sound.windows(np.array([0, 10, 50]))
    assert (before[:, :silent] == -4).all()
    assert (next_clip[:, :silent] == -4).all()
    with np.load(data / "speech-0000.npz") as arrays:
        assert np.abs((later.T + 4) * 255 / 8 - arrays["mel"][0, first : first + 16]).max() < 0.01


def test_disguised_sound_stays_in_range_and_silence_without_noise_stays_silent() -> None:
    windows = torch.full((64, 80, 16), -4.0)
    windows[:32] = torch.rand(32, 80, 16) * 8 - 4
    changed = disguise(windows, np.random.default_rng(0))
    assert changed.shape == windows.shape
    assert changed.abs().max() <= 4
    assert (changed[32:] == -4).flatten(1).all(dim=1).any()
    assert not torch.equal(changed[:32], windows[:32])


def test_stretches_are_drawn_from_one_clip_with_the_window_of_each_frame(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.augmentation.disguise", lambda windows, rng: windows)
    sound = Sound(data, "speech")
    sound.variants = 1
    heard = sound.draw(100, 24, np.random.default_rng(0))
    assert heard.sound.shape[:3] == (100, 1, 80)
    assert heard.at.shape == heard.weights.shape == (100, 24)
    for number, mouths in enumerate(heard.mouths.numpy()):
        frames = np.array([int(np.flatnonzero((sound.mouth == mouth).all(axis=1))[0]) for mouth in mouths])
        assert (np.diff(frames) == 1).all()
        assert frames[0] // 50 == frames[-1] // 50, "a stretch never spans two clips"
        windows = [heard.sound[number, 0, :, at : at + 16].numpy() for at in heard.at[number].tolist()]
        assert np.array_equal(windows, sound.windows(frames))
        assert np.array_equal(heard.weights[number] > 1, (frames % 10 >= 1) & (frames % 10 <= 5)), "closures count more"


def test_both_ears_say_of_stretches_what_they_say_of_windows(data: Path) -> None:
    torch.manual_seed(0)
    ears, heard = new_network().eval().audio_encoder, Sound(data, "speech").draw(2, 24, np.random.default_rng(0))
    windows = torch.stack([heard.sound[1, :, :, at : at + 16] for at in heard.at[1].tolist()])
    with torch.no_grad():
        each = {ear: codes_of(getattr(ears, ear), ear, heard)[1] for ear in ("published", "sliding")}
        both = ears(windows)[:, :, 0, 0]
        for ear, said in each.items():
            assert torch.allclose(said, getattr(ears, ear)(windows)[:, :, 0, 0], atol=0.05), "half precision"
    assert torch.allclose(torch.lerp(each["published"], each["sliding"], SLIDING_SHARE), both, atol=0.05)


def test_lips_that_are_held_must_be_steady_and_fast_ones_less_so() -> None:
    still, motion = torch.full((1, 1, ACTIONS), 0.5), torch.eye(ACTIONS)
    gone = torch.cat([still, still + 1.0], dim=1)
    flicker = torch.cat([torch.zeros(1, 1, ACTIONS), torch.full((1, 1, ACTIONS), 0.2)], dim=1)

    def away(mouths: torch.Tensor, heard: torch.Tensor) -> float:
        return float(unsteady(mouth_to_code(heard, 128), mouths, motion).mean())

    held = torch.cat([still, still], dim=1)
    assert away(held, held) == pytest.approx(0, abs=1e-6)
    assert away(gone, gone) == pytest.approx(0, abs=1e-6)
    assert away(held, held + flicker) > 5 * away(gone, gone + flicker) > 0


def test_batches_hide_the_lower_half_and_say_which_mouth_is_the_target(data: Path) -> None:
    pictures = Pictures(data, "faces")
    batch = draw_batch(pictures, 16, np.random.default_rng(1))
    assert batch.mouth.shape == (16 * TARGETS, ACTIONS)
    assert batch.target.shape == (16 * TARGETS, 3, DECODED_REGION.height, DECODED_REGION.width)
    assert not batch.face[:, :3, CROP // 2 :].any()
    assert torch.equal(batch.face[:, :3, : CROP // 2], batch.face[:, 3:, : CROP // 2])
    assert torch.equal(batch.reference[TARGETS], batch.face[1, 3:])
    own = (batch.target == decoded(batch.reference)).flatten(1).all(dim=1)
    assert 0 < own.sum() <= 16, "a reference is among its own targets at times, once at most"
    known = torch.from_numpy(pictures.mouths.reshape(-1, ACTIONS))
    assert all((known == mouth).all(dim=1).any() for mouth in batch.mouth)


def test_codes_are_never_negative_and_give_the_mouth_back() -> None:
    mouths = torch.rand(4, ACTIONS)
    codes = mouth_to_code(mouths, 128)
    assert codes.shape == (4, 128)
    assert (codes >= 0).all()
    assert not mouth_to_code(torch.zeros(1, ACTIONS), 128).any()
    assert torch.allclose(code_to_mouth(codes), mouths, atol=1e-6)
    assert len(SPREAD) == ACTIONS


def test_several_mouths_of_one_face_are_drawn_as_one_by_one() -> None:
    torch.manual_seed(0)
    network = new_network().eval()
    mel, face = torch.randn(4, 1, 80, 16), torch.rand(2, 6, CROP, CROP)
    with torch.no_grad():
        torch.nn.init.normal_(network.output_block[1].get_parameter("weight"), std=0.5)
        each = decoded(network(mel, face.repeat_interleave(2, dim=0)))
        together = draw_mouths(network, network.audio_encoder(mel), face)
    assert torch.allclose(each, together, atol=1e-5)


def test_fits_resume_and_their_export_loads(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.audio_encoder.lip_motion", lambda _: np.eye(ACTIONS, dtype=np.float32))
    monkeypatch.setattr("training.audio_encoder.HeadSet.load", lambda _: None)
    said: list[str] = []
    for minutes in (0.01, 0.02):
        fit(data, data / "fit.pt", minutes=minutes, batch_size=2 * TARGETS, progress=said.append)
        for ear in ("published", "sliding"):
            listen(data, data / f"{ear}.pt", ear=ear, minutes=minutes, offset=WINDOW_OFFSET_SAMPLES, batch_size=2)
    assert "from step 0," in said[0]
    assert "from step 0," not in said[-1]
    out = data / "w.safetensors"
    export((data / "published.pt", data / "sliding.pt"), data / "fit.pt", out)
    network, metadata = load_weights(out)
    assert metadata.head == network.head == "copy"
    assert metadata.window_offset_samples == WINDOW_OFFSET_SAMPLES
    assert metadata.decoded_region == DECODED_REGION
    assert out.stat().st_size < 12_000_000


def test_a_network_to_go_on_with_is_the_one_of_the_file_and_hears_as_before_it_was_made_firmer(data: Path) -> None:
    torch.manual_seed(0)
    network = new_network().eval()
    begun = {"average": network.state_dict()}
    torch.save(begun, data / "fit.pt")
    for ear in ("published", "sliding"):
        torch.save({"average": getattr(network.audio_encoder, ear).state_dict()}, data / f"{ear}.pt")
    export((data / "published.pt", data / "sliding.pt"), data / "fit.pt", data / "w.safetensors")
    again = new_network(data / "w.safetensors").eval()
    mel, face = torch.randn(4, 1, 80, 16), torch.rand(4, 6, CROP, CROP)
    with torch.no_grad():
        assert not torch.allclose(again.audio_encoder(mel), network.audio_encoder(mel), rtol=1e-3)
        for ear in ("published", "sliding"):
            say_firmly(again.audio_encoder.get_submodule(ear), undo=True)
        assert torch.allclose(again(mel, face), network(mel, face), atol=5e-3), "but for the half precision of files"


def test_a_critic_learns_to_tell_drawn_from_true_and_a_network_to_deceive_it() -> None:
    torch.manual_seed(0)
    judge = Critic()
    reference = torch.rand(8, 3, 48, 72)
    true, drawn = (reference + 0.3 * torch.rand(8, 3, 48, 72)).clamp(0, 1), reference.clone().requires_grad_()
    assert judge(true, reference).shape == (8, 1, 12, 18)
    learning = torch.optim.Adam(judge.parameters(), 3e-3)
    first = float(misjudged(judge, drawn, true, reference).detach())
    for _ in range(30):
        learning.zero_grad()
        loss = misjudged(judge, drawn, true, reference)
        loss.backward()  # type: ignore[no-untyped-call]
        learning.step()
    assert drawn.grad is None, "the network learns nothing from the critic's own loss"
    assert float(loss.detach()) < 0.5 * first
    drawn = drawn.detach().requires_grad_()
    assert float(judge(true, reference).mean()) > float(judge(drawn.detach(), reference).mean())
    unmasked(judge, drawn, reference).backward()  # type: ignore[no-untyped-call]
    assert drawn.grad is not None
    assert drawn.grad.abs().max() > 0
    assert float(unmasked(judge, drawn - 0.1 * drawn.grad.sign(), reference)) < float(unmasked(judge, drawn, reference))


def test_a_fit_goes_on_with_a_critic_which_resumes_too(data: Path) -> None:
    for minutes, critical in ((0.01, False), (0.05, True), (0.1, True)):
        fit(data, data / "fit.pt", minutes=minutes, critical=critical, batch_size=2 * TARGETS, progress=str)
        assert (data / "fit-critic.pt").exists() == critical
    steps = [torch.load(data / name, weights_only=True)["step"] for name in ("fit.pt", "fit-critic.pt")]
    assert 0 < steps[1] < steps[0]
    (data / "fit.pt").unlink()
    fit(data, data / "fit.pt", minutes=0.02, critical=True, batch_size=2 * TARGETS, progress=str)
    seconds = [torch.load(data / name, weights_only=True)["seconds"] for name in ("fit.pt", "fit-critic.pt")]
    assert seconds[1] == pytest.approx(seconds[0], abs=2), "a critic of an earlier fit ends with the new one"


def test_lag_and_similarity_read_what_was_put_in() -> None:
    curve = np.convolve(np.random.default_rng(0).standard_normal(200), np.ones(5), "same").astype(np.float32)
    assert best_lag(np.roll(curve, 1), curve) == pytest.approx(1, abs=0.2)
    assert best_lag(curve, curve) == pytest.approx(0, abs=0.01)
    picture = np.random.default_rng(1).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    assert similarity(picture, picture) == pytest.approx(1)
    assert similarity(picture, picture[::-1]) < 0.3
