"""Find out why a call to a server fails: ``lipstream doctor [URL]``.

It follows the steps of a call, from the address to the picture, and reports for each step what is blocked and what to
do. Run it on the caller's machine: only from there are firewalls between the two visible. It reads a key or join token
from ``LIPSTREAM_TOKEN``. The page itself checks the parts of the browser, such as the microphone.
"""

import argparse
import asyncio
import contextlib
import ipaddress
import logging
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from aioice import stun, turn
from aiortc import RTCConfiguration, RTCIceServer, RTCIceTransportPolicy
from aiortc.rtcicetransport import parse_stun_turn_uri

from lipstream.realtime.errors import LipstreamError
from lipstream.realtime.test_client.caller import Caller
from lipstream.realtime.test_client.server_client import (
    RefusedError,
    ServerClient,
    UnreachableError,
    token_from_environment,
)

DEFAULT_URL = "http://127.0.0.1:8080"
CONNECT_S = 8.0
RELAY_S = 4.0
PICTURES = 10


class FindingState(Enum):
    """The result of a step."""

    GOOD = "ok"
    NOTE = "note"
    BAD = "BLOCKED"


@dataclass(frozen=True)
class Finding:
    """The report of one step.

    Attributes:
        advice: Remedy; ``""`` if none is needed.
    """

    step: str
    state: FindingState
    says: str
    advice: str = ""


READY_ADVICE = {
    "warming": "Wait until it has loaded its model.",
    "full": "Wait for a place, or raise --max-sessions if the machine carries more.",
    "draining": "It is about to stop; wait until it is back.",
    "renderer": "It is being started again. If that goes on, its log says why.",
}


async def examine(server: ServerClient) -> AsyncIterator[Finding]:
    """Yield the finding of each step; stop at a step that blocks all later ones."""
    yield (answers := await _answers(server))
    if answers.state is FindingState.BAD:
        return
    yield _secure(server)
    yield await _ready(server)
    try:
        async with _session(server) as session:
            servers, relays_alone = session["ice_servers"], session["ice_transport_policy"] == "relay"
    except LipstreamError as error:
        yield _refused(error)
        return
    yield Finding("session", FindingState.GOOD, "The server admits a call.")
    relays = [entry for entry in servers if any(map(_is_turn, _urls(entry)))]
    for entry in relays:
        for url in filter(_is_turn, _urls(entry)):
            yield await _relay(url, entry)
    if not relays_alone:
        yield await _media(server, [entry for entry in servers if entry not in relays], relay_only=False)
    if relays:
        yield await _media(server, relays, relay_only=True)


@contextlib.asynccontextmanager
async def _session(server: ServerClient) -> AsyncIterator[dict[str, Any]]:
    created = await server.ask("/api/sessions", method="POST", body={})
    try:
        yield created
    finally:
        with contextlib.suppress(LipstreamError):
            path = created["urls"]["self"]
            await server.ask(path, method="DELETE", token=created["token"])


async def _answers(server: ServerClient) -> Finding:
    try:
        await server.ask("/healthz")
    except UnreachableError as error:
        advice = "Is it running, is the address right, and does a firewall let its port through?"
        if "CERTIFICATE" in error.message.upper():
            advice = "Its certificate is not one that this machine trusts: use a signed one, or name it with --ca."
        elif "JSON" in error.message:
            advice = "Something else listens there: check address, port and reverse proxy."
        return Finding("server", FindingState.BAD, f"{server.url} does not answer: {error.message}.", advice)
    except RefusedError as error:
        says = f"{server.url} refuses us: {error.message}."
        advice = "Start the server with this host name in --allowed-hosts." if error.answer_status == 403 else ""
        return Finding("server", FindingState.BAD, says, advice or "Check the reverse proxy in front of it.")
    return Finding("server", FindingState.GOOD, f"{server.url} answers.")


def _secure(server: ServerClient) -> Finding:
    if server.secure or _is_local(server.host):
        return Finding("microphone", FindingState.GOOD, "Browsers may open a microphone at this address.")
    return Finding(
        "microphone", FindingState.BAD, "Browsers open no microphone on http://, except on the server's own machine.",
        "Serve https: --tls-cert and --tls-key, or a reverse proxy (docs/DEPLOY.md).",
    )  # fmt: skip


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


async def _ready(server: ServerClient) -> Finding:
    try:
        await server.ask("/readyz")
    except RefusedError as error:
        advice = READY_ADVICE.get(error.reason, "Its log says why.")
        return Finding(
            "readiness", FindingState.BAD, f"The server takes no call now: {error.reason or error.message}.", advice
        )
    except UnreachableError as error:
        return Finding("readiness", FindingState.BAD, f"The server stopped answering: {error.message}.", "Try again.")
    return Finding("readiness", FindingState.GOOD, "The server could take a call now.")


def _refused(error: LipstreamError) -> Finding:
    advice = "Try again in a moment."
    if isinstance(error, RefusedError) and error.answer_status in (401, 403):
        advice = "Put an API key or a join token into the environment variable LIPSTREAM_TOKEN."
    elif isinstance(error, RefusedError):
        advice = READY_ADVICE.get(error.reason, advice)
    return Finding("session", FindingState.BAD, f"The server refuses the call: {error.message}.", advice)


def _is_turn(url: str) -> bool:
    return url.startswith(("turn:", "turns:"))


def _urls(entry: dict[str, Any]) -> list[str]:
    urls = entry["urls"]
    return [urls] if isinstance(urls, str) else list(urls)


async def _relay(url: str, entry: dict[str, Any]) -> Finding:
    """Reserve a relay and release it."""
    where = parse_stun_turn_uri(url)
    try:
        async with asyncio.timeout(RELAY_S):
            transport, _ = await turn.create_turn_endpoint(
                asyncio.DatagramProtocol,
                server_addr=(where["host"], where["port"]),
                username=entry.get("username"),
                password=entry.get("credential"),
                ssl=where["scheme"] == "turns",
                transport=where["transport"],
            )
    except stun.TransactionFailed as error:
        code, reason = error.response.attributes.get("ERROR-CODE", (0, "no reason"))
        advice = "Are its secret and --turn-secret-file the same, and both machines' clocks right?"
        if code == 486:  # RFC 8656: allocation quota reached
            advice = "Raise its user-quota, or wait until older relays have ended."
        return Finding("TURN", FindingState.BAD, f"{url} refuses our credentials ({code} {reason}).", advice)
    except (TimeoutError, OSError, stun.TransactionError) as error:
        says = f"{url} does not answer ({type(error).__name__})."
        return Finding("TURN", FindingState.BAD, says, "Is it running, and does a firewall let its port through?")
    transport.close()
    return Finding("TURN", FindingState.GOOD, f"{url} provides a relay.")


async def _media(server: ServerClient, ice_servers: Sequence[dict[str, Any]], *, relay_only: bool) -> Finding:
    """Make a call and wait for pictures."""
    step = "media by TURN" if relay_only else "media by UDP"
    policy = RTCIceTransportPolicy.RELAY if relay_only else RTCIceTransportPolicy.ALL
    caller = Caller(configuration=RTCConfiguration([RTCIceServer(**entry) for entry in ice_servers], policy))
    try:
        offer = await caller.offer()
        if relay_only and " typ relay" not in offer:
            return Finding(
                step, FindingState.BAD, "There is no relay to send through.", "Repair TURN first; see above."
            )
        body = {"sdp": offer, "type": "offer"}
        async with _session(server) as session:
            path = session["urls"]["peer"]
            answer = await server.ask(path, method="POST", body=body, token=session["token"])
            sdp = answer["answer"]["sdp"]
            if missing := _missing_codec(sdp):
                advice = "Both ends need Opus, and VP8 or H.264."
                return Finding("codec", FindingState.BAD, f"There is no common codec for {missing}.", advice)
            await caller.accept(sdp)
            return await _pictures(caller, step, sdp)
    except LipstreamError as error:
        return Finding(step, FindingState.BAD, f"The server cannot answer: {error.message}", "Its log says why.")
    finally:
        await caller.close()


def _missing_codec(sdp: str) -> str:
    lowered = sdp.lower()
    if " opus/" not in lowered:
        return "sound"
    return "" if " vp8/" in lowered or " h264/" in lowered else "the picture"


async def _pictures(caller: Caller, step: str, sdp: str) -> Finding:
    begun_s = time.monotonic()
    while time.monotonic() < begun_s + CONNECT_S:
        pictures = sum(packet.marker for packet in caller.recording.picture.packets)
        if caller.connected and pictures >= PICTURES:
            took_ms = 1000 * (caller.recording.picture.packets[0].arrived_s - begun_s)
            return Finding(
                step, FindingState.GOOD, f"Sound and picture come through; the first after {took_ms:.0f} ms."
            )
        await asyncio.sleep(0.05)
    candidates = [line.split() for line in sdp.splitlines() if line.startswith("a=candidate")]
    where = ", ".join(sorted({f"{fields[4]}:{fields[5]}" for fields in candidates}))
    if caller.connected:
        return Finding(step, FindingState.BAD, "Connected, but no picture comes.", "The server's log says why.")
    return Finding(
        step, FindingState.BAD, f"No UDP comes through between here and {where}.",
        "Let those ports through (--udp-ports names a range for the firewall), or set up TURN (docs/DEPLOY.md).",
    )  # fmt: skip


async def _report(server: ServerClient) -> bool:
    good = True
    async for finding in examine(server):
        print(f"  {finding.state.value:<8} {finding.step}: {finding.says}")
        if finding.advice:
            print(f"           {finding.advice}")
        good = good and finding.state is not FindingState.BAD
    print("\nA call works." if good else "\nThe steps marked BLOCKED prevent a call.")
    return good


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status: 0 if a call succeeds, 1 if it is blocked, 2 if the check cannot run."""
    parser = argparse.ArgumentParser(prog="lipstream doctor", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url", nargs="?", default=DEFAULT_URL, metavar="URL", help=f"(default: {DEFAULT_URL})")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="trust this certificate, PEM")
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    try:
        server = ServerClient(options.url, token=token_from_environment(), certificate=options.ca)
        return 0 if asyncio.run(_report(server)) else 1
    except (LipstreamError, OSError) as error:
        print(f"doctor: {getattr(error, 'message', error)}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
