"""Chromium, Firefox, GStreamer and aiortc play what a session sends, in both codecs, without a freeze (goal I2).

``LONG=1`` has each of them play for 60 seconds; the short form is Firefox alone, for a few, since the other three play
in other tests. A freeze is a picture that comes more than 150 ms after it would have to.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.signals import TimelineSource
from lipstream.realtime.api.app import create_app
from lipstream.realtime.api.http_server import HttpServer, server_config
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.session.session import Session
from lipstream.realtime.test_client.caller import Caller
from lipstream.realtime.test_client.click_track import voice
from lipstream.realtime.timeline import FRAME_RATE_HZ
from tests.browser.chromium import Page, chromium
from tests.browser.firefox import FirefoxPage, firefox
from tests.interop.test_gstreamer import GstreamerServer, result
from tests.loopback.conftest import Serve, serve, until
from tests.loopback.test_viewers import only
from tests.network.coturn import SECRET, coturn
from tests.network.link import SERVER_ADDRESS, NetworkLink
from tests.network.watched import LONG
from tests.network.watched import served as served_over
from tests.server_process import free_port

__all__ = ["serve"]

PLAY_S = 60 if LONG else 4
PIECE_S = 20
FREEZE_S = 0.15
BEGINNING = 10
"""Pictures after which a player has begun, and its freezes count."""
long = pytest.mark.skipif(not LONG, reason="LONG=1 only")

_PLAYER = """
window.player = {times: []};
player.play = async (path, codec, config) => {
  const pc = player.pc = new RTCPeerConnection(config);
  pc.addTransceiver('audio', {direction: 'recvonly'});
  const picture = pc.addTransceiver('video', {direction: 'recvonly'});
  const known = RTCRtpReceiver.getCapabilities('video').codecs;
  const wanted = known.filter((one) => one.mimeType === 'video/' + codec || one.mimeType === 'video/rtx');
  if (!known.some((one) => one.mimeType === 'video/' + codec)) return false;
  picture.setCodecPreferences(wanted);
  const video = document.createElement('video');
  video.muted = true;
  video.srcObject = new MediaStream(pc.getReceivers().map((receiver) => receiver.track));
  const note = (now) => { player.times.push(now / 1000); video.requestVideoFrameCallback(note); };
  video.requestVideoFrameCallback(note);
  document.body.append(video);
  video.play();
  await pc.setLocalDescription();
  while (pc.iceGatheringState !== 'complete') await new Promise((done) => setTimeout(done, 5));
  const reply = await fetch(path, {
    method: 'POST', headers: {'Content-Type': 'application/sdp'}, body: pc.localDescription.sdp,
  });
  if (reply.status !== 201) throw new Error(await reply.text());
  await pc.setRemoteDescription({type: 'answer', sdp: await reply.text()});
  while (player.times.length < %d) await new Promise((done) => setTimeout(done, 20));
  player.times = [];
  return true;
};
player.wait = (ms) => new Promise((done) => setTimeout(done, ms));
player.stats = async () => {
  const entries = [...(await player.pc.getStats()).values()];
  const inbound = (kind) => entries.find((entry) => entry.type === 'inbound-rtp' && entry.kind === kind);
  const codec = entries.find((entry) => entry.id === inbound('video').codecId);
  const pairs = entries.filter((entry) => entry.type === 'candidate-pair' && (entry.selected || entry.nominated));
  const local = entries.find((entry) => entry.id === pairs[0]?.localCandidateId);
  return {
    times: player.times, codec: codec?.mimeType, freezes: inbound('video').freezeCount ?? 0,
    sound: inbound('audio').packetsReceived, by: local?.candidateType,
  };
};
"""


def freezes(times: list[float]) -> int:
    return sum(b - a > 1 / FRAME_RATE_HZ + FREEZE_S for a, b in itertools.pairwise(times))


def play(page: Page | FirefoxPage, path: str, codec: str, config: str = "{}") -> dict[str, Any] | None:
    """Have a page play for the time; return its figures, ``None`` if it does not know the codec."""
    page.run(f"(() => {{ {_PLAYER % BEGINNING} }})()")
    if not page.run(f"player.play('{path}', '{codec}', {config})"):
        return None
    for _ in range(0, PLAY_S, PIECE_S):
        page.run(f"player.wait({1000 * min(PIECE_S, PLAY_S)})")
    found: dict[str, Any] = page.run("player.stats()")
    return found


def check(name: str, codec: str, found: dict[str, Any]) -> None:
    times = found["times"]
    rate, frozen = (len(times) - 1) / (times[-1] - times[0]), max(found["freezes"], freezes(times))
    print(f"\nI2: {name}, {codec}: {times[-1] - times[0]:.0f} s, {rate:.1f} pictures a second, {frozen} freezes")
    assert found["codec"] == f"video/{codec}"
    assert found["sound"] > len(times), "there are two packets of sound to each picture"
    if LONG:
        assert found["sound"] > 40 * PLAY_S
        assert frozen == 0


@pytest.fixture
async def open_session(serve: Serve) -> AsyncIterator[tuple[GstreamerServer, Session]]:
    sessions, port = await serve(host="0.0.0.0", insecure=True), free_port()
    server = HttpServer(
        server_config(create_app(sessions), sessions.settings, port=port, log_level="error", lifespan="off")
    )
    running = asyncio.create_task(server.serve())
    await until(lambda: server.started, "the server")
    peers = GstreamerServer(sessions, port)
    yield peers, await speaking(sessions)
    await peers.close()
    server.should_exit = True
    await running


async def speaking(sessions: Sessions) -> Session:
    session, _ = await sessions.create("ann", None)
    session.speech.source = TimelineSource(session.clock, voice)
    return session


@pytest.mark.parametrize(
    ("browser", "codec"),
    [
        pytest.param("Firefox", "VP8", marks=pytest.mark.needs("firefox")),
        pytest.param("Firefox", "H264", marks=[pytest.mark.needs("firefox"), long]),
        pytest.param("Chromium", "VP8", marks=[pytest.mark.needs("chromium"), long]),
        pytest.param("Chromium", "H264", marks=[pytest.mark.needs("chromium"), long]),
    ],
)
async def test_a_browser_plays(open_session: tuple[GstreamerServer, Session], browser: str, codec: str) -> None:
    served, session = open_session

    def watch() -> dict[str, Any] | None:
        with firefox() if browser == "Firefox" else chromium(None) as page:
            page.open(served.url)
            return play(page, f"/api/sessions/{session.id}/whep", codec)

    found = await asyncio.to_thread(watch)
    if found is None:
        pytest.skip(f"this {browser} has no {codec}")
    check(browser, codec, found)


@long
@pytest.mark.needs("gstreamer")
@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_gstreamer_plays(open_session: tuple[GstreamerServer, Session], codec: str) -> None:
    served, session = open_session
    path, enough = f"/api/sessions/{session.id}/whep", str(PLAY_S * FRAME_RATE_HZ)
    found = await result(await served.gst("watch", path, "--codec", codec, "--enough", enough), PLAY_S + 60)
    print(f"\nI2: GStreamer, {codec}: {found['span_s']:.0f} s, longest gap {1000 * found['longest_gap_s']:.0f} ms")
    assert found["counts"]["video"] >= PLAY_S * FRAME_RATE_HZ
    assert found["longest_gap_s"] <= 1 / FRAME_RATE_HZ + FREEZE_S


@long
@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_aiortc_plays(open_session: tuple[GstreamerServer, Session], codec: str) -> None:
    _, session = open_session
    player = Caller(keep_payloads=False)
    offer = await player.offer()
    _, answer = await session.viewers.watch(only(offer, codec))
    await player.accept(answer)
    await until(lambda: player.recording.picture.packets, "pictures")
    await asyncio.sleep(PLAY_S)
    picture, sound = player.recording.picture, player.recording.sound
    times = [packet.arrived_s for packet in picture.packets if packet.marker][BEGINNING:]
    await player.close()
    check("aiortc", codec, {"times": times, "codec": picture.codec, "freezes": 0, "sound": len(sound.packets)})


@contextmanager
def relayed(store: Path, folder: Path) -> Iterator[tuple[NetworkLink, str]]:
    """A link with a server whose media pass a relay alone, and the server's address."""
    link, secret = NetworkLink(), folder / "secret"
    secret.write_text(SECRET)
    try:
        with (
            coturn(folder, link.server, allowed=(SERVER_ADDRESS,)) as turn,
            served_over(link, store, "--turn-urls", turn, "--turn-secret-file", str(secret), "--relay-only") as server,
        ):
            yield link, server.url
    finally:
        link.close()


@long
@pytest.mark.needs("chromium", "coturn", "namespaces")
@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_chromium_plays_by_relay_alone(server_store: Path, tmp_path: Path, codec: str) -> None:
    with relayed(server_store, tmp_path) as (link, url), link.client.entered(), chromium(None) as page:
        page.open(url)
        made = page.run(
            "fetch('/api/sessions', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{}'})"
            ".then((reply) => reply.json())"
        )
        config = json.dumps({"iceServers": made["ice_servers"], "iceTransportPolicy": "relay"})
        found = play(page, made["urls"]["whep"], codec, config)
    assert found is not None
    assert found["by"] == "relay"
    check("Chromium by relay alone", codec, found)
