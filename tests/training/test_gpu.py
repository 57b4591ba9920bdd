"""A run on a machine with a graphics card, at toy size on the CPU: packed, rendered, fitted, measured."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("anny")
pytest.importorskip("matplotlib")
moderngl = pytest.importorskip("moderngl")

from lipstream.realtime.errors import SettingsError  # noqa: E402
from lipstream.realtime.lipsync.weights import load_weights  # noqa: E402
from training import gpu  # noqa: E402
from training.dataset import HELD_OUT  # noqa: E402
from training.gpu import LARGEST_FILE, LARGEST_PACK, Part, pack, run_part  # noqa: E402
from training.identities import build_heads  # noqa: E402
from training.speech import VARIANTS, pack_mel  # noqa: E402
from training.visemes import MOUTH_ACTIONS  # noqa: E402

pytestmark = pytest.mark.timeout(600)
ROOT = Path(__file__).parents[2]
TRAVELS = 60 * 2**20


def _speech(path: Path) -> None:
    """Write two clips of noise, as long as the shortest stretches need."""
    rng = np.random.default_rng(0)
    frames, columns = 30, 97
    mels = [pack_mel(rng.uniform(-4, 4, (80, columns)).astype(np.float32)) for _ in range(2)]
    np.savez(
        path,
        mel=np.repeat(np.concatenate(mels)[None], VARIANTS, axis=0),
        mouth=rng.uniform(0, 0.5, (2 * frames, len(MOUTH_ACTIONS))).astype(np.float32),
        columns=[columns] * 2,
        frames=[frames] * 2,
        closed=np.arange(2 * frames) % 10 == 3,
        voiced=[True, True],
    )


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        moderngl.create_context(standalone=True, backend="egl").release()
    except Exception as error:  # noqa: BLE001 (the binding raises bare Exception)
        pytest.skip(f"no EGL: {error}")
    folder = tmp_path_factory.mktemp("data")
    build_heads([], HELD_OUT + 2, 77).save(folder / "heads.npz")
    for name in ("held-speech-0000", "speech-0000", "speech-0001"):
        _speech(folder / f"{name}.npz")
    out = folder / "pack"
    assert [path.name for path in pack(folder, out)][:2] == ["heads.npz", "held-speech-0000.npz"]
    return out


def test_a_part_renders_fits_measures_and_the_next_goes_on(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.evaluate._SOUNDS", 1)
    data = tmp_path / "data"
    shutil.copytree(packed, data)
    said: list[str] = []
    for number, weights in ((1, None), (2, tmp_path / "out" / "part-1.safetensors")):
        part = Part(number, minutes=0.2, workers=1, batch_size=6, clips=1, scenes=2)
        run_part(data, tmp_path / "out", part, **({"weights": weights} if weights else {}), progress=said.append)
    first, second = (load_weights(tmp_path / "out" / f"part-{number}.safetensors")[0] for number in (1, 2))
    moved = [not a.equal(b) for a, b in zip(first.parameters(), second.parameters(), strict=True)]
    assert any(moved), "the face went on learning"
    kept = zip(first.audio_encoder.parameters(), second.audio_encoder.parameters(), strict=True)
    assert all(a.equal(b) for a, b in kept), "the ear came along as it was"
    table = (tmp_path / "out" / "part-2.txt").read_text()
    assert "mouth L1 " in table
    assert "mouth L1, true mouths" in table
    assert all(path.stat().st_size <= LARGEST_FILE for path in (tmp_path / "out").iterdir())
    assert sum("scenes after" in line for line in said) == 2


def test_what_travels_is_small_enough(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    tracked = sum((ROOT / name).stat().st_size for name in listed.split("\0") if name and (ROOT / name).is_file())
    wheels = 4 * 2**20  # moderngl and glcontext with room to spare; the card's machine has torch
    assert tracked + LARGEST_PACK + wheels <= TRAVELS
    fixed = sum((packed / name).stat().st_size for name in gpu._NEEDED)
    one = (packed / "speech-0000.npz").stat().st_size
    names = [path.name for path in pack(packed, tmp_path, most_bytes=fixed + one)]
    assert names == ["heads.npz", "held-speech-0000.npz", "speech-0000.npz"]
    with pytest.raises(SettingsError, match="make fewer heads"):
        pack(packed, tmp_path, most_bytes=fixed + one - 1)


def test_a_file_too_large_to_come_back_is_told(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    shutil.copytree(packed, data)
    monkeypatch.setattr(gpu, "LARGEST_FILE", 1000)
    monkeypatch.setattr(gpu, "evaluate", lambda *args, **kwargs: {"mouth L1": 1.0})
    part = Part(1, minutes=0.05, workers=1, batch_size=6, scenes=2)
    with pytest.raises(SettingsError, match=r"part-1\.safetensors has .* MiB: too much to come back"):
        run_part(data, tmp_path / "out", part, progress=str)
