"""The server as a process, told to stop while somebody is in a call; and what its log kept to itself."""

import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest
from websockets import Subprotocol
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.loopback.conftest import until
from tests.realtime.rtc.loopback import Client
from tests.server_process import ServerProcess

KEY = "the key of the operator of this test"
WRONG = "a-key-that-opens-nothing-here"

pytestmark = pytest.mark.timeout(300)


async def test_the_first_signal_drains_the_second_ends_and_the_log_keeps_secrets(
    start_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text(KEY)
    log = tmp_path / "log"
    server = start_server(
        *("--secret-file", str(tmp_path / "keys"), "--grace-s", "60"),
        *("--log-format", "json", "--log-level", "debug"),
        log=log,
    )
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    family = [process, *process.children(recursive=True)]
    client = Client()
    async with httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {KEY}"}) as http:
        try:
            join = (await http.post("/api/tokens")).json()["token"]
            guest = {"Authorization": f"Bearer {join}"}
            offer = {"sdp": await client.offer(), "type": "offer"}
            created = (await http.post("/api/sessions", json={"offer": offer}, headers=guest)).json()
            await client.accept(created["answer"]["sdp"])
            await until(lambda: client.frames["video"], "pictures")
            assert (await http.get("/metrics", headers={"Authorization": f"Bearer {WRONG}"})).status_code == 401
            _speak_without_right(server, created["urls"]["audio"])
            _speak(server, created["urls"]["audio"], created["token"])

            told_s = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            while (await http.get("/readyz")).status_code != 503:
                assert time.monotonic() - told_s < 60
            assert (await http.get("/readyz")).json() == {"reason": "draining"}
            refused = await http.post("/api/sessions", json={}, headers=guest)
            print(f"refuses after {time.monotonic() - told_s:.2f} s")
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) >= 1
            await until(lambda: any('"draining"' in str(m) for m in client.messages), "the message")
            seen = len(client.frames["video"])
            await until(lambda: len(client.frames["video"]) > seen + 75, "three seconds more of pictures")
            assert server.process.poll() is None

            told_s = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(120) == 0
            print(f"ends after {time.monotonic() - told_s:.2f} s")
            server.process = None
            _, alive = psutil.wait_procs(family, timeout=60)  # what workers are forked from notices a moment later
            assert not alive
            await until(lambda: client.pc.connectionState == "closed", "the goodbye")
        finally:
            await client.close()

    text = log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    mine = [line.get("message", "") for line in lines if line.get("session") == created["id"][:6]]
    assert any("session begins" in message for message in mine)
    assert any("session ends" in message for message in mine)
    passwords = re.findall(r"a=ice-pwd:(\S+)", offer["sdp"] + created["answer"]["sdp"])
    assert passwords
    for secret in (KEY, WRONG, join, created["id"], created["token"], created["viewer_token"], *passwords):
        assert secret not in text
    assert not [line for line in lines if "exception" in line]


def _speak_without_right(server: ServerProcess, path: str) -> None:
    url = f"ws{server.url.removeprefix('http')}{path}"
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(url, subprotocols=[Subprotocol("lipstream.v1"), Subprotocol(f"bearer.{WRONG}")]),
    ):
        pass
    assert refused.value.response.status_code == 403


def _speak(server: ServerProcess, path: str, token: str) -> None:
    url = f"ws{server.url.removeprefix('http')}{path}"
    with connect(url, additional_headers={"Authorization": f"Bearer {token}"}) as socket:
        socket.send(bytes(3200))
        socket.send('{"type": "end_of_speech"}')
        assert "credit" in str(socket.recv(timeout=20))
