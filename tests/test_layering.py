"""Imports point one way, and the pure modules know neither time nor threads nor sockets."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# A module may import from lower layers and from its own; the longest matching prefix decides.
LAYERS = {
    "realtime": 0,
    "realtime.timeline": 0,
    "realtime.packets": 0,
    "realtime.clock": 0,
    "realtime.errors": 0,
    "realtime.i420": 0,
    "realtime.rate_limit": 0,
    "realtime.priorities": 0,
    "realtime.admission": 1,
    "realtime.grid": 1,
    "realtime.access": 1,
    "realtime.speaker": 0,
    "realtime.turn": 1,
    "realtime.mark": 1,
    "realtime.provenance": 1,
    "realtime.settings": 2,
    "realtime.metrics": 1,
    "realtime.meters": 1,
    "realtime.log_lines": 1,
    "realtime.audio": 1,
    "realtime.lipsync": 2,
    "realtime.mouth_painter": 3,
    "realtime.compositor": 3,
    "avatar_cache": 4,
    "realtime.animator": 5,
    "realtime.child_process": 1,
    "realtime.render_worker": 6,
    "realtime.rtc": 7,
    "realtime.sinks": 8,
    "realtime.synthesis": 3,
    "realtime.narrator": 4,
    "realtime.agent": 4,
    "realtime.conversation": 5,
    "realtime.playout": 8,
    "realtime.viewers": 8,
    "realtime.picture_worker": 8,
    "realtime.floor": 9,
    "realtime.session": 9,
    "realtime.rehearsal": 9,
    "realtime.local_audio": 9,
    "realtime.shelf": 9,
    "realtime.server_cost": 10,
    "realtime.sessions": 10,
    "realtime.gate": 10,
    "realtime.avatar_builds": 10,
    "realtime.exporter": 11,
    "realtime.channel": 11,
    "realtime.guards": 11,
    "realtime.audio_socket": 11,
    "realtime.sdp_routes": 12,
    "realtime.avatar_routes": 11,
    "realtime.sink_routes": 11,
    "realtime.session_routes": 11,
    "realtime.error_answers": 11,
    "realtime.app": 12,
    "realtime.serving": 13,
    "realtime.render": 13,
    "realtime.probe": 13,
    "realtime.selftest": 14,
    "realtime.doctor": 14,
    "run_server": 14,
    "benchmarks": 14,
    "training": 13,
}
PURE = {
    "realtime.admission",
    "realtime.grid",
    "realtime.timeline",
    "realtime.packets",
    "realtime.clock",
    "realtime.errors",
    "realtime.i420",
    "realtime.rate_limit",
    "realtime.access",
    "realtime.turn",
    "realtime.audio.mel",
    "realtime.audio.windows",
    "realtime.audio.resample",
    "realtime.audio.voice_activity",
    "realtime.audio.source_buffer",
    "realtime.audio.queued_source",
    "realtime.audio.sentences",
    "realtime.audio.silence",
    "realtime.audio.pieces",
    "realtime.audio.voice_detector",
    "realtime.audio.turns",
    "realtime.conversation",
    "realtime.audio.echo_gate",
    "realtime.agent.agent",
    "realtime.synthesis.synthesizer",
    "realtime.synthesis.wave_stream",
    "realtime.lipsync.alignment",
    "realtime.mark",
    "realtime.mouth_painter",
    "realtime.compositor",
    "realtime.animator",
    "realtime.playout",
    "realtime.probe.clicks",
    "realtime.probe.mouths",
    "realtime.rtc.sdp",
    "realtime.rtc.rendition",
    "realtime.rtc.unit",
    "realtime.rtc.packet_order",
    "realtime.rtc.send_rate",
    "realtime.rtc.following",
    "realtime.rtc.rtp_stream",
    "realtime.rtc.control",
    "realtime.sinks.amf",
    "realtime.sinks.back_off",
    "realtime.sinks.fit",
    "realtime.sinks.flv",
    "realtime.sinks.link",
    "realtime.sinks.rtmp",
}
IMPURE_IMPORTS = {"asyncio", "threading", "time", "datetime", "socket", "multiprocessing", "concurrent"}


def _modules() -> dict[str, Path]:
    files = [p for top in ("realtime", "avatar_cache", "benchmarks", "training") for p in ROOT.glob(f"{top}/**/*.py")]
    names = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in files}
    return names | ({"run_server": ROOT / "run_server.py"} if (ROOT / "run_server.py").exists() else {})


def _layer(module: str) -> int:
    while module not in LAYERS:
        assert "." in module, f"{module} has no layer: add it to LAYERS"
        module = module.rpartition(".")[0]
    return LAYERS[module]


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    return {name.removeprefix("lipstream.") for name in found}


@pytest.mark.parametrize("module", sorted(_modules()))
def test_imports_point_down(module: str) -> None:
    modules = _modules()
    upward = {
        name
        for name in _imports(modules[module])
        if name in modules and _layer(name) > _layer(module) and not name.startswith(module + ".")
    }
    assert not upward


@pytest.mark.parametrize("module", sorted(PURE))
def test_pure_modules_have_no_time_threads_or_sockets(module: str) -> None:
    imported = {name.partition(".")[0] for name in _imports(_modules()[module])}
    assert not imported & IMPURE_IMPORTS


def test_training_is_imported_by_nobody_else() -> None:
    importers = [m for m, p in _modules().items() if not m.startswith("training") and "training" in _imports(p)]
    assert not importers
