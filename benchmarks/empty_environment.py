"""An environment as a stranger has it: a new user with an empty home, no variables, and the wheel with what it needs.

The wheel is built from a copy of the checkout and installed from the package index, by uv if it can be had, else by
pip, which also compiles the modules and is installed itself (43 and 22 MB). As root, commands run as a user without a
name, if the system's own Python is new enough for it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
_PACKED = ("lipstream", "realtime", "avatar_cache", "web", "pyproject.toml", "README.md", "LICENSE")
_SYSTEM_PYTHON = Path("/usr/bin/python3")
_NOBODY = 65534
_PATIENCE_S = 900


@dataclass(frozen=True, slots=True)
class EmptyEnvironment:
    """A virtual environment with the wheel, and who runs its commands.

    Attributes:
        home: The home of who runs them, empty at first.
        prefix: What is put in front of a command.
        installer: ``uv``, which compiles no modules, or ``pip``, which does and is installed itself.
        wheel_mb: Size of the wheel, 1e6 bytes.
        install_s: Duration of the installation, s.
    """

    folder: Path
    home: Path
    prefix: tuple[str, ...]
    installer: str
    wheel_mb: float
    install_s: float

    @property
    def bin(self) -> Path:
        """Folder of the commands."""
        return self.folder / ("Scripts" if os.name == "nt" else "bin")

    def command(self, name: str, *arguments: str) -> list[str]:
        """Return a command of the environment, as its user runs it."""
        return [*self.prefix, str(self.bin / name), *arguments]

    def run(self, name: str, *arguments: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; its output is text."""
        command = self.command(name, *arguments)
        return subprocess.run(
            command, cwd=self.home, capture_output=True, text=True, check=False, timeout=timeout_s
        )  # fmt: skip


def size_mb(folder: Path) -> float:
    """Return the size of all files below a folder, 1e6 bytes."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


@contextmanager
def empty_environment() -> Iterator[EmptyEnvironment]:
    """Make an environment, and remove it at the end.

    Raises:
        subprocess.CalledProcessError: If the wheel cannot be built or installed, as without a package index.
    """
    with tempfile.TemporaryDirectory(prefix="lipstream-first-") as name:
        root = Path(name)
        root.chmod(0o755)
        home, folder = root / "home", root / "environment"
        home.mkdir()
        wheel = _build(root)
        prefix: tuple[str, ...] = ("env", "-i", f"HOME={home}", "PATH=/usr/bin:/bin")
        uv, python = _find_uv(root / "tools"), sys.executable
        if uv and os.geteuid() == 0 and shutil.which("setpriv") and _is_new_enough(_SYSTEM_PYTHON):
            python = str(_SYSTEM_PYTHON)  # another user may not read the one that runs this
            prefix = ("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", *prefix)
            os.chown(home, _NOBODY, _NOBODY)
        begun_s = time.perf_counter()
        if uv:
            _call(uv, "venv", "--quiet", "--no-config", "--python", python, str(folder))
            _call(uv, "pip", "install", "--quiet", "--python", str(folder), str(wheel))
        else:
            venv.create(folder, with_pip=True)
            _call(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", str(wheel))
        took_s = time.perf_counter() - begun_s
        if prefix[0] != "env":
            _give_folders(folder)
        installer = "uv" if uv else "pip"
        yield EmptyEnvironment(folder, home, prefix, installer, wheel.stat().st_size / 1e6, took_s)


def _find_uv(folder: Path) -> str | None:
    """Return the path of uv, installed into a folder if it is not there; ``None`` if that fails."""
    if there := shutil.which("uv"):
        return there
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(folder))
    installed = subprocess.run([*pip, "uv>=0.9,<1"], check=False, timeout=_PATIENCE_S, capture_output=True)
    return shutil.which("uv", path=str(folder / "bin")) if installed.returncode == 0 else None


def _build(folder: Path) -> Path:
    """Return the wheel, built of a copy: a build leaves folders where it runs."""
    for name in _PACKED:
        source, to = ROOT / name, folder / "source" / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "node_modules")
            shutil.copytree(source, to, symlinks=True, ignore=ignored)
        else:
            to.parent.mkdir(exist_ok=True)
            shutil.copy(source, to)
    _call(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"),
        *("--wheel-dir", str(folder), str(folder / "source")),
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def _give_folders(environment: Path) -> None:
    """Let the user without a name store compiled modules, as the owner of an environment may."""
    for folder, _, _ in os.walk(environment):
        os.chown(folder, _NOBODY, _NOBODY)


def _is_new_enough(python: Path) -> bool:
    test = "import sys; sys.exit(sys.version_info < (3, 11))"
    return python.exists() and not subprocess.run([python, "-c", test], check=False).returncode


def _call(*command: str) -> None:
    subprocess.run(command, check=True, timeout=_PATIENCE_S, capture_output=True, text=True)
