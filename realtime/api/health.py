"""``lipstream health``: asks the server of this machine whether it serves, for a container's health check.

Options are those of the server. The server that holds the store tells its address there; without one the address of
the options is asked. Exit status 0 if it serves, 1 if not, 2 for wrong options.
"""

import http.client
import os
import ssl
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

from lipstream.avatar_cache.store_root import default_root
from lipstream.realtime.errors import LipstreamError
from lipstream.realtime.server.store_lock import local_url, served_url
from lipstream.realtime.settings import read_settings

TIMEOUT_S = 3.0


def main(arguments: Sequence[str]) -> int:
    """Ask once, and print one line; return the exit status."""
    try:
        settings = read_settings(arguments, os.environ, program="lipstream health")
    except LipstreamError as error:
        print(f"lipstream health: {error.message}", file=sys.stderr)
        return 2
    by_options = local_url(settings.host, settings.port, tls=settings.tls_cert is not None)
    url = served_url(settings.store or default_root()) or by_options
    fault = _fault_of(url)
    print(f"{url}: {fault or 'ok'}")
    return 1 if fault else 0


def _fault_of(url: str) -> str | None:
    """Return what is wrong with a server, in words; ``None`` if it serves."""
    address = urlsplit(url)
    if address.scheme == "https":
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE  # asks this machine, and sends no secret
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            address.netloc, timeout=TIMEOUT_S, context=trust
        )
    else:
        connection = http.client.HTTPConnection(address.netloc, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"no answer: {error}"
    finally:
        connection.close()
    return None if status == http.HTTPStatus.OK else f"status {status}"
