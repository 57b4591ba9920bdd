"""The snippets of docs/DEPLOY.md, run unchanged: nginx, systemd, coturn's addresses."""

import datetime as dt
import json
import os
import re
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets import Origin, Subprotocol
from websockets.sync.client import connect

from lipstream.realtime.settings import read_settings
from tests.network.coturn import DENIED
from tests.realtime.api.whip_whep_routes.musts import must
from tests.server_process import ROOT, ServerProcess, free_port

pytestmark = pytest.mark.timeout(300)

DOCUMENT = (ROOT / "docs" / "DEPLOY.md").read_text()
KEY = "a key for the tests of deployment"


def snippet(kind: str) -> str:
    """Return the document's block of a kind."""
    (found,) = re.findall(rf"```{kind}\n(.*?)```", DOCUMENT, re.DOTALL)
    return str(found)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for ``localhost``, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    made, key = self_signed()
    (folder / "cert.pem").write_bytes(made)
    (folder / "key.pem").write_bytes(key)
    return folder / "cert.pem", folder / "key.pem"


def self_signed() -> tuple[bytes, bytes]:
    """Return a new certificate for ``localhost`` and its key, both as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), private


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "keys").write_text(f"{KEY}\n")
    return tmp_path / "keys"


@pytest.fixture
def behind_nginx(
    start_server: Callable[..., ServerProcess], secret: Path, certificate: tuple[Path, Path], tmp_path: Path
) -> Iterator[str]:
    """The address of an nginx in front of a server, configured by the document."""
    server, port = start_server("--secret-file", str(secret)), free_port()
    config = snippet("nginx")
    for written, here in {
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "server_name face.example.org;": "server_name localhost;",
        "/etc/ssl/face/fullchain.pem": str(certificate[0]),
        "/etc/ssl/face/privkey.pem": str(certificate[1]),
        "http://127.0.0.1:8080": server.url,
    }.items():
        assert written in config
        config = config.replace(written, here)
    paths = "".join(
        f"{name}_temp_path {tmp_path}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = f"pid {tmp_path}/nginx.pid;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{config}}}\n"
    (tmp_path / "nginx.conf").write_text(whole)
    command = ["nginx", "-e", str(tmp_path / "error.log"), "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    nginx = subprocess.Popen([*command, "-g", "daemon off;"], stderr=subprocess.PIPE)
    url, trust = f"https://localhost:{port}", ssl.create_default_context(cafile=certificate[0])
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"{url}/readyz", context=trust, timeout=5).close()
            break
        except OSError:
            assert nginx.poll() is None, nginx.stderr.read().decode() if nginx.stderr else ""
            assert time.monotonic() < deadline
            time.sleep(0.1)
    yield url
    nginx.terminate()
    nginx.communicate(timeout=20)


@pytest.mark.needs("nginx")
def test_behind_nginx_calls_and_programs_come_through(behind_nginx: str, certificate: tuple[Path, Path]) -> None:
    doctor = subprocess.run(
        [sys.executable, "-m", "lipstream.realtime.doctor", behind_nginx, "--ca", str(certificate[0])],
        cwd=ROOT, env=os.environ | {"LIPSTREAM_TOKEN": KEY}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert "media by UDP: Sound and picture come through" in doctor.stdout
    assert "microphone: Browsers may open" in doctor.stdout
    assert KEY not in doctor.stdout

    trust = ssl.create_default_context(cafile=certificate[0])
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", "Origin": behind_nginx}
    request = urllib.request.Request(f"{behind_nginx}/api/sessions", b"{}", headers)
    with urllib.request.urlopen(request, context=trust, timeout=10) as answer:
        session = json.load(answer)
    address = behind_nginx.replace("https", "wss") + session["urls"]["audio"] + "?rate=16000"
    subprotocols = [Subprotocol("lipstream.v1"), Subprotocol(f"bearer.{session['token']}")]
    with connect(address, ssl=trust, subprotocols=subprotocols, origin=Origin(behind_nginx)) as program:
        program.send(json.dumps({"type": "interrupt"}))
        assert "type" in json.loads(program.recv(timeout=10))


@must("5 https")
def test_without_a_proxy_the_server_speaks_https_itself(
    server_store: Path, secret: Path, certificate: tuple[Path, Path]
) -> None:
    port = free_port()
    cert, key = map(str, certificate)
    command = ["run_server.py", "--port", str(port), "--secret-file", str(secret), "--tls-cert", cert, "--tls-key", key]
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env=os.environ | {"LIPSTREAM_STORE": str(server_store)}
    )
    trust = ssl.create_default_context(cafile=certificate[0])
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"https://localhost:{port}/healthz", context=trust, timeout=5) as answer:
                    assert answer.status == 200
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)
        said = subprocess.run(
            [sys.executable, "-m", "lipstream.realtime.doctor", f"https://localhost:{port}"],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        ).stdout  # fmt: skip
        assert "Its certificate is not one that this machine trusts" in said
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.needs("systemd")
def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    text = (ROOT / "deploy" / "lipstream.service").read_text()
    unit = tmp_path / "lipstream.service"
    unit.write_text(text.replace("/opt/lipstream/.venv/bin/python", sys.executable))
    checked = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False, timeout=60
    )
    assert checked.returncode == 0, checked.stderr
    complaints = [line for line in checked.stderr.splitlines() if "lipstream" in line]
    assert not complaints
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(unit)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    for line in ("OOMPolicy=continue", "RestartPreventExitStatus=2", "Type=notify", "WatchdogSec=10"):
        assert line in text.splitlines()
    level = float(re.findall(r"exposure level for \S+: ([0-9.]+)", rated.stdout)[0])
    assert level <= 2.0


def test_the_documents_options_and_addresses_are_those_that_are_tested(tmp_path: Path) -> None:
    config = tmp_path / "lipstream.toml"
    config.write_text(snippet("toml"))
    settings = read_settings(["--config", str(config), "--secret-file", "keys"], {})
    assert settings.udp_ports == (50000, 50199)
    denied = re.findall(r"^denied-peer-ip=(\S+)$", snippet("coturn"), re.MULTILINE)
    assert set(DENIED) <= set(denied)
    assert "use-auth-secret" in snippet("coturn")
