"""A call in a real Chromium on the far side of a link, and what the browser says about it."""

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.browser.chromium import Page, chromium
from tests.network.link import SERVER_ADDRESS, NetworkLink
from tests.server_process import ServerProcess

LONG = os.environ.get("LONG") == "1"
_LONGEST_S = 20.0

# Every connection of the page, and every picture that is shown: when, and its place on the sender's clock, both in s.
_WITNESS = """
window.connections = [];
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...options) { super(...options); window.connections.push(this); }
};
window.shown = [];
window.watch = () => {
  const video = document.getElementById('avatar-video');
  const look = (now, facts) => {
    window.shown.push([now / 1000, (facts.rtpTimestamp ?? 0) / 90000, window.connections.length]);
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
};
"""
_STATS = """
(async () => {
  const entries = [...(await window.connections.at(-1).getStats()).values()];
  const inbound = (kind) => entries.find((entry) => entry.type === 'inbound-rtp' && entry.kind === kind) ?? {};
  const pair = entries.find((entry) => entry.type === 'candidate-pair' && entry.nominated) ?? {};
  const local = entries.find((entry) => entry.id === pair.localCandidateId) ?? {};
  return {now: performance.now() / 1000, video: inbound('video'), audio: inbound('audio'), pair, local};
})()
"""
_SESSION = """
performance.getEntriesByType('resource').map((entry) => entry.name.match('/api/sessions/([^/]+)')?.[1])
  .filter(Boolean).at(-1)
"""


@dataclass(frozen=True)
class Stretch:
    """Differences between two readings of the browser's statistics.

    Attributes:
        seconds: Time between the readings.
        freezes: Freezes as the W3C defines them: a gap of three times the mean, and 150 ms above the mean.
        frozen_share: Share of the time in freezes, 0..1.
        concealed_share: Share of the sound that the browser made up because packets were missing, 0..1.
        lost_share: Share of the video packets that never arrived, 0..1.
        sent_again: Number of retransmitted video packets received.
        video_bps: Received video, bit/s.
        pictures: Number of decoded pictures.
        key_frames: Number of decoded key frames.
        key_frames_wanted: Number of key frames that the browser requested.
        longest_gap_s: Longest time between two shown pictures.
    """

    seconds: float
    freezes: int
    frozen_share: float
    concealed_share: float
    lost_share: float
    sent_again: int
    video_bps: float
    pictures: int
    key_frames: int
    key_frames_wanted: int
    longest_gap_s: float

    def __str__(self) -> str:
        return (
            f"{self.seconds:.0f} s: {self.freezes} freezes, {self.frozen_share:.2%} frozen, longest gap "
            f"{1000 * self.longest_gap_s:.0f} ms, {self.concealed_share:.2%} concealed, {self.lost_share:.2%} lost "
            f"({self.sent_again} sent again), {self.video_bps / 1000:.0f} kbit/s, "
            f"{self.pictures / self.seconds:.1f} fps, "
            f"{self.key_frames} key frames ({self.key_frames_wanted} asked for)"
        )


class Watched:
    """A page in a call."""

    def __init__(self, page: Page, link: NetworkLink, server: ServerProcess) -> None:
        self.page, self.link, self.server = page, link, server

    def start(self) -> None:
        """Open the page and start a call."""
        self.page.open(self.server.url)
        self.page.until("document.querySelector('[data-avatar] input')")
        self.page.click("start")
        self.page.until("document.documentElement.dataset.state === 'live'")
        self.page.until("document.getElementById('avatar-video').videoWidth > 0")
        self.page.run("window.watch()")

    def stats(self) -> dict[str, Any]:
        """Return the browser's own figures of the connection that it uses now."""
        found: dict[str, Any] = self.page.run(_STATS)
        return found

    def session(self) -> str:
        """Return the id of the page's session."""
        found: str = self.page.run(_SESSION)
        return found

    def server_figures(self) -> dict[str, Any]:
        """Return what the server says about it."""
        path = f"/api/sessions/{self.session()}"
        with self.link.server.entered():
            found: dict[str, Any] = self.server.get(path)
        return found

    def created(self) -> int:
        """Return how many sessions the server has made."""
        with self.link.server.entered():
            lines = self.server.metrics().splitlines()
        return int(
            float(next(line for line in lines if line.startswith("lipstream_sessions_created_total")).split()[1])
        )

    def sleep(self, seconds: float) -> None:
        """Let the call go on."""
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:  # in pieces that the page's answer is waited for
            self.page.run(f"new Promise((done) => setTimeout(done, {1000 * min(left_s, _LONGEST_S)}))")

    def shown(self) -> list[tuple[float, float, int]]:
        """Return, of every picture so far: when it was shown, the sender's time of it, which connection brought it."""
        return [(shown_s, sent_s, connection) for shown_s, sent_s, connection in self.page.run("window.shown")]

    def stretch(self, seconds: float) -> Stretch:
        """Let the call go on and return what happened."""
        before = self.stats()
        self.sleep(seconds)
        return between(before, self.stats(), self.shown())


def between(before: dict[str, Any], after: dict[str, Any], shown: list[tuple[float, float, int]]) -> Stretch:
    """Return what happened between two readings."""

    def grown(kind: str, name: str) -> float:
        return float(after[kind].get(name, 0) - before[kind].get(name, 0))

    def share(part: float, whole: float) -> float:
        return part / whole if whole > 0 else 0.0

    seconds = after["now"] - before["now"]
    came = [at_s for at_s, _, _ in shown if before["now"] <= at_s <= after["now"]]
    edges = [before["now"], *came, after["now"]]
    lost = grown("video", "packetsLost")
    return Stretch(
        seconds=seconds,
        freezes=int(grown("video", "freezeCount")),
        frozen_share=share(grown("video", "totalFreezesDuration"), seconds),
        concealed_share=share(grown("audio", "concealedSamples"), grown("audio", "totalSamplesReceived")),
        lost_share=share(lost, grown("video", "packetsReceived") + lost),
        sent_again=int(grown("video", "retransmittedPacketsReceived")),
        video_bps=8 * grown("video", "bytesReceived") / seconds,
        pictures=int(grown("video", "framesDecoded")),
        key_frames=int(grown("video", "keyFramesDecoded")),
        key_frames_wanted=int(grown("video", "pliCount") + grown("video", "firCount")),
        longest_gap_s=max(b - a for a, b in itertools.pairwise(edges)),
    )


@contextmanager
def watched(link: NetworkLink, server: ServerProcess, microphone: Path) -> Iterator[Watched]:
    """Open a browser on the client's side of a link."""
    origin = f"--unsafely-treat-insecure-origin-as-secure={server.url}"
    with link.client.entered(), chromium(microphone, flags=[origin]) as page:
        page.call("Page.addScriptToEvaluateOnNewDocument", source=_WITNESS)
        yield Watched(page, link, server)


@contextmanager
def served(link: NetworkLink, store: Path, *options: str) -> Iterator[ServerProcess]:
    """Run the server on the server's side of a link."""
    server = ServerProcess(store, ("--insecure", *options), host=SERVER_ADDRESS)
    with link.server.entered():
        server.start()
    try:
        yield server
    finally:
        if server.process:
            server.process.kill()
            server.process.wait(20)
