"""The server's options: a flag, an environment variable and a key of the config file each."""

import argparse
import dataclasses
import ipaddress
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lipstream.avatar_cache.motion_graph import USUAL_LIVELINESS, MotionsMode
from lipstream.own_code import CODE_FORM, parse_code_name
from lipstream.realtime.errors import SettingsError
from lipstream.realtime.lipsync.articulation import DEFAULT_ARTICULATION
from lipstream.realtime.lipsync.devices import DEVICE
from lipstream.realtime.lipsync.metadata import (
    ARTICULATION_HELP,
    MODEL_FORM,
    MODEL_HELP,
    PADS_FORM,
    PADS_HELP,
    Pads,
    parse_articulation,
    parse_pads,
)
from lipstream.realtime.option_values import (
    ORIGIN,
    TURN_URL,
    Retention,
    check_url,
    names_turn,
    parse_bounds,
    parse_flag,
    parse_ice_servers,
    parse_names,
    parse_networks,
    parse_ports,
    parse_retention,
    parse_share,
    parse_words,
    read_file,
)
from lipstream.realtime.picture.mark_style import CORNERS, Corner, MarkStyle
from lipstream.realtime.rtc.peer_networks import PeerNetworks
from lipstream.realtime.rtc.turn_credentials import LONGEST_S
from lipstream.realtime.wire.session_answers import IceServer

LOOPBACK = ("127.0.0.0/8", "::1/128")

_PREFIX = "LIPSTREAM_"
_LEAST_CHARACTERS = 5_000
"""Length of one text: fewer an hour would refuse a single one for ever."""


def _option(
    default: Any,
    help_text: str,
    *,
    parse: Callable[[Any], Any] | None = None,
    values: str | tuple[str, ...] = "",
    computed: str = "",
    secret: bool = False,
) -> Any:
    """Return the field of an option.

    Args:
        parse: Reads a value; default: the type of ``default``.
        values: Words that are allowed, which are checked; or a sentence about values, for docs/SETTINGS.md alone; empty
            for neither.
        computed: Sentence about a default that depends on the machine, for docs/SETTINGS.md; empty for a fixed default.
        secret: Whether the value stays out of logs; default false.
    """
    metadata = {"help": help_text, "values": values, "computed": computed}
    parse = parse or (parse_flag if isinstance(default, bool) else type(default))
    return field(default=default, repr=not secret, metadata={**metadata, "parse": parse})


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. A flag wins over the environment, the environment over the file."""

    host: str = _option("127.0.0.1", "address to listen on")
    port: int = _option(8080, "port to listen on; 0 takes a free one", values="0 to 65535")
    no_browser: bool = _option(default=False, help_text="open no browser at the start where there is a display")
    avatar: str = _option("", "avatar of a session that names none (default: the first by id)")
    store: Path | None = _option(
        None, "folder of avatars and 8-bit networks", parse=Path, computed="`$XDG_DATA_HOME/lipstream`"
    )
    weights: Path | None = _option(None, "weights file (default: the built-in one)", parse=Path)
    model: str = _option("", f"{MODEL_HELP} (docs/LIP_MODELS.md)", parse=parse_code_name, values=MODEL_FORM)
    window_offset: int | None = _option(
        None, "samples (16 kHz) from a frame's start to its mel window's; overrides the weights' own", parse=int
    )
    pads: Pads | None = _option(None, PADS_HELP, parse=parse_pads, values=PADS_FORM)
    articulation: float | None = _option(
        None,
        f"{ARTICULATION_HELP}; for Lipstream's own weights alone",
        parse=parse_articulation,
        values="0.5 to 1.5",
        computed=f"{DEFAULT_ARTICULATION}",
    )
    motions: MotionsMode = _option(
        "auto",
        "whether an avatar of several clips listens, speaks and thinks in clips of their own (auto), shows a motion "
        "only when it is asked to (asked), or shows its first clip alone (off)",
        values=("auto", "asked", "off"),
    )
    script: Path | None = _option(
        None,
        "text file, or folder of .txt files, that the server's standing session reads aloud line by line, again and "
        "again (docs/LIVE_STREAM.md)",
        parse=Path,
    )
    liveliness: float = _option(
        USUAL_LIVELINESS,
        "how much of the stress in speech the head of a photograph with motions shows, 0 (none) to 1",
        parse=parse_share,
        values="0 to 1",
    )
    device: str = _option(
        "auto", "what computes: auto, cpu, cuda (every card there is) or cuda:N", values="auto, cpu, cuda or cuda:N"
    )
    precision: str = _option(
        "auto",
        "arithmetic of the network: auto, fp16 (CUDA), bf16, fp32 or int8 (CPU)",
        values=("auto", "fp16", "bf16", "fp32", "int8"),
    )
    max_sessions: int = _option(
        2 * (os.cpu_count() or 1),
        "most sessions at once; fewer where they cost more",
        values="at least 1",
        computed="two for each processor",
    )
    picture_workers: int = _option(
        max(1, min(8, (os.cpu_count() or 1) // 2)),
        "processes that paint and encode; with 0, threads of the server do",
        values="at least 0",
        computed="one for two processors, 1 to 8",
    )
    max_viewers: int = _option(50, "viewers of one session at once, beside the one who speaks", values="at least 0")
    secret_file: Path | None = _option(
        None, "file with an API key a line; callers then need a key or a token", parse=Path
    )
    cluster_secret_file: Path | None = _option(
        None, "file with the secret that the servers of a cluster share; makes this server a worker of it", parse=Path
    )
    workers: str = _option(
        "",
        "workers to place sessions on instead of holding any: their addresses, comma-separated, or a file with one a "
        "line, which is read again when it changes",
    )
    cluster: str = _option(
        "",
        "Ray cluster whose machines get a worker and an ingress each: HOST:PORT of its head, or auto for the one that "
        "this machine belongs to",
        values="auto or HOST:PORT",
    )
    cluster_workers: tuple[int, int] | None = _option(
        None,
        "LEAST-MOST: workers on the Ray cluster, by the sessions that are free; 0 drains all of them and ends",
        parse=parse_bounds,
        values="0, a number, or two with a hyphen between",
        computed="one for each machine, or for each of its cards",
    )
    insecure: bool = _option(default=False, help_text="listen on a non-local address without a secret file")
    tls_cert: Path | None = _option(None, "file with a certificate chain (PEM), to serve HTTPS", parse=Path)
    tls_key: Path | None = _option(None, "file with the certificate's private key (PEM)", parse=Path)
    ice_servers: tuple[IceServer, ...] = _option(
        (), "STUN and TURN servers as JSON, as RTCPeerConnection takes them", parse=parse_ice_servers
    )
    turn_urls: tuple[str, ...] = _option(
        (), "URLs of a TURN server that shares a secret, comma-separated", parse=parse_names, values="turn: or turns:"
    )
    turn_secret_file: Path | None = _option(
        None, "file with the TURN server's secret, which signs credentials for each session", parse=Path
    )
    turn_ttl: int = _option(600, "seconds for which such a credential opens a relay", values=f"1 to {LONGEST_S}")
    relay_only: bool = _option(default=False, help_text="let media pass through TURN alone, on both ends")
    udp_ports: tuple[int, int] | None = _option(
        None,
        "FIRST-LAST: UDP ports for media (default: any)",
        parse=parse_ports,
        values="1 to 65535, at least max_sessions of them",
    )
    peer_networks: PeerNetworks = _option(
        PeerNetworks(),
        "addresses that clients' candidates may name, as public,10.0.0.0/8, comma-separated (default: all but "
        "link-local, metadata and other special ones)",
        parse=lambda value: PeerNetworks.of(parse_names(value)),
        values="public, addresses, networks (CIDR)",
    )
    allowed_hosts: tuple[str, ...] = _option(
        (), "further host names this server answers to, comma-separated", parse=parse_names
    )
    push: tuple[str, ...] = _option(
        (),
        "addresses, separated by spaces, that a session of the server's own is streamed to while it serves: rtmp://, "
        "rtmps://, srt:// or a WHIP endpoint; better in the config file, as they hold keys",
        parse=parse_words,
        secret=True,
    )
    push_to: tuple[str, ...] | None = _option(
        None,
        "hosts, addresses and networks (CIDR), comma-separated, that requests may stream to beside public addresses",
        parse=parse_networks,
        computed="loopback if only this machine can reach the server and no secret is asked for, otherwise none",
    )
    mark_text: str = _option("AI", "what the mark on every picture says")
    mark_corner: Corner = _option("top-left", f"corner of the mark: {', '.join(CORNERS)}")
    mark_size: float = _option(0.05, "height of the mark's letters, as a share of the picture's short side")
    no_mark: bool = _option(default=False, help_text="no mark; docs/DISCLOSURE.md says what follows from that")
    allowed_origins: tuple[str, ...] = _option(
        (),
        "other sites whose pages may use the API, as https://app.example, comma-separated",
        parse=parse_names,
        values="http:// or https://, without a path",
    )
    frame_ancestors: tuple[str, ...] = _option(
        (),
        "sites that may show these pages in a frame, as https://www.example, comma-separated",
        parse=parse_names,
        values="http:// or https://, without a path",
    )
    kiosk_background: Path | None = _option(
        None,
        "picture behind the face of a kiosk that asks for it by background=picture",
        parse=Path,
        values="a JPEG, PNG or WebP file",
    )
    synthesizer: str = _option(
        "", "speaks text: espeak-ng, piper, or the URL of an OpenAI-compatible API, as https://api.example/v1"
    )
    synthesizer_voice: str = _option("", "voice of the synthesizer: a name, or Piper's .onnx file")
    synthesizer_model: str = _option("tts-1", "model of the synthesizer's API")
    synthesizer_format: str = _option(
        "pcm", "what is asked of the synthesizer's API: pcm (24 kHz) or wav", values=("pcm", "wav")
    )
    synthesizer_prebuffer_ms: int = _option(
        0,
        "sound of a sentence that must be there before it is heard, ms; more is held back by itself once the engine "
        "has shown that it is slower than real time",
        values="0 to 10000",
    )
    synthesizer_key_file: Path | None = _option(None, "file with the key of the synthesizer's API", parse=Path)
    transcriber: str = _option("", "URL of an OpenAI-compatible API that turns a visitor's speech into text")
    transcriber_model: str = _option("whisper-1", "model of the transcriber")
    transcriber_language: str = _option("", "language of the visitors, as en; empty lets the API find out")
    transcriber_key_file: Path | None = _option(None, "file with the key of the transcriber", parse=Path)
    chat: str = _option(
        "", "URL of an OpenAI-compatible API that answers visitors; goes with transcriber and synthesizer"
    )
    chat_model: str = _option("default", "model of the chat; many local servers take any name")
    chat_key_file: Path | None = _option(None, "file with the key of the chat", parse=Path)
    realtime: str = _option(
        "",
        "URL of an API with OpenAI's Realtime protocol that hears and answers visitors, in place of transcriber, chat "
        "and synthesizer",
    )
    realtime_model: str = _option("gpt-realtime", "model of the realtime API")
    realtime_voice: str = _option("", "voice of the realtime API; empty for the API's choice")
    realtime_key_file: Path | None = _option(None, "file with the key of the realtime API", parse=Path)
    longest_turn_s: float = _option(
        60.0, "length at which a visitor's turn ends although they speak on, seconds", values="1 to 300"
    )
    end_of_turn: str = _option(
        "",
        f"end-of-turn detection of your own, {CODE_FORM}: code that this machine then runs (docs/KIOSK.md)",
        parse=parse_code_name,
        values=CODE_FORM,
    )
    chat_prompt: str = _option(
        "", "what the chat or realtime model is told of its part (default: a friendly face that answers shortly)"
    )
    local_microphone: str = _option(
        "", "microphone of this machine for a kiosk: number, name or part of it (lipstream devices), or default"
    )
    local_speaker: str = _option(
        "", "loudspeaker of this machine for a kiosk: number, name or part of it (lipstream devices), or default"
    )
    virtual_camera: str = _option(
        "", "show a session of the server's own as a camera of this machine: a device, as /dev/video10, or default"
    )
    virtual_microphone: bool = _option(
        default=False,
        help_text="let that session be heard as a microphone of this machine (Linux, PulseAudio or PipeWire)",
    )
    upload_mb: int = _option(200, "largest file that is taken for a new avatar, MiB")
    upload_seconds: float = _option(60.0, "longest clip that is taken for a new avatar, seconds")
    upload_pixels: int = _option(1920 * 1080, "most pixels in a picture of an upload")
    max_session_minutes: float = _option(
        0.0, "longest session, minutes; 0 for no limit; a join token may set a shorter one", values="at least 0"
    )
    idle_minutes: float = _option(
        0.0, "minutes without speech after which a session ends; 0 for no limit", values="at least 0"
    )
    guest_turns_per_hour: int = _option(
        240, "answers that the session of a guest may have in an hour; 0 for no limit", values="at least 0"
    )
    guest_characters_per_hour: int = _option(
        100_000,
        "characters that the session of a guest may have spoken in an hour, of texts and answers; 0 for no limit",
        values="at least 0",
    )
    record_minutes: float = _option(240.0, "longest recording, minutes; it then ends by itself", values="above 0")
    recordings_keep: Retention | None = _option(
        None,
        "how long recordings are kept, as 30d, 50GB or both, comma-separated: the oldest are deleted "
        "(default: until somebody deletes them)",
        parse=parse_retention,
        values="hours (h), days (d), MB, GB or TB",
    )
    grace_s: float = _option(30.0, "seconds that live sessions have to end after SIGTERM")
    log_level: str = _option("info", "debug, info, warning or error", values=("debug", "info", "warning", "error"))
    log_format: str = _option("text", "text, or json: an object a line", values=("text", "json"))

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"port {self.port} is not between 0 and 65535")
        self._check_who_comes()
        if not DEVICE.fullmatch(self.device):
            raise SettingsError(f"device {self.device!r} is none of auto, cpu, cuda and cuda:N")
        self._check_words()
        is_worker = self.cluster_secret_file is not None and not self.workers and not self.cluster
        if not self.on_loopback and not self.insecure and self.secret_file is None and not is_worker:
            raise SettingsError(
                f"host {self.host!r} can be reached by others, and nothing asks them for a secret: "
                "listen on 127.0.0.1, name a --secret-file, or say --insecure"
            )
        self._check_cluster()
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
        for path in filter(None, (self.tls_cert, self.tls_key, self.kiosk_background)):
            if not path.is_file():
                raise SettingsError(f"there is no file {path}")

    def _check_cluster(self) -> None:
        for name in ("workers", "cluster"):
            if getattr(self, name) and self.cluster_secret_file is None:
                raise SettingsError(f"{name} needs a cluster_secret_file: workers answer to who shares their secret")
        if self.workers and self.cluster:
            raise SettingsError("workers and cluster exclude each other: a cluster knows its workers")

    def _check_words(self) -> None:
        for option in dataclasses.fields(self):
            known = option.metadata["values"]
            if isinstance(known, tuple) and (chosen := getattr(self, option.name)) not in known:
                raise SettingsError(f"{option.name} {chosen!r} is none of {', '.join(known)}")

    def _check_relays(self) -> None:
        if bool(self.turn_urls) != (self.turn_secret_file is not None):
            raise SettingsError("turn_urls and turn_secret_file go together")
        for url in self.turn_urls:
            if not TURN_URL.fullmatch(url):
                raise SettingsError(f"turn_urls: {url!r} is no TURN URL, such as turn:turn.example.org:3478")
        if not 1 <= self.turn_ttl <= LONGEST_S:
            raise SettingsError(f"turn_ttl {self.turn_ttl} is not between 1 and {LONGEST_S} seconds")
        if self.relay_only and not self.turn_urls and not any(map(names_turn, self.ice_servers)):
            raise SettingsError("relay_only needs a TURN server: name one by turn_urls, or in ice_servers")

    def _check_engines(self) -> None:
        if self.synthesizer not in ("", "espeak-ng", "piper"):
            check_url("synthesizer", self.synthesizer, "espeak-ng, piper or an http(s) URL")
        for name in ("transcriber", "chat", "realtime"):
            if url := getattr(self, name):
                check_url(name, url, "an http(s) URL")
        if not 0 <= self.synthesizer_prebuffer_ms <= 10_000:
            raise SettingsError(f"synthesizer_prebuffer_ms {self.synthesizer_prebuffer_ms} is not between 0 and 10000")
        if not 1.0 <= self.longest_turn_s <= 300.0:
            raise SettingsError(f"longest_turn_s {self.longest_turn_s:g} is not between 1 and 300")
        if bool(self.transcriber) != bool(self.chat) or (self.chat and not self.synthesizer):
            raise SettingsError("transcriber, chat and synthesizer go together: who answers must hear, think and speak")
        if self.script and not self.synthesizer:
            raise SettingsError("script needs a synthesizer, which reads it aloud")
        if self.realtime and self.chat:
            raise SettingsError("realtime answers visitors in place of transcriber and chat: name one or the others")

    @property
    def mark(self) -> MarkStyle | None:
        """The mark on every picture."""
        return None if self.no_mark else MarkStyle(self.mark_text, self.mark_corner, self.mark_size)

    def _check_who_comes(self) -> None:
        if self.max_sessions < 1:
            raise SettingsError(f"max_sessions {self.max_sessions} is not at least 1")
        if self.picture_workers < 0:
            raise SettingsError(f"picture_workers {self.picture_workers} is less than 0")
        if not self.record_minutes > 0:
            raise SettingsError(f"record_minutes {self.record_minutes:g} is not above 0")
        for name in ("max_viewers", "max_session_minutes", "idle_minutes", "guest_turns_per_hour"):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} {getattr(self, name)} is less than 0")
        if 0 < self.guest_characters_per_hour < _LEAST_CHARACTERS or self.guest_characters_per_hour < 0:
            raise SettingsError(
                f"guest_characters_per_hour {self.guest_characters_per_hour} is neither 0 nor the length of one text, "
                f"{_LEAST_CHARACTERS}, or more"
            )
        for name in ("allowed_origins", "frame_ancestors"):
            for origin in getattr(self, name):
                if not ORIGIN.fullmatch(origin):
                    raise SettingsError(f"{name}: {origin!r} is no origin such as https://app.example")

    @property
    def streamed_to(self) -> tuple[str, ...]:
        """Hosts, addresses and networks beside public ones that requests may stream to."""
        if self.push_to is not None:
            return self.push_to
        return LOOPBACK if self.on_loopback and self.secret_file is None else ()

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
        environment: Variables; those that do not begin with ``LIPSTREAM_`` are ignored.
        program: Name of the command in the usage text, default ``lipstream``.

    Raises:
        SettingsError: Naming the option that makes no sense.
        SystemExit: For ``--help`` and unknown flags, as argparse does.
    """
    chosen = chosen_options(arguments, environment, program=program)
    parsed = {f.name: _parse(f, chosen[f.name]) for f in dataclasses.fields(Settings) if f.name in chosen}
    return Settings(**parsed)


def chosen_options(
    arguments: Sequence[str], environment: Mapping[str, str], *, program: str = "lipstream"
) -> dict[str, Any]:
    """Return what was chosen, by name: text, or what TOML gave.

    The arguments, and what is raised, are those of :func:`read_settings`.
    """
    flags = vars(_parser(program).parse_args(arguments))
    config = flags.pop("config") or environment.get(f"{_PREFIX}CONFIG")
    known = {option.name for option in dataclasses.fields(Settings)}
    chosen = read_file(Path(config), known) if config else {}
    for option in dataclasses.fields(Settings):
        if text := environment.get(_PREFIX + option.name.upper()):
            chosen[option.name] = text
        if flags[option.name] is not None:
            chosen[option.name] = flags[option.name]
    return chosen


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


def _parse(option: "dataclasses.Field[Any]", value: Any) -> Any:
    """Return an option's value from a string of the command line, or from what TOML gave."""
    try:
        return option.metadata["parse"](value)
    except (ValueError, TypeError, KeyError) as error:
        raise SettingsError(f"option {option.name} cannot be {value!r}: {error}") from error
