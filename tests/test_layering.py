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
    "realtime.picture.i420": 0,
    "realtime.rate_limit": 0,
    "realtime.api.connections": 0,
    "realtime.encoding.thread_priority": 0,
    "realtime.server.admission": 1,
    "realtime.session.tick_schedule": 1,
    "realtime.api.tokens": 1,
    "realtime.speaker": 0,
    "realtime.rtc.turn_credentials": 1,
    "realtime.picture.watermark": 1,
    "realtime.picture.provenance": 1,
    "realtime.settings": 2,
    "realtime.metrics": 1,
    "realtime.meters": 1,
    "realtime.log_format": 1,
    "realtime.audio": 1,
    "realtime.lipsync": 2,
    "realtime.picture.mouth_painter": 3,
    "realtime.picture.compositor": 3,
    "avatar_cache": 4,
    "realtime.session.animator": 5,
    "realtime.workers.child_process": 1,
    "realtime.render_worker": 6,
    "realtime.rtc": 7,
    "realtime.sinks": 8,
    "realtime.synthesis": 3,
    "realtime.session.text_queue": 4,
    "realtime.agent": 4,
    "realtime.session.conversation": 5,
    "realtime.session.playout": 8,
    "realtime.session.viewers": 8,
    "realtime.picture_worker": 8,
    "realtime.session.speech_pipeline": 9,
    "realtime.session.session": 9,
    "realtime.server.warm_up": 9,
    "realtime.local_audio": 9,
    "realtime.server.loaded_avatars": 9,
    "realtime.server.load": 10,
    "realtime.server.sessions": 10,
    "realtime.api.request_filter": 10,
    "realtime.server.avatar_builds": 10,
    "realtime.api.metrics_exporter": 11,
    "realtime.server.standing_session": 11,
    "realtime.api.authorization": 11,
    "realtime.api.audio_socket": 11,
    "realtime.api.whip_whep_routes": 12,
    "realtime.api.avatar_routes": 11,
    "realtime.api.sink_routes": 11,
    "realtime.api.session_routes": 11,
    "realtime.api.error_responses": 11,
    "realtime.api.listening": 1,
    "realtime.api.http_protocol": 1,
    "realtime.api.http_server": 3,
    "realtime.api.app": 12,
    "realtime.api.serving": 13,
    "realtime.render": 13,
    "realtime.probe": 13,
    "realtime.selftest": 14,
    "realtime.doctor": 14,
    "run_server": 14,
    "benchmarks": 14,
    "training": 13,
}
PURE = {
    "realtime.server.admission",
    "realtime.session.tick_schedule",
    "realtime.timeline",
    "realtime.packets",
    "realtime.clock",
    "realtime.errors",
    "realtime.picture.i420",
    "realtime.rate_limit",
    "realtime.api.connections",
    "realtime.api.tokens",
    "realtime.rtc.turn_credentials",
    "realtime.audio.mel",
    "realtime.audio.windows",
    "realtime.audio.resample",
    "realtime.audio.voice_activity",
    "realtime.audio.jitter_buffer",
    "realtime.audio.pcm_queue",
    "realtime.audio.sentences",
    "realtime.audio.silence",
    "realtime.audio.sample_fifo",
    "realtime.audio.voice_detector",
    "realtime.audio.turn_detector",
    "realtime.session.conversation",
    "realtime.audio.echo_gate",
    "realtime.agent.agent",
    "realtime.synthesis.synthesizer",
    "realtime.synthesis.wave_stream",
    "realtime.lipsync.alignment",
    "realtime.picture.watermark",
    "realtime.picture.mouth_painter",
    "realtime.picture.compositor",
    "realtime.session.animator",
    "realtime.session.playout",
    "realtime.test_client.click_track",
    "realtime.test_client.mouth_opening",
    "realtime.rtc.candidates",
    "realtime.rtc.sdp",
    "realtime.rtc.sdp_sections",
    "realtime.rtc.aiortc_patches.association_bounds",
    "realtime.encoding.rendition",
    "realtime.encoding.encoded_unit",
    "realtime.rtc.reorder_buffer",
    "realtime.encoding.rate_control",
    "realtime.rtc.receiver_adaptation",
    "realtime.rtc.packetizer",
    "realtime.control_messages",
    "realtime.sinks.amf",
    "realtime.sinks.backoff",
    "realtime.sinks.letterbox",
    "realtime.sinks.flv",
    "realtime.sinks.stream_address",
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
    return found


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
