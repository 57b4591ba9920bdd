"""What does a request cost the event loop that also sends media?

Requests come one after the other, from this process; the processor time of the server is taken, without what it uses at
rest. A TLS handshake is taken by itself, the server's half of it. ``REQUESTS`` in the environment is the number of
requests of each kind (500).
"""

import asyncio
import datetime as dt
import os
import ssl
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from benchmarks.report import Report
from benchmarks.served import served

QUESTION = "What does a request cost the event loop that also sends media?"
_REST_S = 3.0
_HANDSHAKES = 100
PATHS = {
    "/healthz": "GET",
    "/": "GET",
    "/static/shared/call.js": "GET",
    "/api/avatars": "GET",
    "/api/sessions": "GET",
    "/metrics": "GET",
    "/api/sessions/none": "DELETE",
}


def run() -> Report:
    """Measure."""
    return asyncio.run(_measure(int(os.environ.get("REQUESTS", "500"))))


async def _measure(count: int) -> Report:
    report = Report(QUESTION, {"requests of each kind": count})
    async with served(predictor="FakePredictor") as server:
        process = psutil.Process(server.pid)
        before_s = _used_s(process)
        await asyncio.sleep(_REST_S)
        rest = (_used_s(process) - before_s) / _REST_S
        report.conditions["at rest, of a core"] = round(rest, 3)
        with httpx.Client(base_url=server.url, timeout=60) as client:
            for path, method in PATHS.items():

                def ask(path: str = path, method: str = method) -> None:
                    client.request(method, path)

                cost = await asyncio.to_thread(_cost_ms, process, rest, count, ask)
                report.rows.append({"what": f"{method} {path}", "ms": cost})

        def ask_anew() -> None:
            httpx.get(f"{server.url}/healthz", timeout=60)

        cost = await asyncio.to_thread(_cost_ms, process, rest, count, ask_anew)
        report.rows.append({"what": "GET /healthz, on a connection of its own", "ms": cost})
    report.rows.append({"what": "TLS handshake, the server's half", "ms": _handshake_ms()})
    return report


def _used_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _cost_ms(process: psutil.Process, rest: float, count: int, ask: Callable[[], None]) -> float:
    """Return the processor time that the server uses for a request, ms."""
    ask()
    used_s, began_s = _used_s(process), time.monotonic()
    for _ in range(count):
        ask()
    lasted_s = time.monotonic() - began_s
    return round(1000 * (_used_s(process) - used_s - rest * lasted_s) / count, 2)


def _handshake_ms() -> float:
    """Return the median processor time of the server's half of a TLS handshake, ms."""
    with tempfile.TemporaryDirectory() as folder:
        path = _certificate(Path(folder))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    taken = []
    for _ in range(_HANDSHAKES):
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = context.wrap_bio(to_server, to_client, server_side=True)
        client = trust.wrap_bio(to_client, to_server)
        spent_s, done = 0.0, [False, False]
        while not all(done):
            done[0] = done[0] or _step(client)
            began_s = time.thread_time()
            done[1] = done[1] or _step(server)
            spent_s += time.thread_time() - began_s
        taken.append(1000 * spent_s)
    return round(statistics.median(taken), 2)


def _step(end: ssl.SSLObject) -> bool:
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _certificate(folder: Path) -> Path:
    """Write a certificate and its key into one file; elliptic curves, as certificates of today have."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "both.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path
