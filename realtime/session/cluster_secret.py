"""The secret that the servers of a cluster share, and what is derived from it: no token is kept in a table.

Ingresses show a worker what only the secret gives. The tokens of a session are HMAC-SHA256 (RFC 2104) of its name, so
a session that is begun again on another worker keeps them, and every ingress can check them.
"""

import base64
import hmac
from pathlib import Path

from lipstream.realtime.errors import SettingsError

SHORTEST_SECRET = 32
"""Characters; `openssl rand -hex 32` gives 64."""


class ClusterSecret:
    """The secret of one cluster.

    Args:
        text: At least :data:`SHORTEST_SECRET` characters.

    Raises:
        SettingsError: If the text is shorter.
    """

    def __init__(self, text: str) -> None:
        if len(text) < SHORTEST_SECRET:
            raise SettingsError(f"the cluster's secret has less than {SHORTEST_SECRET} characters")
        self._key = text.encode()

    @classmethod
    def read(cls, path: Path) -> "ClusterSecret":
        """Read the secret from a file, without the white space around it.

        Raises:
            SettingsError: If the file cannot be read, or the secret is short.
        """
        try:
            return cls(path.read_text().strip())
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"the cluster's secret file {path} cannot be read: {error}") from error

    @property
    def for_client(self) -> str:
        """What an ingress shows a worker with the request of a client."""
        return self._derive("ingress for a client")

    @property
    def for_itself(self) -> str:
        """What an ingress or a worker shows a worker with a request of its own, which opens more."""
        return self._derive("ingress for itself")

    def owner_token(self, name: str) -> str:
        """Return the token of the session with a name."""
        return self._derive(f"owner {name}")

    def viewer_token(self, name: str) -> str:
        """Return the viewer token of the session with a name."""
        return self._derive(f"viewer {name}")

    def opens(self, token: str, *good: str) -> bool:
        """Return whether a token is one of the good ones; all are compared, so that the time tells nothing."""
        return any([hmac.compare_digest(token.encode(), one.encode()) for one in good])  # noqa: C419 (all of them)

    def _derive(self, purpose: str) -> str:
        digest = hmac.digest(self._key, f"lipstream cluster 1 {purpose}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
