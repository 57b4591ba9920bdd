"""A real TURN server, set up as docs/DEPLOY.md says, in a namespace of a link."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.network.link import SERVER_ADDRESS, Namespace

SECRET = "shared by both servers in this test"
PORT = 3478
USER_QUOTA = 4
# The ranges of docs/DEPLOY.md without the relay's own, since its address is private in these tests.
DENIED = (
    "10.0.0.0-10.255.255.255",
    "172.16.0.0-172.31.255.255",
    "192.168.0.0-192.168.255.255",
    "127.0.0.0-127.255.255.255",
)


@contextmanager
def coturn(
    folder: Path, namespace: Namespace, *, address: str = SERVER_ADDRESS, allowed: tuple[str, ...] = ()
) -> Iterator[str]:
    """Run coturn at an address of a namespace and yield its URL.

    Args:
        folder: Folder for coturn's files.
        namespace: Network namespace to run it in.
        address: IP address to listen on and to relay from.
        allowed: Private addresses that it may relay to.
    """
    log = folder / "turn.log"
    options = [f"--denied-peer-ip={denied}" for denied in DENIED]
    options += [f"--allowed-peer-ip={one}" for one in allowed]
    command = [
        "turnserver", "-n", f"--listening-ip={address}", f"--relay-ip={address}", f"--listening-port={PORT}",
        "--realm=test", "--use-auth-secret", f"--static-auth-secret={SECRET}", f"--user-quota={USER_QUOTA}",
        "--no-cli", "--no-tls", "--no-dtls", "--no-multicast-peers", "--min-port=60000", "--max-port=60100",
        f"--log-file={log}", "--simple-log", "--verbose",
        f"--pidfile={folder / 'turn.pid'}", f"--db={folder / 'turn.db'}",
        *options,
    ]  # fmt: skip
    with namespace.entered():
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
    try:
        deadline = time.monotonic() + 60
        while not log.exists() or "UDP listener opened" not in log.read_text():
            assert process.poll() is None, "turnserver ended"
            assert time.monotonic() < deadline, log.read_text() if log.exists() else "turnserver does not start"
            time.sleep(0.05)
        yield f"turn:{address}:{PORT}"
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()  # it sometimes waits for a thread of its own
            process.wait(20)
