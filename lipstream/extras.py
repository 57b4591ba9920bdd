"""The optional packages: which extra brings each, and the line that installs it here."""

from pathlib import Path

from lipstream.realtime.errors import SettingsError

EXTRAS = {
    "torch": "cuda",
    "face_alignment": "wav2lip",
    "sounddevice": "local-audio",
    "pyvirtualcam": "virtual-camera",
    "pi_heif": "heic",
    "livekit": "livekit",
    "ray": "cluster",
}
"""The extra of the project that brings a module."""

_CHECKOUT = Path(__file__).parent.parent / "pyproject.toml"


def install_line(module: str) -> str:
    """Return the command that installs a module of :data:`EXTRAS`, in a checkout or beside an installed package."""
    extra = EXTRAS[module]
    return f"pip install -e '.[{extra}]'" if _CHECKOUT.exists() else f"pip install 'lipstream[{extra}]'"


def is_missing(error: ImportError, module: str) -> bool:
    """Return whether an import failed because a module of :data:`EXTRAS` is not installed."""
    return isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == module


def missing(module: str, wanted_by: str) -> SettingsError:
    """Return the error of something that needs a module of :data:`EXTRAS`.

    Args:
        wanted_by: Subject of the sentence, such as ``device 'cuda'``.
    """
    return SettingsError(f"{wanted_by} needs {module.replace('_', '-')}: {install_line(module)}")
