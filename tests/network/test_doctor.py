"""The doctor, over real faults: it names what is blocked and says what to do."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer

import pytest

from tests.browser.checkup import checked
from tests.browser.chromium import chromium
from tests.network.conditions import Conditions
from tests.network.coturn import SECRET, coturn
from tests.network.link import SERVER_ADDRESS, NetworkLink
from tests.network.watched import served
from tests.server_process import ROOT, ServerProcess, free_port

pytestmark = [pytest.mark.needs("coturn", "namespaces"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def link() -> Iterator[NetworkLink]:
    made = NetworkLink()
    yield made
    made.close()


@pytest.fixture(scope="module")
def turn(link: NetworkLink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with coturn(tmp_path_factory.mktemp("turn"), link.server, allowed=(SERVER_ADDRESS,)) as url:
        yield url


@contextmanager
def server_with(link: NetworkLink, store: Path, turn: str, secret: Path, text: str) -> Iterator[ServerProcess]:
    secret.write_text(text)
    with served(link, store, "--turn-urls", turn, "--turn-secret-file", str(secret)) as server:
        yield server


@pytest.fixture(scope="module")
def misled(
    link: NetworkLink, server_store: Path, turn: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A server whose TURN secret is not coturn's."""
    secret = tmp_path_factory.mktemp("misled") / "secret"
    with server_with(link, server_store, turn, secret, "the secret of somebody else") as server:
        yield server


def doctor(link: NetworkLink, url: str) -> tuple[int, str]:
    """Run the doctor on the client's side; return its status and what it says."""
    with link.client.entered():
        ran = subprocess.run(
            [sys.executable, "-m", "lipstream.realtime.doctor", url],
            cwd=ROOT, env=os.environ | {"LIPSTREAM_TOKEN": ""}, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
    assert not ran.stderr, ran.stderr
    return ran.returncode, ran.stdout


def line(said: str, step: str) -> str:
    return next(text for text in said.splitlines() if f" {step}: " in text)


def test_what_works_is_told_from_what_is_not(link: NetworkLink, server_store: Path, turn: str, tmp_path: Path) -> None:
    with server_with(link, server_store, turn, tmp_path / "secret", SECRET) as server:
        _, said = doctor(link, server.url)
        print("\n" + said)
        assert "BLOCKED" in line(said, "microphone"), "http, and not this machine"
        assert "https" in said
        for step in ("server", "readiness", "session", "TURN", "media by UDP", "media by TURN"):
            assert "BLOCKED" not in line(said, step)
        link.set(Conditions(no_udp=True), Conditions(no_udp=True))
        status, said = doctor(link, server.url)
        link.set()
        print(said)
        assert status == 1
        assert "does not answer" in line(said, "TURN")
        assert f"No UDP comes through between here and {SERVER_ADDRESS}:" in line(said, "media by UDP")
        assert "--udp-ports" in said


def test_a_turn_server_with_another_secret_is_named(link: NetworkLink, misled: ServerProcess) -> None:
    status, said = doctor(link, misled.url)
    assert status == 1
    assert "refuses our credentials (401" in line(said, "TURN")
    assert "--turn-secret-file" in said
    assert "BLOCKED" not in line(said, "media by UDP")
    assert "no relay" in line(said, "media by TURN")


def test_nobody_there_and_somebody_else_there_are_said(link: NetworkLink) -> None:
    status, said = doctor(link, f"http://{SERVER_ADDRESS}:{free_port()}")
    assert status == 1
    assert "BLOCKED" in line(said, "server")
    with link.server.entered():
        other = ThreadingTCPServer(
            (SERVER_ADDRESS, 0), SimpleHTTPRequestHandler
        )  # an HTTPServer asks a DNS for its name
    serving = threading.Thread(target=other.serve_forever)
    serving.start()
    try:
        _, said = doctor(link, f"http://{SERVER_ADDRESS}:{other.server_address[1]}")
        assert "refuses us" in line(said, "server")
    finally:
        other.shutdown()
        other.server_close()
        serving.join()


@pytest.mark.needs("chromium")
def test_the_page_names_what_is_blocked(link: NetworkLink, misled: ServerProcess) -> None:
    with link.client.entered(), chromium(None) as page:
        page.open(misled.url)
        steps = checked(page)
        assert steps["Microphone"][0] == "bad", "http, and not this machine"
        assert "https" in steps["Microphone"][1]
        assert steps["Sound and picture formats"][0] == "good"
        assert steps["Server"][0] == "good"
        assert steps["Sound and picture (UDP)"][0] == "good"
        assert steps["Relay (TURN)"][0] == "bad"
        assert "refuses the server" in steps["Relay (TURN)"][1]
        link.set(Conditions(no_udp=True), Conditions(no_udp=True))
        steps = checked(page)
        link.set()
        assert steps["Server"][0] == "good"
        assert steps["Sound and picture (UDP)"][0] == "bad"
        assert "firewall" in steps["Sound and picture (UDP)"][1]
        assert "does not answer" in steps["Relay (TURN)"][1]
