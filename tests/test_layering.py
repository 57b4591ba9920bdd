"""Imports point one way, and the pure modules know neither time nor threads nor sockets.

``python -m tests.test_layering`` writes the table of layers into ARCHITECTURE.md.
"""

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAP = ROOT / "ARCHITECTURE.md"
BEGIN, END = "<!-- layers: written by `python -m tests.test_layering` -->\n", "<!-- end of layers -->\n"
MOST_TOP_MODULES = 16


@dataclass(frozen=True)
class Layer:
    """Modules, or folders with all that they hold, and what they are for."""

    members: tuple[str, ...]
    holds: str


# From the bottom to the top. A module imports from its own layer and from lower ones; the longest name decides.
LAYERS = (
    Layer(
        (
            "realtime",
            "lipstream.checkout_names",
            "lipstream.extras",
            "lipstream.machine",
            "lipstream.memory_order",
            "lipstream.own_code",
            "realtime.clock",
            "realtime.errors",
            "realtime.log_format",
            "realtime.meters",
            "realtime.lipsync.mouth_code",
            "realtime.metrics",
            "realtime.packets",
            "realtime.queue_depths",
            "realtime.rate_limit",
            "realtime.timeline",
            "realtime.wire",
        ),
        "time, errors, metrics, the shapes of JSON: what every other layer uses",
    ),
    Layer(("realtime.audio",), "mel spectrogram, voice activity, resampling, jitter buffer, turns, sentences"),
    Layer(("realtime.lipsync",), "the network, its weights files and back ends"),
    Layer(("realtime.picture",), "colour planes, the painted mouth, compositor, watermark, provenance"),
    Layer(("realtime.encoding",), "pacing, encoders, bitrates; one encode for all receivers"),
    Layer(("avatar_cache",), "faces found, clips built, prepared and stored"),
    Layer(("realtime.workers",), "child processes that draw mouths, paint and encode"),
    Layer(("realtime.rtc",), "peers, SDP, ICE, RTP; `aiortc_patches/` holds all private names of aiortc and aioice"),
    Layer(("realtime.option_values", "realtime.settings"), "the server's options"),
    Layer(("realtime.sinks",), "recordings, live streams, virtual camera and microphone"),
    Layer(("realtime.synthesis",), "engines that turn text into speech"),
    Layer(("realtime.agent",), "who answers in a conversation"),
    Layer(("realtime.session",), "one call: speech in, timeline, frames, conversation, viewers"),
    Layer(("realtime.face",), "the face as a library, without a server"),
    Layer(("realtime.local_audio",), "microphone and loudspeaker of the server's machine"),
    Layer(("realtime.server",), "all sessions, admission, loaded avatars, uploads, the standing session"),
    Layer(("realtime.rooms",), "sessions that take part in rooms of LiveKit"),
    Layer(("realtime.api",), "HTTP and WebSocket: routes, tokens, request filter, errors, metrics"),
    Layer(("realtime.cluster",), "sessions on several machines: placement, ingress"),
    Layer(("realtime.test_client",), "a client that calls a server and measures what comes"),
    Layer(
        (
            "realtime.doctor",
            "realtime.mcp",
            "realtime.render",
            "realtime.selftest",
            "realtime.speaker",
            "realtime.weights_check",
        ),
        "commands",
    ),
    Layer(("lipstream", "run_server"), "the command that starts the server"),
    Layer(("training",), "the faces and the weights"),
    Layer(("benchmarks",), "measurements"),
)
PURE = {
    "avatar_cache.gestures",
    "avatar_cache.motion_graph",
    "avatar_cache.motion_steps",
    "realtime.agent.agent",
    "realtime.agent.answer_text",
    "realtime.agent.chat_answer",
    "realtime.agent.end_of_turn",
    "realtime.agent.heard_words",
    "realtime.agent.thoughts",
    "realtime.api.connections",
    "realtime.api.keys",
    "realtime.api.request_limits",
    "realtime.api.tokens",
    "realtime.audio.echo_gate",
    "realtime.audio.jitter_buffer",
    "realtime.audio.mel",
    "realtime.audio.pcm_queue",
    "realtime.audio.resample",
    "realtime.audio.sample_fifo",
    "realtime.audio.sample_range",
    "realtime.audio.sentences",
    "realtime.audio.silence",
    "realtime.audio.silero",
    "realtime.audio.speech_detector",
    "realtime.audio.spoken_math",
    "realtime.audio.spoken_text",
    "realtime.audio.turn_detector",
    "realtime.audio.voice_activity",
    "realtime.audio.voice_detector",
    "realtime.audio.vowels",
    "realtime.audio.windows",
    "realtime.clock",
    "realtime.cluster.autoscaling",
    "realtime.cluster.avatar_plan",
    "realtime.cluster.launching.node_plan",
    "realtime.cluster.membership",
    "realtime.cluster.merged_metrics",
    "realtime.cluster.placement",
    "realtime.encoding.encoded_unit",
    "realtime.encoding.h264_level",
    "realtime.encoding.rate_control",
    "realtime.encoding.rendition",
    "realtime.encoding.rtp_payloads",
    "realtime.errors",
    "realtime.face.speech",
    "realtime.lipsync.alignment",
    "realtime.lipsync.folded_weights",
    "realtime.lipsync.layers",
    "realtime.packets",
    "realtime.picture.compositor",
    "realtime.picture.contact_sheet",
    "realtime.picture.i420",
    "realtime.picture.mouth_painter",
    "realtime.picture.watermark",
    "realtime.rate_limit",
    "realtime.rooms.utterances",
    "realtime.rtc.aiortc_patches.association_bounds",
    "realtime.rtc.candidates",
    "realtime.rtc.h264_formats",
    "realtime.rtc.later_offer",
    "realtime.rtc.packetizer",
    "realtime.rtc.peer_networks",
    "realtime.rtc.receiver_adaptation",
    "realtime.rtc.reorder_buffer",
    "realtime.rtc.offer_terms",
    "realtime.rtc.readable_section",
    "realtime.rtc.sdp",
    "realtime.rtc.sdp_sections",
    "realtime.rtc.turn_credentials",
    "realtime.server.admission",
    "realtime.session.animator",
    "realtime.session.budget",
    "realtime.session.conversation",
    "realtime.session.grant",
    "realtime.session.motion_player",
    "realtime.session.planned_motions",
    "realtime.session.playout",
    "realtime.session.source_selector",
    "realtime.session.tick_schedule",
    "realtime.sinks.amf",
    "realtime.sinks.backoff",
    "realtime.sinks.flv",
    "realtime.sinks.letterbox",
    "realtime.sinks.recording_files",
    "realtime.sinks.rtmp",
    "realtime.sinks.stream_address",
    "realtime.synthesis.pcm_decoder",
    "realtime.synthesis.sound_kind",
    "realtime.synthesis.synthesizer",
    "realtime.synthesis.wave_stream",
    "realtime.test_client.click_track",
    "realtime.test_client.mouth_opening",
    "realtime.timeline",
    "realtime.wire.answers",
    "realtime.wire.control_messages",
    "realtime.wire.event_stream",
    "realtime.wire.events",
    "realtime.workers.silence",
}
IMPURE_IMPORTS = {"asyncio", "threading", "time", "datetime", "socket", "multiprocessing", "concurrent"}


@cache
def _modules() -> dict[str, Path]:
    files = [p for top in ("realtime", "avatar_cache", "benchmarks", "training") for p in ROOT.glob(f"{top}/**/*.py")]
    files += ROOT.glob("lipstream/*.py")  # not through its links
    names = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in files}
    return names | {"run_server": ROOT / "run_server.py"}


def _level(module: str) -> int:
    """Return the number of a module's layer, 0 at the bottom."""
    levels = {member: level for level, layer in enumerate(LAYERS) for member in layer.members}
    name = module
    while name not in levels:
        name = name.rpartition(".")[0]
        assert name not in ("", "realtime"), f"{module} has no layer: add it to LAYERS"
    return levels[name]


@cache
def _imports(module: str) -> frozenset[str]:
    """Return the names that a module imports, in functions too, with what it takes from each."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(_modules()[module].read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    return frozenset(re.sub(r"^lipstream\.(?=realtime|avatar_cache)", "", name) for name in found)


def _files(module: str) -> set[str]:
    """Return the modules that a module imports, without the folders that they lie in."""
    found = _imports(module) & _modules().keys()
    return {name for name in found if not any(other.startswith(f"{name}.") for other in found)} - {module}


def _path(module: str) -> str:
    file = _modules()[module].relative_to(ROOT)
    return f"{file.parent}/" if file.name == "__init__.py" else str(file)


def _table() -> str:
    lines = ["| layer | modules | what they hold |", "| --- | --- | --- |"]
    for level, layer in enumerate(LAYERS):
        names = [name for name in layer.members if name != "realtime"]
        shown = ", ".join(f"`{_path(name)}`" for name in names)
        lines.append(f"| {level} | {shown} | {layer.holds} |")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("module", sorted(_modules()))
def test_imports_point_down(module: str) -> None:
    upward = {
        name
        for name in _imports(module) & _modules().keys()
        if _level(name) > _level(module) and not name.startswith(f"{module}.")
    }
    assert not upward


def test_no_files_import_each_other_in_a_circle() -> None:
    left = {module: _files(module) for module in _modules()}
    while free := [module for module, imported in left.items() if not imported & left.keys()]:
        for module in free:
            del left[module]
    assert not left, "among these is a circle"


@pytest.mark.parametrize("module", sorted(PURE))
def test_pure_modules_have_no_time_threads_or_sockets(module: str) -> None:
    imported = {name.partition(".")[0] for name in _imports(module)}
    assert not imported & IMPURE_IMPORTS


def test_training_is_imported_by_nobody_else() -> None:
    importers = [m for m in _modules() if not m.startswith("training") and "training" in _imports(m)]
    assert not importers


def test_every_layer_is_there_and_few_modules_lie_flat() -> None:
    assert all(member in _modules() for layer in LAYERS for member in layer.members)
    assert len(list((ROOT / "realtime").glob("*.py"))) <= MOST_TOP_MODULES


def test_the_map_shows_these_layers() -> None:
    shown = MAP.read_text().partition(BEGIN)[2].partition(END)[0]
    assert shown.strip() == _table().strip(), "run: python -m tests.test_layering"


if __name__ == "__main__":
    before, _, rest = MAP.read_text().partition(BEGIN)
    MAP.write_text(f"{before}{BEGIN}\n{_table()}\n{END}{rest.partition(END)[2]}")
