"""How long is the whole way, from a click in a real browser's microphone to the flash in the picture it shows?

The way to the click in the avatar's voice is measured too. Server and Chromium run on one machine. A script reads the
page's microphone track and the received voice as they come, without a sound card's buffers, and looks for clicks; and
it watches the video element for pictures with a white mouth. A click lies anywhere within its frame, so single readings
of the picture differ by up to a frame.
"""

import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Report, at_most
from benchmarks.stage import painted
from lipstream.realtime.api.app import create_app
from lipstream.realtime.api.http_server import HttpServer, server_config
from lipstream.realtime.metrics import percentiles
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.test_client.click_track import CLICK_EVERY_FRAMES, clicks
from lipstream.realtime.timeline import FRAME_RATE_HZ, SOUND_RATE_HZ
from tests.browser.chromium import chromium
from tests.server_process import free_port
from tests.sound_files import write_wav

QUESTION = "How long is the way from the microphone to the lips that a person sees, and the voice?"
VOICE_MS, SERVING_MS = 250, 120
_WATCH_S = 25
_PERIOD_MS = 1000 * CLICK_EVERY_FRAMES / FRAME_RATE_HZ

_KEEP_MICROPHONE = """
const getUserMedia = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wanted) => (window.microphoneStream = await getUserMedia(wanted));
"""
_WATCH = """
(async (seconds) => {
  const clicksIn = (stream) => {
    const reader = new MediaStreamTrackProcessor({track: stream.getAudioTracks()[0]}).readable.getReader();
    const found = [];
    let quietSince = 0;
    const listen = async () => {
      for (let read = await reader.read(); !read.done; read = await reader.read()) {
        const now = performance.now(), data = read.value, sound = new Float32Array(data.numberOfFrames);
        data.copyTo(sound, {planeIndex: 0, format: 'f32-planar'});
        const index = sound.findIndex((value) => Math.abs(value) > 0.3);
        if (index >= 0 && now - quietSince > 200) found.push(now - 1000 * (sound.length - index) / data.sampleRate);
        if (index >= 0) quietSince = now;
        data.close();
      }
    };
    listen();
    return found;
  };
  const seen = [];
  const video = document.getElementById('avatar-video');
  const heard = clicksIn(window.microphoneStream), said = clicksIn(video.srcObject);
  const canvas = new OffscreenCanvas(1, 1), brush = canvas.getContext('2d', {willReadFrequently: true});
  const end = performance.now() + seconds * 1000;
  await new Promise((done) => {
    const look = (now, facts) => {
      brush.drawImage(video, 250, 345, 12, 12, 0, 0, 1, 1);
      const brightness = brush.getImageData(0, 0, 1, 1).data[1];
      seen.push([brightness, facts.receiveTime ?? 0, now, facts.expectedDisplayTime]);
      if (now < end) video.requestVideoFrameCallback(look); else done();
    };
    video.requestVideoFrameCallback(look);
  });
  return {heard, said, seen};
})(%d)
"""


def run() -> Report:
    """Measure."""
    return asyncio.run(_measure())


async def _measure() -> Report:
    async with painted("FlashPredictor") as sessions, _served(sessions) as port:
        found = await asyncio.to_thread(_watch, port)
        (session,) = sessions.all()
        server_ms, look_ahead_ms = list(session.playout.mouth_latency_ms), session.look_ahead_ms
    seen = np.array(found["seen"])
    bright = seen[:, 0] > 180
    flashes = seen[1:][bright[1:] & ~bright[:-1]]  # where they begin
    heard = np.array(found["heard"])
    if not len(flashes) or not len(heard):
        raise RuntimeError(f"{len(heard)} clicks heard, {len(flashes)} flashes seen")
    first = np.searchsorted(flashes[:, 2], heard)
    answered = [(flashes[i, 1:] - click) for i, click in zip(first, heard, strict=True) if i < len(flashes)]
    ways = np.array([way for way in answered if way[1] < _PERIOD_MS])  # a missed flash must not count as a long way
    received, decoded, shown = ways.T
    said = np.array(found["said"])
    after = np.searchsorted(said, heard)
    voice = np.array([said[i] - click for i, click in zip(after, heard, strict=True) if i < len(said)])
    voice = voice[voice < _PERIOD_MS]
    row = _row("click -> click in the avatar's voice", voice)
    report = Report(QUESTION, {"clicks": len(heard), "flashes": len(flashes), "painted mouths": "FlashPredictor"})
    report.rows = [
        _row("click -> picture on screen", shown),
        _row("click -> picture decoded", decoded),
        _row("click -> picture received", received),
        _row("of it in the server (mouth latency)", np.array(server_ms)),
        _row("received -> on screen", shown - received),
        row,
    ]
    report.conditions["look-ahead, ms"] = look_ahead_ms
    beyond = None if row["p95"] is None else round(row["p95"] - look_ahead_ms, 1)
    report.goals = [
        at_most("microphone to voice but for the look-ahead, p95", beyond, VOICE_MS, "ms"),
        at_most("of it in the server, p95", report.rows[3]["p95"], SERVING_MS, "ms"),
    ]
    return report


@contextlib.asynccontextmanager
async def _served(sessions: Sessions) -> Any:
    port = free_port()
    server = HttpServer(server_config(create_app(sessions), sessions.settings, port=port, log_level="error"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 (uvicorn has no event for it)
        await asyncio.sleep(0.05)
    try:
        yield port
    finally:
        server.should_exit = True
        await serving


def _watch(port: int) -> dict[str, list[Any]]:
    with tempfile.TemporaryDirectory() as folder:
        microphone = Path(folder) / "clicks.wav"
        write_wav(microphone, clicks(0, 10 * CLICK_EVERY_FRAMES * SOUND_RATE_HZ // FRAME_RATE_HZ))
        with chromium(microphone) as page:
            page.call("Page.addScriptToEvaluateOnNewDocument", source=_KEEP_MICROPHONE)
            page.open(f"http://127.0.0.1:{port}")
            for switch in ("echo-cancellation", "noise-suppression", "auto-gain"):  # they suppress clicks as noise
                page.click(switch)
            page.click("start")
            page.until("document.documentElement.dataset.state === 'live'")
            page.until("document.getElementById('avatar-video').videoWidth > 0")
            page.run("new Promise((done) => setTimeout(done, 4000))")
            found: dict[str, list[Any]] = page.run(_WATCH % _WATCH_S)
            return found


def _row(name: str, values_ms: Any) -> dict[str, Any]:
    return {"ms": name, **percentiles([float(v) for v in values_ms]), "n": len(values_ms)}
