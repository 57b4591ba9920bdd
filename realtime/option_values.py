"""Values of options, read from the text of a flag or the environment, or from what TOML gives.

Each ``parse_…`` raises ``ValueError``, ``TypeError`` or ``KeyError`` for what it cannot read.
"""

import ipaddress
import json
import re
import tomllib
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lipstream.realtime.errors import SettingsError
from lipstream.realtime.wire.session_answers import IceServer

TURN_URL = re.compile(r"turns?:[^?:\s]+(:[0-9]{1,5})?(\?transport=(udp|tcp))?")
"""RFC 7065, without addresses of IPv6: browsers take those, aiortc does not."""

ORIGIN = re.compile(r"https?://[a-z0-9.\-\[\]:]+", re.IGNORECASE)

HOST = re.compile(r"(?!-)[a-z0-9_\-]{1,63}(\.[a-z0-9_\-]{1,63}){0,20}\.?", re.IGNORECASE)
"""A host name, or an address of IPv4."""

_FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}


def parse_flag(value: Any) -> bool:
    """Return whether an option is on: ``1``, ``true`` or ``yes``, not ``0``, ``false``, ``no`` or nothing."""
    return _FLAGS[value.lower()] if isinstance(value, str) else bool(value)


def parse_share(value: Any) -> float:
    """Return a number between 0 and 1."""
    share = float(value)
    if not 0 <= share <= 1:
        raise ValueError("expected a number between 0 and 1")
    return share


def parse_names(value: Any) -> tuple[str, ...]:
    """Return the names of a list, or of a text in which commas separate them."""
    names = value.split(",") if isinstance(value, str) else value
    return tuple(name.strip() for name in names if name.strip())


def parse_networks(value: Any) -> tuple[str, ...]:
    """Return host names, IP addresses and networks of a list, or of a text in which commas separate them."""
    names = parse_names(value)
    for name in names:
        if not HOST.fullmatch(name):
            ipaddress.ip_network(name, strict=False)
    return names


def parse_words(value: Any) -> tuple[str, ...]:
    """Return the words of a list, or of a text in which spaces separate them."""
    return tuple(value.split() if isinstance(value, str) else map(str, value))


def parse_ports(value: Any) -> tuple[int, int]:
    """Return the ends of ``FIRST-LAST``, or of a list of two numbers."""
    first, last = (int(part) for part in (value.split("-") if isinstance(value, str) else value))
    if not 1 <= first <= last <= 65535:
        raise ValueError("expected FIRST-LAST between 1 and 65535")
    return first, last


def parse_bounds(value: Any) -> tuple[int, int]:
    """Return the ends of ``LEAST-MOST``, or of a list of two numbers; one number is both."""
    parts = value.split("-") if isinstance(value, str) else value if isinstance(value, list) else [value]
    least, most = (int(part) for part in (parts * 2 if len(parts) == 1 else parts))
    if not 0 <= least <= most:
        raise ValueError("expected LEAST-MOST, neither below 0")
    return least, most


@dataclass(frozen=True, slots=True)
class Retention:
    """How long recordings are kept.

    Attributes:
        seconds: Age since the last write at which a recording is deleted, s; ``None`` for no limit.
        bytes: Size of all recordings together above which the oldest are deleted, bytes; ``None`` for no limit.
    """

    seconds: float | None = None
    bytes: int | None = None


_HOURS = {"h": 1, "d": 24}
_BYTES = {"MB": 10**6, "GB": 10**9, "TB": 10**12}
_AMOUNT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?(h|d|MB|GB|TB)")


def parse_retention(value: Any) -> Retention | None:
    """Return an age, a size or both from ``30d``, ``12h``, ``50GB`` and their like; ``None`` for nothing."""
    seconds, size = None, None
    for text in parse_names(value):
        match = _AMOUNT.fullmatch(text)
        if not match or not float(match[1]):
            raise ValueError(f"{text!r} is no age or size such as 30d or 50GB")
        if match[2] in _HOURS:
            seconds = float(match[1]) * _HOURS[match[2]] * 3600
        else:
            size = round(float(match[1]) * _BYTES[match[2]])
    return Retention(seconds, size) if seconds or size else None


def parse_ice_servers(value: Any) -> tuple[IceServer, ...]:
    """Return servers as ``RTCPeerConnection`` takes them, from a list or its JSON."""
    servers = json.loads(value) if isinstance(value, str) else value
    if not isinstance(servers, list) or not all(map(_is_ice_server, servers)):
        raise ValueError("expected a list of objects with 'urls', and perhaps 'username' and 'credential'")
    return tuple(servers)


def _is_ice_server(server: Any) -> bool:
    if not isinstance(server, dict) or not {"urls"} <= server.keys() <= {"urls", "username", "credential"}:
        return False
    urls, *others = (server["urls"], server.get("username", ""), server.get("credential", ""))
    several = urls if isinstance(urls, list) else [urls]
    return all(isinstance(text, str) for text in (*several, *others))


def read_file(path: Path, known: AbstractSet[str]) -> dict[str, Any]:
    """Return what a TOML file sets.

    Raises:
        SettingsError: If it cannot be read, is not TOML, or sets an option that is not known.
    """
    try:
        chosen = tomllib.loads(path.read_text())
    except OSError as error:
        raise SettingsError(f"cannot read the config file {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
    if unknown := chosen.keys() - known:
        raise SettingsError(f"{path}: unknown option {min(unknown)!r}")
    return chosen


def names_turn(server: IceServer) -> bool:
    """Return whether one of a server's URLs is that of a TURN server."""
    urls = server["urls"]
    return any(url.startswith("turn") for url in ([urls] if isinstance(urls, str) else urls))


def check_url(name: str, url: str, wanted: str) -> None:
    """Check the address of an API.

    Raises:
        SettingsError: If it is not a URL of HTTP, or it holds a key.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"{name} {parts.scheme!r} is none of {wanted}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise SettingsError(f"{name}: a URL holds no key here; put it into {name}_key_file")
