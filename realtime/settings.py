"""The server's options: a flag, an environment variable and a key of the config file each."""

import argparse
import dataclasses
import ipaddress
import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lipstream.realtime.errors import SettingsError
from lipstream.realtime.lipsync.devices import DEVICE
from lipstream.realtime.picture.watermark import CORNERS, Corner, MarkStyle
from lipstream.realtime.rtc.turn_credentials import LONGEST_S
from lipstream.realtime.wire.session_answers import IceServer

_PREFIX = "LIPSTREAM_"
_TURN_URL = re.compile(r"turns?:[^?:\s]+(:[0-9]{1,5})?(\?transport=(udp|tcp))?")
"""RFC 7065, without addresses of IPv6: browsers take those, aiortc does not."""

_ORIGIN = re.compile(r"https?://[a-z0-9.\-\[\]:]+", re.IGNORECASE)


_CHOICES = {
    "precision": ("auto", "fp16", "bf16", "fp32", "int8"),
    "synthesizer_format": ("pcm", "wav"),
    "log_level": ("debug", "info", "warning", "error"),
    "log_format": ("text", "json"),
}


def _option(default: Any, help_text: str, **more: Any) -> Any:
    return field(default=default, metadata={"help": help_text, **more})


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. A flag wins over the environment, the environment over the file."""

    host: str = _option("127.0.0.1", "address to listen on")
    port: int = _option(8080, "port to listen on")
    avatar: str = _option("", "avatar of a session that names none (default: the first by id)")
    store: Path | None = _option(None, "folder of avatars and compiled networks", parse=Path)
    weights: Path | None = _option(None, "weights file (default: the built-in one)", parse=Path)
    window_offset: int | None = _option(
        None, "samples (16 kHz) from a frame's start to its mel window's; overrides the weights' own", parse=int
    )
    device: str = _option("auto", "auto, cpu, cuda (every card there is) or cuda:N")
    precision: str = _option("auto", "of the network's arithmetic: auto, fp16 (CUDA), bf16, fp32 or int8 (CPU)")
    max_sessions: int = _option(2 * (os.cpu_count() or 1), "most sessions at once; fewer where they cost more")
    picture_workers: int = _option(
        max(1, min(8, (os.cpu_count() or 1) // 2)), "processes that paint and encode; with 0 threads of the server do"
    )
    max_viewers: int = _option(50, "viewers of one session at once, beside the one who speaks")
    secret_file: Path | None = _option(
        None, "file with an API key a line; callers then need a key or a token", parse=Path
    )
    insecure: bool = _option(default=False, help_text="listen on a non-local address without a secret file")
    tls_cert: Path | None = _option(None, "certificate chain, PEM, to serve HTTPS", parse=Path)
    tls_key: Path | None = _option(None, "its private key, PEM", parse=Path)
    ice_servers: tuple[IceServer, ...] = _option((), "STUN and TURN servers as JSON, as RTCPeerConnection takes them")
    turn_urls: tuple[str, ...] = _option((), "turn: and turns: URLs of a TURN server that shares a secret")
    turn_secret_file: Path | None = _option(
        None, "file with that secret; signs credentials for each session", parse=Path
    )
    turn_ttl: int = _option(600, "seconds for which such a credential opens a relay, 600 at most")
    relay_only: bool = _option(default=False, help_text="let media pass through TURN alone, on both ends")
    udp_ports: tuple[int, int] | None = _option(None, "FIRST-LAST: UDP ports for media (default: any)")
    allowed_hosts: tuple[str, ...] = _option((), "further host names this server answers to, comma-separated")
    push: tuple[str, ...] = field(
        default=(),
        repr=False,
        metadata={
            "help": "addresses, separated by spaces, that a session of the server's own is streamed to while it "
            "serves: rtmp://, rtmps://, srt:// or a WHIP endpoint; better in the config file, as they hold keys",
            "parse": lambda value: tuple(value.split() if isinstance(value, str) else map(str, value)),
        },
    )
    mark_text: str = _option("AI", "what the mark on every picture says")
    mark_corner: Corner = _option("top-left", f"where it stands: {', '.join(CORNERS)}")
    mark_size: float = _option(0.05, "height of its letters, of the picture's short side")
    no_mark: bool = _option(default=False, help_text="no mark; docs/DISCLOSURE.md says what follows from that")
    allowed_origins: tuple[str, ...] = _option(
        (), "other sites whose pages may use the API, as https://app.example, comma-separated"
    )
    synthesizer: str = _option(
        "", "speaks text: espeak-ng, piper, or the URL of an OpenAI-compatible API, as https://api.example/v1"
    )
    synthesizer_voice: str = _option("", "its voice: a name, or Piper's .onnx file")
    synthesizer_model: str = _option("tts-1", "the API's model")
    synthesizer_format: str = _option("pcm", "what is asked of the API: pcm (24 kHz) or wav")
    synthesizer_key_file: Path | None = _option(None, "file with the API's key", parse=Path)
    transcriber: str = _option("", "URL of an OpenAI-compatible API that turns a visitor's speech into text")
    transcriber_model: str = _option("whisper-1", "its model")
    transcriber_language: str = _option("", "language of the visitors, as en; empty lets the API find out")
    transcriber_key_file: Path | None = _option(None, "file with its key", parse=Path)
    chat: str = _option("", "URL of an OpenAI-compatible API that answers them; goes with transcriber and synthesizer")
    chat_model: str = _option("default", "its model; many local servers take any name")
    chat_key_file: Path | None = _option(None, "file with its key", parse=Path)
    chat_prompt: str = _option("", "what it is told of its part (default: a friendly face that answers shortly)")
    local_microphone: str = _option(
        "",
        "microphone of this machine for a kiosk: number, name or part of it (lipstream devices), default",
    )
    local_speaker: str = _option("", "loudspeaker of this machine for it, likewise")
    virtual_camera: str = _option(
        "", "show a session of the server's own as a camera of this machine: a device, as /dev/video10, or default"
    )
    virtual_microphone: bool = _option(
        default=False, help_text="let it be heard as a microphone of this machine (Linux, PulseAudio or PipeWire)"
    )
    upload_mb: int = _option(200, "largest file that is taken for a new avatar, MiB")
    upload_seconds: float = _option(60.0, "longest clip that is taken for one")
    upload_pixels: int = _option(1920 * 1080, "most pixels in its picture")
    grace_s: float = _option(30.0, "seconds that live sessions have to end after SIGTERM")
    log_level: str = _option("info", "debug, info, warning or error")
    log_format: str = _option("text", "text, or json: an object a line")

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"port {self.port} is not between 0 and 65535")
        self._check_who_comes()
        if not DEVICE.fullmatch(self.device):
            raise SettingsError(f"device {self.device!r} is none of auto, cpu, cuda and cuda:N")
        for name, known in _CHOICES.items():
            if (chosen := getattr(self, name)) not in known:
                raise SettingsError(f"{name} {chosen!r} is none of {', '.join(known)}")
        if not self.on_loopback and not self.insecure and self.secret_file is None:
            raise SettingsError(
                f"host {self.host!r} can be reached by others, and nothing asks them for a secret: "
                "listen on 127.0.0.1, name a --secret-file, or say --insecure"
            )
        self._check_relays()
        self._check_engines()
        if self.udp_ports and self.udp_ports[1] - self.udp_ports[0] + 1 < self.max_sessions:
            raise SettingsError(
                f"udp_ports {self.udp_ports[0]}-{self.udp_ports[1]} are fewer than max_sessions {self.max_sessions}: "
                "each peer takes a port on each address"
            )
        _ = self.mark  # or it raises
        if (self.tls_cert is None) != (self.tls_key is None):
            raise SettingsError("tls_cert and tls_key go together")
        for path in filter(None, (self.tls_cert, self.tls_key)):
            if not path.is_file():
                raise SettingsError(f"there is no file {path}")

    def _check_relays(self) -> None:
        if bool(self.turn_urls) != (self.turn_secret_file is not None):
            raise SettingsError("turn_urls and turn_secret_file go together")
        for url in self.turn_urls:
            if not _TURN_URL.fullmatch(url):
                raise SettingsError(f"turn_urls: {url!r} is no TURN URL, such as turn:turn.example.org:3478")
        if not 1 <= self.turn_ttl <= LONGEST_S:
            raise SettingsError(f"turn_ttl {self.turn_ttl} is not between 1 and {LONGEST_S} seconds")
        if self.relay_only and not self.turn_urls and not any(map(_names_turn, self.ice_servers)):
            raise SettingsError("relay_only needs a TURN server: name one by turn_urls, or in ice_servers")

    def _check_engines(self) -> None:
        if self.synthesizer not in ("", "espeak-ng", "piper"):
            _check_url("synthesizer", self.synthesizer, "espeak-ng, piper or an http(s) URL")
        for name in ("transcriber", "chat"):
            if url := getattr(self, name):
                _check_url(name, url, "an http(s) URL")
        if bool(self.transcriber) != bool(self.chat) or (self.chat and not self.synthesizer):
            raise SettingsError("transcriber, chat and synthesizer go together: who answers must hear, think and speak")

    @property
    def mark(self) -> MarkStyle | None:
        """The mark on every picture."""
        return None if self.no_mark else MarkStyle(self.mark_text, self.mark_corner, self.mark_size)

    def _check_who_comes(self) -> None:
        if self.max_sessions < 1:
            raise SettingsError(f"max_sessions {self.max_sessions} is not at least 1")
        if self.picture_workers < 0:
            raise SettingsError(f"picture_workers {self.picture_workers} is less than 0")
        if self.max_viewers < 0:
            raise SettingsError(f"max_viewers {self.max_viewers} is less than 0")
        for origin in self.allowed_origins:
            if not _ORIGIN.fullmatch(origin):
                raise SettingsError(f"allowed_origins: {origin!r} is no origin such as https://app.example")

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def read_settings(arguments: Sequence[str], environment: Mapping[str, str], *, program: str = "lipstream") -> Settings:
    """Return the settings from flags, environment and the config file that ``--config`` names.

    Args:
        arguments: The flags.
        environment: Variables; those that begin with ``LIPSTREAM_`` are read.
        program: What the usage text calls the command.

    Raises:
        SettingsError: Naming the option that makes no sense.
        SystemExit: For ``--help`` and unknown flags, as argparse does.
    """
    flags = vars(_parser(program).parse_args(arguments))
    config = flags.pop("config") or environment.get(f"{_PREFIX}CONFIG")
    chosen = _from_file(Path(config)) if config else {}
    for option in dataclasses.fields(Settings):
        if text := environment.get(_PREFIX + option.name.upper()):
            chosen[option.name] = text
        if flags[option.name] is not None:
            chosen[option.name] = flags[option.name]
    parsed = {f.name: _parse(f, chosen[f.name]) for f in dataclasses.fields(Settings) if f.name in chosen}
    return Settings(**parsed)


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description="Live speech in, a face that says it out.")
    parser.add_argument("--config", metavar="FILE", help="TOML file with the same options, names with underscores")
    for option in dataclasses.fields(Settings):
        flag = "--" + option.name.replace("_", "-")
        shown = "" if option.default in (None, "", ()) else f" (default: {option.default})"
        if isinstance(option.default, bool):
            parser.add_argument(flag, action="store_true", default=None, help=option.metadata["help"])
        else:
            parser.add_argument(flag, metavar="X", help=option.metadata["help"] + shown)
    return parser


def _from_file(path: Path) -> dict[str, Any]:
    try:
        chosen = tomllib.loads(path.read_text())
    except OSError as error:
        raise SettingsError(f"cannot read the config file {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
    unknown = set(chosen) - {option.name for option in dataclasses.fields(Settings)}
    if unknown:
        raise SettingsError(f"{path}: unknown option {min(unknown)!r}")
    return chosen


def _parse(option: "dataclasses.Field[Any]", value: Any) -> Any:
    """Return an option's value from a string of the command line, or from what TOML gave."""
    try:
        if option.name == "ice_servers":
            return _ice_servers(json.loads(value) if isinstance(value, str) else value)
        if option.name == "udp_ports":
            return _port_range(value)
        if option.name in ("allowed_hosts", "allowed_origins", "turn_urls"):
            names = value.split(",") if isinstance(value, str) else value
            return tuple(name.strip() for name in names if name.strip())
        if isinstance(option.default, bool):
            if isinstance(value, str):
                return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}[
                    value.lower()
                ]
            return bool(value)
        parse: Callable[[Any], Any] = option.metadata.get("parse") or type(option.default)
        return parse(value)
    except (ValueError, TypeError, KeyError) as error:
        raise SettingsError(f"option {option.name} cannot be {value!r}: {error}") from error


def _ice_servers(servers: Any) -> tuple[IceServer, ...]:
    known = {"urls", "username", "credential"}
    if not isinstance(servers, list) or not all(
        isinstance(s, dict) and "urls" in s and known >= s.keys() for s in servers
    ):
        raise ValueError("expected a list of objects with 'urls', and perhaps 'username' and 'credential'")
    return tuple(servers)


def _names_turn(server: IceServer) -> bool:
    urls = server["urls"]
    return any(str(url).startswith("turn") for url in ([urls] if isinstance(urls, str) else urls))


def _check_url(name: str, url: str, wanted: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"{name} {parts.scheme!r} is none of {wanted}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise SettingsError(f"{name}: a URL holds no key here; put it into {name}_key_file")


def _port_range(value: Any) -> tuple[int, int]:
    first, last = (int(part) for part in (value.split("-") if isinstance(value, str) else value))
    if not 1 <= first <= last <= 65535:
        raise ValueError("expected FIRST-LAST between 1 and 65535")
    return first, last
