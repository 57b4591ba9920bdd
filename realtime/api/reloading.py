"""Reads API keys and certificates again while the server runs. What cannot be read stays as it was."""

import contextlib
import logging
import os
import ssl
import stat
from pathlib import Path
from typing import Protocol

from lipstream.realtime.errors import SettingsError
from lipstream.realtime.settings import Settings

logger = logging.getLogger("lipstream")


class _Reloads(Protocol):
    """Whatever uses the keys of a secret file."""

    def reload(self, secret_file: Path) -> None: ...


def reload_secrets(settings: Settings, authorization: _Reloads, live: ssl.SSLContext | None) -> None:
    """Take the files that the settings name as they are now, and log the result; one failure does not stop the other.

    Sessions and connections go on. Join tokens end with the key that signed them.

    Args:
        authorization: What uses the API keys.
        live: TLS context of the listening sockets; ``None`` for plain HTTP.
    """
    warn_of_open_secrets(settings)
    if settings.secret_file:
        try:
            authorization.reload(settings.secret_file)
            logger.info("reload: the API keys of %s are in use", settings.secret_file)
        except SettingsError as error:
            logger.error("reload: the former API keys stay in use: %s", error.message)  # noqa: TRY400 (no fault of ours)
    if live and settings.tls_cert:
        try:
            # a scratch context first: a certificate without its key must not reach the live one
            for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), live):
                context.load_cert_chain(settings.tls_cert, settings.tls_key, password=_no_password)
            logger.info("reload: the certificate %s is in use", settings.tls_cert)
        except (OSError, ValueError) as error:
            logger.error("reload: the former certificate stays in use: %s", error)  # noqa: TRY400 (no fault of ours)


def warn_of_open_secrets(settings: Settings) -> None:
    """Log a warning for each file with a secret that every user of this machine may read or write."""
    secrets = (
        *(settings.secret_file, settings.cluster_secret_file, settings.tls_key, settings.turn_secret_file),
        *(settings.synthesizer_key_file, settings.transcriber_key_file, settings.chat_key_file),
    )
    for path in filter(None, secrets):
        with contextlib.suppress(OSError):  # whoever reads it says so
            if os.name == "posix" and path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
                logger.warning("every user of this machine can read %s: take that away by chmod o= %s", path, path)


def _no_password() -> str:
    """Refuse a key with a password; OpenSSL would otherwise ask for it on the terminal and stop the server."""
    raise ValueError("the certificate's key has a password")
