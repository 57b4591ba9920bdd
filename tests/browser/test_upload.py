"""Pictures that somebody adds on the page, as the server gets them."""

import struct
import urllib.request
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.browser.chromium import BUILD_S, chromium
from tests.server_process import ServerProcess

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(900)]

PORTRAIT = Path(__file__).parent.parent / "avatar_cache" / "astronaut.jpg"


def png_of(picture: np.ndarray) -> bytes:
    """Return ``uint8[h, w, 2]``, shades and their opacity, as PNG: OpenCV writes no such file."""
    height, width = picture.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in picture)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 4, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


def test_a_large_transparent_picture_in_shades_of_grey_lies_on_grey(
    start_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    """The page makes it smaller, as JPEG, which knows no transparency."""
    portrait = cv2.cvtColor(cv2.imread(str(PORTRAIT)), cv2.COLOR_BGR2GRAY)
    side = 1600
    shades = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_CUBIC)
    rows, columns = np.mgrid[0:side, 0:side]
    opaque = np.where(np.hypot(rows - side / 2, columns - side / 2) < side / 2, 255, 0)
    path = tmp_path / "shades.png"
    path.write_bytes(png_of(np.dstack((shades, opaque)).astype(np.uint8)))
    server = start_server()
    with chromium(None) as page:
        page.open(server.url)
        page.until("document.querySelector('[data-avatar] input')")
        page.choose_file("upload", path)
        page.until("document.getElementById('consent').open")
        page.run("document.querySelector('#consent [value=own]').click()")
        page.run("document.querySelector('#consent [value=make]').click()")
        page.until("document.querySelector('[data-avatar^=shades] input:checked')", seconds=BUILD_S)
        avatar = page.run("document.querySelector('[data-avatar^=shades]').dataset.avatar")
        assert not page.complaints
    with urllib.request.urlopen(f"{server.url}/api/avatars/{avatar}/preview", timeout=20) as answer:
        shown = cv2.imdecode(np.frombuffer(answer.read(), np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    height, width = shown.shape[:2]
    corners = shown[[2, 2, height - 3, height - 3], [2, width - 3, 2, width - 3]].astype(int)
    assert np.abs(corners - 190).max() < 12, "the grey of docs/AVATARS.md"
    middle = shown[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4].astype(int)
    assert np.abs(middle - middle.mean(axis=2, keepdims=True)).max() < 12, "no colour"
    assert middle.std() > 20, "a face, not an even area"
