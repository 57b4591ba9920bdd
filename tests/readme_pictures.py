"""Makes the pictures of README.md again: ``python -m tests.readme_pictures``, a minute on a calm machine.

`speaks.webp` and `speaks.mp4` are rendered from the sentence of *Hear a sample*; the three others are screenshots of
the real pages in Chromium, of a server with eSpeak NG that this starts. Run it when the avatars or the pages change.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from lipstream.realtime import render
from lipstream.realtime.timeline import FRAME_RATE_HZ, SOUND_RATE_HZ
from tests.browser.chromium import Page, chromium
from tests.server_process import ROOT, ServerProcess

FIGURES = ROOT / "docs" / "figures"
SAMPLE = ROOT / "web" / "call" / "sample.mp3"
MOST_BYTES = {"speaks.webp": 3_000_000, "speaks.mp4": 1_000_000}
CALL, STAGE, KIOSK = (1280, 800), (1280, 720), (720, 1280)
_SIDE_PX = 400
_STRIP_PX = 56
_BAR_PX, _GAP_PX = 3, 2
_GROUND, _SAID, _COMING = (18, 19, 13), (146, 127, 255), (255, 176, 143)  # BGR: the page's ground, mouth and voice
_LIVE = "document.documentElement.dataset.state === 'live'"
_SPEAKING = "document.documentElement.dataset.speaking === 'true'"
_CAPTION = "The next train to Lisbon leaves at ten past nine, from platform four."

Bgr = npt.NDArray[np.uint8]


def strip(levels: npt.NDArray[np.float64], played: float) -> Bgr:
    """Return the sentence as bars, ``uint8[h, w, 3]``, BGR.

    Args:
        levels: ``float64[n]``, 0..1, the loudness of each bar.
        played: Share of the bars that was heard, 0..1.
    """
    picture = np.full((_STRIP_PX, _SIDE_PX, 3), _GROUND, np.uint8)
    for number, level in enumerate(levels):
        left, half = number * (_BAR_PX + _GAP_PX) + _GAP_PX, max(1, round(level * (_STRIP_PX // 2 - 6)))
        colour = _SAID if number < played * len(levels) else _COMING
        cv2.rectangle(
            picture, (left, _STRIP_PX // 2 - half), (left + _BAR_PX - 1, _STRIP_PX // 2 + half), colour, cv2.FILLED
        )
    return picture


def bar_levels(sound: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the loudness of each bar of the strip, ``float64[n]``, 0..1, of ``float32[m]``."""
    parts = np.array_split(sound.astype(np.float64), (_SIDE_PX - _GAP_PX) // (_BAR_PX + _GAP_PX))
    loudness = np.array([np.sqrt(np.mean(part**2)) for part in parts], np.float64)
    louder: npt.NDArray[np.float64] = loudness / max(loudness.max(), 1e-9)
    return louder


def moving_pictures(film: Path) -> Iterator[Bgr]:
    """Yield each picture of a film with the strip of its sound below it."""
    sound = render.read_sound(film)
    levels, seconds = bar_levels(sound), sound.size / SOUND_RATE_HZ
    with av.open(str(film)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            face = cv2.resize(frame.to_ndarray(format="bgr24"), (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
            yield np.vstack((face, strip(levels, number / FRAME_RATE_HZ / seconds)))


def write_webp(path: Path, pictures: Iterator[Bgr]) -> None:
    """Write an animation that repeats without end, 25 pictures a second."""
    with av.open(str(path), "w", format="webp", options={"loop": "0"}) as container:
        stream = container.add_stream("libwebp_anim", rate=FRAME_RATE_HZ, options={"quality": "88"})
        stream.width, stream.height, stream.pix_fmt = _SIDE_PX, _SIDE_PX + _STRIP_PX, "yuv420p"
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, FRAME_RATE_HZ)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def film(store: Path, avatar: str, out: Path) -> None:
    """Write the moving picture and its film with sound."""
    arguments = ["--audio", str(SAMPLE), "--avatar", avatar, "--store", str(store), "--out", str(out / "speaks.mp4")]
    if render.main(arguments):
        raise SystemExit("the film could not be rendered")
    write_webp(out / "speaks.webp", moving_pictures(out / "speaks.mp4"))


def shoot(page: Page, size: tuple[int, int], path: Path) -> None:
    """Write what a page shows in a window of a size as WebP."""
    with tempfile.TemporaryDirectory() as folder:
        page.screenshot(Path(folder) / "shown.png")
        shown = cv2.imread(f"{folder}/shown.png")
    assert shown is not None
    assert shown.shape[1::-1] == size
    cv2.imwrite(str(path), shown, [cv2.IMWRITE_WEBP_QUALITY, 85])


def screenshots(server: ServerProcess, avatar: str, out: Path) -> None:
    """Write a call, a picture for a stream and a kiosk."""
    with chromium(None) as page:
        page.resize(*CALL)
        page.open(server.url)
        page.until(f"document.querySelector('[data-avatar={avatar}] img')?.naturalWidth > 0")
        page.run(f"document.querySelector('[data-avatar={avatar}] input').click()")
        page.click("sample")
        page.until(f"{_LIVE} && {_SPEAKING}")
        page.run("scrollTo(0, 0)")
        time.sleep(3)  # figures of a call that runs
        shoot(page, CALL, out / "call.webp")
        with chromium(None) as stage:
            stage.resize(*STAGE)
            (session,) = server.get("/api/sessions")
            page.run("document.querySelector('[data-avatar$=-green] input').click()")
            while server.get(f"/api/sessions/{session['id']}")["avatar"] != f"{avatar}-green":
                time.sleep(0.2)  # it is prepared first
            stage.open(f"{server.url}/stage?session={session['id']}&background=1d3557&muted&notice=off")
            stage.until(f"{_LIVE} && document.getElementById('cut-out').width > 300")
            page.click("sample")
            page.until(_SPEAKING)
            time.sleep(2)
            shoot(stage, STAGE, out / "stream.webp")
        page.click("stop")
        page.until("document.documentElement.dataset.state === 'idle'")

        page.resize(*KIOSK)
        page.open(f"{server.url}/kiosk?avatar={avatar}-portrait&talk=off")
        page.until(f"{_LIVE} && document.getElementById('face').videoWidth > 0", seconds=120)  # its form is made first
        session = next(one for one in server.get("/api/sessions") if one["state"] == "live")
        server.post(f"/api/sessions/{session['id']}/say", {"text": _CAPTION})
        page.until("document.documentElement.dataset.mood === 'speaking'")
        time.sleep(2)
        shoot(page, KIOSK, out / "kiosk.webp")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.readme_pictures", description=__doc__)
    parser.add_argument("--avatar", default="ada")
    parser.add_argument("--store", type=Path, help="folder of avatars and 8-bit networks (default: an empty one)")
    parser.add_argument("--out", type=Path, default=FIGURES)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = chosen.store or Path(folder)
        film(store, chosen.avatar, chosen.out)
        server = ServerProcess(store, ("--synthesizer", "espeak-ng"))
        server.start()
        try:
            screenshots(server, chosen.avatar, chosen.out)
        finally:
            server.stop()
    for name in ("speaks.webp", "speaks.mp4", "call.webp", "stream.webp", "kiosk.webp"):
        print(f"{name}: {(chosen.out / name).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
