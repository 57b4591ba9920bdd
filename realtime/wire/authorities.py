"""The authorities whose certificates the server trusts when it calls other servers."""

import functools
import ssl

import httpx


@functools.cache
def authorities() -> ssl.SSLContext:
    """Return the context for HTTPS, made once.

    It takes some 30 ms of processor time, in which the event loop would send no media. The variables ``SSL_CERT_FILE``
    and ``SSL_CERT_DIR`` are respected.
    """
    return httpx.create_ssl_context()
