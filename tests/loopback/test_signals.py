"""The server as a service: its manager's messages, SIGHUP, the lock on its store, its health."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.server_process import ROOT, free_port
from tests.test_deploy import certificate, self_signed

__all__ = ["certificate"]

FORMER, NEW = "the former key of the operator", "the new key of the operator"
WAIT_S = 120.0

pytestmark = pytest.mark.timeout(300)


def wait_until(holds: Callable[[], object], what: str) -> None:
    end_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < end_s, what
        time.sleep(0.05)


def test_a_service_reports_reloads_locks_and_ends(
    server_store: Path, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    port, log, keys = free_port(), tmp_path / "log", tmp_path / "keys"
    keys.write_text(FORMER)
    keys.chmod(0o644)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(certificate[0].read_bytes())
    key.write_bytes(certificate[1].read_bytes())
    key.chmod(0o600)
    environment = os.environ | {"LIPSTREAM_STORE": str(server_store)}
    command = [sys.executable, str(ROOT / "run_server.py"), "--port", str(port)]
    secrets = ["--secret-file", str(keys), "--tls-cert", str(cert), "--tls-key", str(key)]
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(WAIT_S)
    watched = environment | {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
    with log.open("wb") as errors:
        process = subprocess.Popen([*command, *secrets], cwd=ROOT, env=watched, stderr=errors)

    def status_with(token: str) -> int:
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        request = urllib.request.Request(
            f"https://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {token}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=20, context=trust) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def said(text: str) -> bool:
        return text in log.read_text()

    try:
        assert manager.recv(100) == b"READY=1"
        assert manager.recv(100) == b"WATCHDOG=1"
        assert said(f"every user of this machine can read {keys}")
        assert not said(f"read {key}")
        assert (status_with(FORMER), status_with(NEW)) == (200, 401)

        second = subprocess.run(
            [*command, "--port", "0"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert second.returncode == 1
        assert f"another server, process {process.pid}, uses the store {server_store}" in second.stderr
        assert "Traceback" not in second.stderr
        probe = [sys.executable, "-m", "lipstream", "health"]
        asked = subprocess.run(
            probe, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert (asked.returncode, asked.stdout) == (0, f"https://127.0.0.1:{port}: ok\n")

        served = ssl.get_server_certificate(("127.0.0.1", port))
        made, private = self_signed()
        keys.write_text(NEW)
        cert.write_bytes(made)  # without its key: refused, and the keys are taken all the same
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: said("the former certificate stays in use"), "the refusal of half a certificate")
        assert (status_with(FORMER), status_with(NEW)) == (401, 200)
        assert ssl.get_server_certificate(("127.0.0.1", port)) == served

        keys.write_text("short")
        key.write_bytes(private)
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: said(f"the certificate {cert} is in use"), "the new certificate")
        assert said("the former API keys stay in use")
        assert (status_with(FORMER), status_with(NEW)) == (401, 200)
        assert ssl.get_server_certificate(("127.0.0.1", port)).encode() == made

        process.send_signal(signal.SIGTERM)
        message = b""
        while message != b"STOPPING=1":
            message = manager.recv(100)
        assert process.wait(60) == 0
        asked = subprocess.run(
            probe, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert asked.returncode == 1
        assert "no answer" in asked.stdout
    finally:
        process.kill()
        process.wait(30)
        manager.close()
