"""Measure a running server as a caller hears and sees it: ``lipstream selftest [URL]``.

It calls the server over a real peer connection. Each spoken syllable begins with a click, which is searched for in the
returned sound, and opens the mouth, which is searched for in the pictures. It reads a key or join token from
``LIPSTREAM_TOKEN``.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from aiortc import RTCConfiguration, RTCIceServer, RTCIceTransportPolicy

from lipstream.realtime.errors import LipstreamError
from lipstream.realtime.metrics import percentiles
from lipstream.realtime.test_client.call_recording import (
    CallRecording,
    DecodedAudio,
    DecodedPicture,
    decode_pictures,
    decode_sound,
)
from lipstream.realtime.test_client.caller import Caller
from lipstream.realtime.test_client.click_track import Sound, click, find_clicks, voice
from lipstream.realtime.test_client.mouth_opening import half_open_s
from lipstream.realtime.test_client.server_client import ServerClient, UnreachableError, token_from_environment
from lipstream.realtime.timeline import SOUND_RATE_HZ

DEFAULT_URL = "http://127.0.0.1:8080"
CONNECT_S = 12.0
SETTLE_S = 2.0
SYLLABLE_EVERY_SOUND = SOUND_RATE_HZ * 987 // 1000
"""Not a multiple of a picture's 40 ms, so that syllables begin at every phase between two pictures."""
SYLLABLE_SOUND = SOUND_RATE_HZ * 36 // 100
INTERRUPTIONS, INTERRUPT_EVERY_S = 8, 0.9
SILENCE = 10 ** (-50 / 20)
LONGEST_WAY_S = 0.9
SYNC_MS = (-60.0, 40.0)
"""EBU R37: limits for sound before the picture, negative for sound behind it."""


@dataclass(frozen=True)
class Findings:
    """Measured values; ``None`` or empty if a value could not be measured.

    Attributes:
        voice_ms: Times from sending a click to its return, ms.
        mouth_ms: Median time from sending a syllable to receiving a picture with the mouth half open, ms; ``None``
            without one.
        lips_ms: Time from the start of the sound to the half-open mouth, by the server's clock, ms; ``None`` without
            one.
        arrival_offset_ms: How much longer pictures are on their way than sound, ms; positive for sound ahead; ``None``
            without a measurement.
        tail_ms: Times from requesting an interruption to silence, ms.
    """

    voice_ms: list[float]
    mouth_ms: float | None
    lips_ms: float | None
    arrival_offset_ms: float | None
    tail_ms: list[float]
    pictures_per_s: float
    server: dict[str, Any]

    @property
    def complete(self) -> bool:
        """Whether every value was measured."""
        return bool(self.voice_ms and self.tail_ms) and None not in (self.mouth_ms, self.arrival_offset_ms)

    @property
    def in_sync(self) -> bool:
        """Whether sound and picture arrive within the limits of EBU R37."""
        offset = self.arrival_offset_ms
        return offset is not None and SYNC_MS[0] <= offset <= SYNC_MS[1]


def syllables(seconds: float) -> tuple[Sound, list[int]]:
    """Return test speech, 48 kHz, and the positions of its syllables; speech without a pause follows them."""
    count = int(seconds * SOUND_RATE_HZ) // SYLLABLE_EVERY_SOUND
    starts = [SYLLABLE_EVERY_SOUND * (n + 1) for n in range(count)]
    sound = np.zeros(SYLLABLE_EVERY_SOUND * (count + 1), np.float32)
    for start in starts:
        sound[start : start + SYLLABLE_SOUND] = voice(0, SYLLABLE_SOUND, level=0.7)
        sound[start : start + len(click())] = click()
    steady = voice(0, int((INTERRUPTIONS + 2) * INTERRUPT_EVERY_S * SOUND_RATE_HZ), level=0.7)
    return np.concatenate((sound, steady)), starts


async def measure(server: ServerClient, *, avatar: str | None, seconds: float) -> Findings:
    """Call a server for a while and return the measured values.

    Raises:
        LipstreamError: If the call fails.
    """
    sound, starts = syllables(seconds)
    async with _call(server, sound, avatar) as (caller, ask):
        microphone = caller.microphone
        assert microphone is not None
        assert microphone.start_s is not None, "its first packet leaves before the first picture comes"
        await asyncio.sleep(max(0.0, microphone.start_s + (starts[-1] / SOUND_RATE_HZ) + 1 - time.monotonic()))
        figures = await ask("", "GET")
        asked_s = [await _interrupt(ask) for _ in range(INTERRUPTIONS)]
        tail = (await ask("", "GET")).get("interrupt_tail_ms")
        facts = await server.ask(f"/api/avatars/{figures['avatar']}")
    sent_s = [microphone.start_s + start / SOUND_RATE_HZ for start in starts]
    figures["interrupt_tail_ms"] = tail
    return await asyncio.to_thread(_findings, caller.recording, sent_s, asked_s, facts, figures)


@contextlib.asynccontextmanager
async def _call(server: ServerClient, sound: Sound, avatar: str | None) -> AsyncIterator[tuple[Caller, Any]]:
    created = await server.ask("/api/sessions", method="POST", body={"avatar": avatar} if avatar else {})

    async def ask(path: str, method: str, body: Any = None) -> Any:
        path = created["urls"]["self"] + path
        return await server.ask(path, method=method, body=body, token=created["token"])

    servers = [RTCIceServer(**entry) for entry in created["ice_servers"]]
    policy = RTCIceTransportPolicy(created.get("ice_transport_policy", "all"))
    caller = Caller(sound, configuration=RTCConfiguration(servers, policy))
    try:
        offer = {"sdp": await caller.offer(), "type": "offer"}
        await caller.accept((await ask("/peer", "POST", offer))["answer"]["sdp"])
        deadline = time.monotonic() + CONNECT_S
        while not (caller.connected and caller.recording.picture.packets):
            if time.monotonic() > deadline:
                raise UnreachableError("no media comes through: `lipstream doctor` says why")
            await asyncio.sleep(0.02)
        yield caller, ask
    finally:
        await caller.close()
        with contextlib.suppress(LipstreamError):
            await ask("", "DELETE")


async def _interrupt(ask: Any) -> float:
    await asyncio.sleep(INTERRUPT_EVERY_S)
    now_s = time.monotonic()
    await ask("/interrupt", "POST")
    return now_s


def _findings(
    recording: CallRecording, sent_s: list[float], asked_s: list[float], facts: dict[str, Any], figures: dict[str, Any]
) -> Findings:
    heard, pictures = decode_sound(recording.sound), list(decode_pictures(recording.picture))
    found = find_clicks(heard)
    mouths = _mouths(pictures, facts)
    came = np.array([picture.arrived_s for picture in pictures])
    shown = np.array([picture.media_s for picture in pictures])
    mouth_s = half_open_s(sent_s, came, mouths)
    lips_s = half_open_s([media_s for media_s, _ in found], shown, mouths)
    settled = came > came[0] + SETTLE_S if len(came) else came > 0
    return Findings(
        voice_ms=[1000 * way_s for way_s in _ways([at_s for _, at_s in found], sent_s)],
        mouth_ms=None if mouth_s is None else 1000 * mouth_s,
        lips_ms=None if lips_s is None else 1000 * lips_s,
        arrival_offset_ms=_arrival_offset_ms(heard, came[settled] - shown[settled]),
        tail_ms=[1000 * tail_s for tail_s in _tails(heard, asked_s)],
        pictures_per_s=(len(came) - 1) / (came[-1] - came[0]) if len(came) > 1 else 0.0,
        server=figures,
    )


def _mouths(pictures: Sequence[DecodedPicture], facts: dict[str, Any]) -> npt.NDArray[np.uint8]:
    """Return the part of each picture that holds the mouth: the lower half of the face."""
    (x, y, width, height), (across, down) = facts["face"], facts["size"]
    parts = []
    for picture in pictures:
        rows, columns = picture.luma.shape
        top, bottom = (int((y + share * height) * rows / down) for share in (0.6, 0.95))
        left, right = (int((x + share * width) * columns / across) for share in (0.25, 0.75))
        parts.append(picture.luma[top:bottom, left:right])
    return np.stack(parts) if parts else np.zeros((0, 1, 1), np.uint8)


def _ways(came_s: Sequence[float], sent_s: Sequence[float]) -> list[float]:
    """Return how long each click took that came back."""
    nearest = [min((at_s - start_s for at_s in came_s if at_s > start_s), default=np.inf) for start_s in sent_s]
    return [way_s for way_s in nearest if way_s < LONGEST_WAY_S]


def _arrival_offset_ms(heard: DecodedAudio, picture_ways_s: npt.NDArray[np.float64]) -> float | None:
    sound_ways_s = heard.arrived_s - heard.media_s
    sound_ways_s = sound_ways_s[~np.isnan(sound_ways_s)]
    picture_ways_s = picture_ways_s[~np.isnan(picture_ways_s)]
    if not len(sound_ways_s) or not len(picture_ways_s):
        return None
    return 1000 * float(np.median(picture_ways_s) - np.median(sound_ways_s))


def _tails(heard: DecodedAudio, asked_s: Sequence[float]) -> list[float]:
    """Return the times from each interruption to the first silent packet, s."""
    packets = heard.samples.reshape(len(heard.arrived_s), -1)
    silent_s = heard.arrived_s[np.abs(packets).max(axis=1) < SILENCE]
    tails = [silent_s[silent_s > at_s].min(initial=np.inf) - at_s for at_s in asked_s]
    return [float(tail_s) for tail_s in tails if tail_s < INTERRUPT_EVERY_S]


def report(findings: Findings) -> str:
    """Return the values as text for a terminal."""
    server, voice_ms, tail_ms = findings.server, percentiles(findings.voice_ms), percentiles(findings.tail_ms)
    of_server = server["mouth_latency_ms"]
    return "\n".join((
        f"avatar {server['avatar']}, look-ahead {server['look_ahead_ms']:.0f} ms, {len(findings.voice_ms)} syllables",
        "",
        f"  mouth latency      {_ms(findings.mouth_ms)} from sending a syllable to the picture of a mouth half open",
        f"                     {_ms(of_server['p50'])} (p95 {_ms(of_server['p95'])}) of it in the server",
        f"  voice latency      {_ms(voice_ms['p50'])} (p95 {_ms(voice_ms['p95'])}) from sending a click to its return",
        f"  A/V offset         {_ms(findings.arrival_offset_ms)} sound ahead of the picture, as they come here",
        f"                     {_ms(server['av_offset_ms'])} as they left the server",
        f"                     the mouth is half open {_ms(findings.lips_ms)} after its sound begins",
        f"  interrupt tail     {_ms(tail_ms['p50'])} (p95 {_ms(tail_ms['p95'])}) from asking to silence here",
        f"                     {_ms(server['interrupt_tail_ms'])} (p95) of it in the server",
        f"  picture            {findings.pictures_per_s:.1f} a second; in the server "
        + ", ".join(f"{server[f'frames_{fate}']} {fate}" for fate in ("rendered", "repeated", "dropped")),
    ))  # fmt: skip


def _ms(value: float | None) -> str:
    return "  not measured" if value is None else f"{value:6.1f} ms"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status: 0 if measured and in sync, 1 if not, 2 if the call failed."""
    parser = argparse.ArgumentParser(prog="lipstream selftest", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url", nargs="?", default=DEFAULT_URL, metavar="URL", help=f"(default: {DEFAULT_URL})")
    parser.add_argument("--avatar", metavar="ID", help="(default: the server's own choice)")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to speak (default: 20)")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="trust this certificate, PEM")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    if not 5 <= options.seconds <= 300:
        parser.error("--seconds is not between 5 and 300")
    logging.disable(logging.CRITICAL)
    try:
        server = ServerClient(options.url, token=token_from_environment(), certificate=options.ca)
        findings = asyncio.run(measure(server, avatar=options.avatar, seconds=options.seconds))
    except (LipstreamError, OSError) as error:
        print(f"selftest: {getattr(error, 'message', error)}", file=sys.stderr)
        return 2
    print(json.dumps(vars(findings), default=float, indent=1) if options.json else report(findings))
    return 0 if findings.complete and findings.in_sync else 1


if __name__ == "__main__":
    sys.exit(main())
