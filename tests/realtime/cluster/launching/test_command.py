"""``lipstream --cluster`` where Ray is not installed, and options that do not go together."""

import subprocess
import sys
from pathlib import Path

import pytest

from lipstream.realtime.errors import SettingsError
from lipstream.realtime.option_values import parse_bounds
from lipstream.realtime.settings import read_settings
from tests.server_process import ROOT

SECRET = ("--cluster-secret-file", "secret")


def test_without_ray_the_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "ray.py").write_text("raise ModuleNotFoundError('no ray', name='ray')")
    command = [sys.executable, "run_server.py", "--cluster", "auto", *SECRET]
    environment = {"PATH": "", "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert done.stderr == "run_server.py: --cluster needs ray: pip install -e '.[cluster]'\n"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--cluster", "auto"), "cluster needs a cluster_secret_file"),
        (("--cluster", "auto", "--workers", "http://a", *SECRET), "exclude each other"),
        (("--cluster", "auto", "--host", "0.0.0.0", *SECRET), "can be reached by others"),
        (("--cluster-workers", "3-2"), "expected LEAST-MOST"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: tuple[str, ...], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        read_settings(options, {})


def test_bounds_are_one_number_or_two() -> None:
    assert [parse_bounds(value) for value in ("0", 4, "2-20", [1, 3])] == [(0, 0), (4, 4), (2, 20), (1, 3)]
