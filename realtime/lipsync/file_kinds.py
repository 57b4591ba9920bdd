"""What kind of weights file a file is, told by its first bytes; or what it is instead."""

import string
from pathlib import Path
from typing import Literal

from lipstream.realtime.errors import WeightsError

FileKind = Literal["safetensors", "onnx", "checkpoint"]

_ZIP = b"PK\x03\x04"
_ONNX_VERSION = b"\x08"
"""First byte of an ONNX file: the key of its version."""
_TAR, _TAR_AT = b"ustar", 257
_TEXT = string.printable.encode()
_BYTES = 512
_INSTEAD = (
    (b"version https://git-lfs", "a pointer of Git LFS, not a checkpoint: fetch the file that it stands for"),
    (b"\x1f\x8b", "packed with gzip: unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"),
    (b"Rar!", "a RAR archive: unpack it first"),
    (b"\x93NUMPY", "an array of NumPy, not a checkpoint"),
    (b"\x89HDF", "an HDF5 file, as of Keras, not a checkpoint of PyTorch"),
    (b"GGUF", "a GGUF file, not a checkpoint of PyTorch"),
)


def file_kind(path: Path) -> FileKind:
    """Return how a weights file is to be read. The name decides only where the content does not.

    Raises:
        WeightsError: Saying what the file is instead, as far as that is known.
    """
    with path.open("rb") as file:
        head = file.read(_BYTES)
    if head.startswith(_ZIP):
        return "checkpoint"
    if head[8:9] == b"{":
        return "safetensors"
    if (instead := _instead(head)) is not None:
        raise WeightsError(f"{path.name} is {instead}")
    if path.suffix == ".safetensors":
        return "safetensors"
    return "onnx" if path.suffix == ".onnx" or (head[:1] == _ONNX_VERSION and b"pytorch" in head) else "checkpoint"


def _instead(head: bytes) -> str | None:
    if not head:
        return "empty"
    for start, meaning in _INSTEAD:
        if head.startswith(start):
            return meaning
    if head.startswith(_TAR, _TAR_AT):
        return "a tar archive: unpack it first"
    if head.lstrip()[:1] == b"<":
        return "a web page, not a checkpoint: download the file itself"
    if all(byte in _TEXT for byte in head):
        return f"a text, not a checkpoint: it begins with {head.decode().strip()[:40]!r}"
    return None
