"""The whole way: recorded speech in Chromium's microphone, the avatar's picture and sound in the page."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.browser.chromium import Page, chromium
from tests.browser.conftest import Server

pytestmark = [pytest.mark.needs("chromium", "recorded speech"), pytest.mark.timeout(420)]

StartServer = Callable[..., Server]

# At every new picture: how its mouth differs from the last one's, and how loud the returned sound was since.
_WATCH = """
(async (seconds) => {
  const video = document.getElementById('avatar-video');
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, {fftSize: 2048});
  context.createMediaStreamSource(video.srcObject).connect(analyser);
  const sound = new Float32Array(analyser.fftSize);
  const side = 128, canvas = new OffscreenCanvas(side, side);
  const brush = canvas.getContext('2d', {willReadFrequently: true});
  const [left, top, width, height] = %s;
  const seen = [];
  let before = null;
  const end = performance.now() + seconds * 1000;
  await new Promise((done) => {
    const look = (now, facts) => {
      brush.drawImage(video, left * video.videoWidth, top * video.videoHeight, width * video.videoWidth,
                      height * video.videoHeight, 0, 0, side, side);
      const pixels = brush.getImageData(0, 0, side, side).data;
      let moved = 0;
      if (before) for (let i = 1; i < pixels.length; i += 4) moved += Math.abs(pixels[i] - before[i]);
      before = pixels;
      analyser.getFloatTimeDomainData(sound);
      let power = 0;
      for (const value of sound) power += value * value;
      seen.push([now, facts.mediaTime, moved / (side * side), Math.sqrt(power / sound.length)]);
      if (now < end) video.requestVideoFrameCallback(look); else done();
    };
    video.requestVideoFrameCallback(look);
  });
  return seen;
})(%d)
"""


def _start_call(page: Page, server: Server) -> None:
    page.open(server.url)
    page.until("document.querySelector('[data-avatar] input')")
    page.click("start")
    page.until("document.documentElement.dataset.state === 'live'")
    page.until("document.getElementById('avatar-video').videoWidth > 0")


def _mouth_rectangle(server: Server) -> list[float]:
    """Return the lower middle of the first avatar's face box as shares of the picture."""
    facts = server.get(f"/api/avatars/{server.get('/api/avatars')[0]['id']}")
    (x, y, width, height), (across, down) = facts["face"], facts["size"]
    return [(x + 0.25 * width) / across, (y + 0.58 * height) / down, 0.5 * width / across, 0.36 * height / down]


def _smooth(values: np.ndarray, frames: int = 5) -> np.ndarray:
    return np.convolve(values, np.ones(frames) / frames, mode="same")


def test_speech_moves_the_mouth_and_comes_back(start_server: StartServer, speech_wav: Path) -> None:
    server = start_server()
    with chromium(speech_wav) as page:
        _start_call(page, server)
        page.click("hear")
        time.sleep(1.5)
        freezes = "document.querySelector('[data-figure=freezes]').dataset.value"
        page.until(f"{freezes} !== ''")
        frozen_before = int(page.run(freezes))
        seen = np.array(page.run(_WATCH % (_mouth_rectangle(server), 20)))
        assert int(page.run(freezes)) == frozen_before
        figures = page.run(
            "Object.fromEntries([...document.querySelectorAll('[data-figure]')]"
            ".map((figure) => [figure.dataset.figure, figure.dataset.value]))"
        )
        assert not page.complaints
    rate = (len(seen) - 1) / (seen[-1, 0] - seen[0, 0]) * 1000
    assert 24 <= rate <= 26
    moved, loud = seen[1:, 2], seen[1:, 3]
    assert loud.max() > 0.05, "the sound comes back"
    speaking = _smooth(loud) > 0.1 * loud.max()
    pause = _smooth(loud, 15) < 0.005 * loud.max()
    assert speaking.sum() > 100
    assert pause.sum() > 25
    motion, envelope = _smooth(moved), _smooth(loud)
    lags = range(-5, 6)
    r = [np.corrcoef(np.roll(motion, -lag)[10:-10], envelope[10:-10])[0, 1] for lag in lags]
    print(f"fps {rate:.2f}, r {max(r):.2f} at lag {lags[int(np.argmax(r))]}, {figures}")
    assert max(r) >= 0.5
    assert abs(lags[int(np.argmax(r))]) <= 1
    assert moved[pause].mean() <= 0.15 * moved[speaking].mean()
