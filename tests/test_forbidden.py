"""Calls that the code must not contain.

These are ways to run a file or a string as a program, and ``asyncio.wait_for``. On Python 3.11 the latter swallows a
cancellation that arrives when its future is done (python/cpython#86296), so that the cancelled task goes on for ever.
"""

import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from lipstream.avatar_cache.avatar import load_prepared
from lipstream.avatar_cache.prepare import prepare
from lipstream.realtime.errors import AvatarError, WeightsError
from lipstream.realtime.lipsync.weights import load_weights
from tests.realtime.fakes import FakePredictor, make_store, worker_settings

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "pickle is read": r"\bpickle\.(load|loads|Unpickler)\b|\bjoblib\b|\bdill\b|\bmarshal\.loads?\b",
    "torch reads code": r"weights_only\s*=\s*False|torch\.export\.load|torch\.jit\.load|torch\.hub",
    "torch reads what it likes": r"torch\.load\((?!.*weights_only=True)",
    "numpy reads pickles": r"allow_pickle\s*=\s*True",
    "a shell is asked": r"\bos\.(system|popen)\(|shell\s*=\s*True",
    "text is run": r"(?<![\w.])(eval|exec)\(|yaml\.load\(",
    "a cancellation is swallowed": r"\basyncio\.wait_for\(",
    "markup is made of text": r"\.(innerHTML|outerHTML)\s*\+?=|insertAdjacentHTML|document\.write|new Function",
}


def sources() -> list[Path]:
    code = [ROOT / "run_server.py", *ROOT.glob("lipstream/*.py")]
    for top in ("realtime", "avatar_cache", "training", "benchmarks"):
        code += ROOT.glob(f"{top}/**/*.py")
    return code + [
        path for top in ("", "avatar", "call", "kiosk", "stage", "shared") for path in (ROOT / "web" / top).glob("*.js")
    ]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_nothing_forbidden_stands_in_the_code(what: str) -> None:
    files = sources()
    assert len(files) > 100
    found = [f"{p.relative_to(ROOT)}: {m[0]}" for p in files for m in re.finditer(FORBIDDEN[what], p.read_text())]
    assert not found


def test_programs_of_the_event_loop_are_killed_in_the_one_way_that_leaves_their_exit_status() -> None:
    files = [path for path in sources() if path.relative_to(ROOT).parts[0] in ("realtime", "avatar_cache")]
    starts = [path for path in files if "asyncio.create_subprocess_exec" in path.read_text()]
    assert len(starts) >= 5
    killed = re.compile(r"\.(kill|terminate|send_signal)\(")
    assert not [str(path.relative_to(ROOT)) for path in starts if killed.search(path.read_text())]
    assert killed.search("process.kill()"), "workers/programs.py says why not"


def test_the_patterns_find_what_they_are_for() -> None:
    samples = (
        "pickle.load(f)", "torch.load(p, weights_only=False)", "torch.load(p)", "np.load(p, allow_pickle=True)",
        "os.system('x')", "run(x, shell=True)", " eval(x)", "a.innerHTML = b", "await asyncio.wait_for(task, 1)",
    )  # fmt: skip
    for sample in samples:
        assert any(re.search(pattern, sample) for pattern in FORBIDDEN.values()), sample
    assert not re.search(FORBIDDEN["torch reads what it likes"], "torch.load(path, map_location=d, weights_only=True)")


class _Evil:
    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self._mark,)


def test_a_malicious_pickle_is_not_run_as_weights_nor_as_an_avatar(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    evil = pickle.dumps(_Evil(mark))
    pickle.loads(evil)
    assert mark.exists(), "it would run"
    mark.unlink()

    for name in ("w.pth", "w.pt", "w.safetensors"):
        (tmp_path / name).write_bytes(evil)
        with pytest.raises(WeightsError):
            load_weights(tmp_path / name)

    store = make_store(tmp_path, {"ann": 60})
    avatar = store.load("ann")
    predictor = FakePredictor(worker_settings(store, "FakePredictor"))
    prepare(avatar, predictor)
    folder = avatar.prepared_folder(predictor.metadata.fingerprint)
    with (folder / "frames.npy").open("wb") as file:
        np.save(file, np.array([_Evil(mark)], object), allow_pickle=True)
    with pytest.raises(AvatarError):
        load_prepared(avatar, predictor.metadata.fingerprint)
    (folder / "frames.npy").write_bytes(evil)
    with pytest.raises(AvatarError):
        load_prepared(avatar, predictor.metadata.fingerprint)
    (folder / "prepared.json").write_bytes(evil)
    with pytest.raises(AvatarError):
        load_prepared(avatar, predictor.metadata.fingerprint)
    assert not mark.exists()
    assert json.loads((avatar.clip.parent / "avatar.json").read_text())["id"] == "ann"
