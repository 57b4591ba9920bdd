"""Every queue is bounded, and what waits in it is exported."""

import ast
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from aiortc.rtcrtpreceiver import RemoteStreamTrack, StreamStatistics

from lipstream.realtime.api.metrics_exporter import MetricsExporter
from lipstream.realtime.audio.pcm_queue import LIMIT_SOUND, PcmQueue
from lipstream.realtime.encoding.encoded_unit import EncodedUnit
from lipstream.realtime.encoding.encoders import SpeechEncoder
from lipstream.realtime.encoding.pacing import speech_frame
from lipstream.realtime.encoding.rate_control import MOST_ROUND_TRIPS, RateControl
from lipstream.realtime.rtc.aiortc_patches.receiver import LowLatencyReceiver
from lipstream.realtime.rtc.aiortc_patches.sender import PlayoutSender
from lipstream.realtime.server.avatar_builds import AvatarBuilds, UploadLimits
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.settings import Settings
from lipstream.realtime.timeline import FRAME_RATE_HZ, PACKET_SOUND, PTS_PER_FRAME, SOUND_RATE_HZ
from tests.realtime.fakes import make_store, worker_settings
from tests.realtime.rtc.loopback import Client, connected, connection_of, until

REALTIME = Path(__file__).parents[3] / "realtime"
UNREAD_MB = 5

# Queues without a length of their own: by what they are bounded, which stands in the same module, and under which name
# what waits is exported. Those without a name are memories: no reader has yet to take what is in them.
QUEUES = {
    "agent.realtime_answer.sound": ("LONGEST_MS", None),
    "agent.realtime_api.parts": ("note_words", None),  # which allows so many characters
    "rooms.utterances._pending": ("MOST_WAITING", None),
    "session.animator._spans": ("_decide", None),
    "audio.sample_fifo._waiting": ("level", None),  # which its two users below bound
    "audio.pcm_queue._pieces": ("LIMIT_SOUND", "program_ms"),
    "audio.jitter_buffer._arrivals": ("LIMIT_SOUND", "microphone_ms"),
    "audio.speech_detector._blocks": ("WINDOW_SAMPLES", None),
    "audio.turn_detector._pushed": ("BLOCK_SAMPLES", None),
    "face.speech._waiting": ("waiting_samples", None),  # the caller of a library has it, and asks for it
    "face.speech._analysed": ("waiting_samples", None),
    "lipsync.checkpoint_maps.waiting": ("_MOST_NAMES", None),
    "rooms.incoming_stream._chunks": ("MOST_HELD_BYTES", None),
    "synthesis.container_decoder._pieces": ("MOST_UNREAD_BYTES", None),
    "synthesis.container_decoder.decoded": ("MOST_WAITING", None),
    "local_audio.play_queue._waiting": ("LIMIT_SOUND", "loudspeaker_ms"),
    "session.text_queue._spoken": ("_forget_heard", None),
    "session.text_queue._waiting": ("MOST_WAITING", "text_characters"),
    "sinks.destination._tags": ("MOST_TAGS", "stream_tags"),
    "sinks.sink._queue": ("MOST_QUEUED", "recording_units"),
}
OF_LENGTH = {"render_jobs", "uploads", "socket_events", "datagrams", "unsent_bytes", "control_bytes", "stream_units"}
OF_LENGTH |= {"speech_ms", "decided_frames", "mouths"}
BOUNDED = {"deque": "maxlen", "Queue": "maxsize"}


def _queues(path: Path) -> list[tuple[str, bool]]:
    """Return the name of each queue that a module makes, and whether it is given a length."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Assign | ast.AnnAssign) or not isinstance(node.value, ast.Call):
            continue
        called = node.value.func
        kind = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        if kind not in ("deque", "Queue", "SimpleQueue", "LifoQueue", "PriorityQueue", "SampleFifo"):
            continue
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        name = target.attr if isinstance(target, ast.Attribute) else ast.unparse(target)
        length = any(keyword.arg == BOUNDED.get(kind) for keyword in node.value.keywords)
        found.append((name, length or (kind == "Queue" and bool(node.value.args))))
    return found


def test_no_queue_grows_without_end() -> None:
    unbounded: dict[str, str] = {}
    for path in REALTIME.rglob("*.py"):
        module = ".".join(path.relative_to(REALTIME).with_suffix("").parts)
        unbounded |= {f"{module}.{name}": path.read_text() for name, length in _queues(path) if not length}
    assert unbounded.keys() == QUEUES.keys(), "a new one has a length, or says here what bounds it"
    for name, (bound, _) in QUEUES.items():
        assert unbounded[name].count(bound) >= 2, f"{name}: {bound} is named and used"


async def _forget(_: str) -> None:
    pass


async def test_what_waits_for_somebody_is_exported(tmp_path: Path, no_built_in_avatars: None) -> None:
    store = make_store(tmp_path, {"ann": 60})
    settings = Settings(store=store.root, max_sessions=2, picture_workers=0)
    sessions = Sessions(settings, worker_settings(store, "FakePredictor"))
    await sessions.start()
    builds = AvatarBuilds(store, weights=tmp_path, device="cpu", limits=UploadLimits(1, 1, 1), on_built=_forget)
    try:
        client = Client(microphone=True)
        session, answer = await sessions.create("ann", await client.offer())
        assert answer is not None
        await client.accept(answer)
        await until(lambda: session.state == "live", "the call")
        session.sinks.record(tmp_path, {}, "ann")
        session.sinks.streams.add("rtmp://127.0.0.1:9/live/key", {})
        waiting = MetricsExporter(sessions, builds)._queues()
        assert waiting.keys() >= {name for _, name in QUEUES.values() if name} | OF_LENGTH
        assert all(0 <= depth <= limit for depth, limit in waiting.values()), waiting
        viewer = Client(microphone=False, control=False)
        _, answer = await session.viewers.watch(await viewer.offer())
        await viewer.accept(answer)
        assert len(session.connections()) == 2, "what viewers are sent is counted too"
        await viewer.close()
        await client.close()
    finally:
        await sessions.close()


def test_a_program_that_sends_sample_by_sample_is_held_in_few_pieces() -> None:
    source = PcmQueue(SOUND_RATE_HZ)
    for _ in range(SOUND_RATE_HZ // 10):
        source.push(b"\1\0")
    assert source.level == SOUND_RATE_HZ // 10 <= LIMIT_SOUND
    assert len(source._pieces._waiting) <= 11
    heard = np.concatenate([source.pull(0.0)[0] for _ in range(10)])
    assert np.all(heard == np.float32(1 / 32768))


def test_a_client_that_reports_without_end_is_not_remembered_without_end() -> None:
    rate = RateControl()
    rate.start(512 * 512)
    for n in range(10 * MOST_ROUND_TRIPS):
        rate.report(packets_lost=0, highest_sequence=n, round_trip_s=0.02, now_s=1 + n / 1e6)
    assert len(rate._round_trips) == MOST_ROUND_TRIPS


async def test_a_track_from_a_client_that_nobody_reads_takes_little() -> None:
    encoder = SpeechEncoder()
    sound = np.random.default_rng(1).integers(-9000, 9000, PACKET_SOUND, np.int16)
    packets = [encoder.encode(speech_frame(packet, sound))[0][0] for packet in range(200)]
    heard: list[int] = []
    receiver = LowLatencyReceiver(
        "audio",
        SimpleNamespace(state="new"),  # type: ignore[arg-type]  # all that is read of a transport
        SimpleNamespace(push=lambda at, _samples, _arrived_s: heard.append(at)),  # type: ignore[arg-type]
    )
    receiver._track = track = RemoteStreamTrack(kind="audio", id="unread")
    receiver._RTCRtpReceiver__remote_streams[1] = StreamStatistics(SOUND_RATE_HZ)
    tracemalloc.start()
    for n in range(3000):  # a minute
        receiver.take(1, n, n * PACKET_SOUND, packets[n % len(packets)])
    kept_mb = tracemalloc.get_traced_memory()[0] / (1 << 20)
    tracemalloc.stop()
    print(f"L6: a minute of a microphone without a reader: {kept_mb:.1f} MB kept")
    assert heard == [n * PACKET_SOUND for n in range(3000)]
    assert track._queue.empty(), "stock keeps every frame of a track that is not read"
    assert kept_mb < UNREAD_MB


async def test_a_track_to_a_client_that_reads_nothing_takes_little() -> None:
    client = Client()
    async with connected(client) as call:
        for protocol in client.ice._protocols:
            protocol.transport.pause_reading()
        sender = next(s for s in connection_of(call.peer).getSenders() if s.kind == "video")
        assert isinstance(sender, PlayoutSender)
        picture = tuple(bytes(1150) for _ in range(4))  # of 900 kbit/s
        tracemalloc.start()
        for frame in range(60 * FRAME_RATE_HZ):
            payloads = tuple(bytes(payload) + b"\0" for payload in picture)
            sender.on_unit(
                EncodedUnit(payloads, frame * PTS_PER_FRAME, 0.0, key=not frame, bitrate=900_000, pixels=512 * 512)
            )
        grown_mb = tracemalloc.get_traced_memory()[0] / (1 << 20)
        tracemalloc.stop()
        for protocol in client.ice._protocols:
            protocol.transport.resume_reading()
    print(f"L6: a minute of pictures for a client that reads nothing: {grown_mb:.1f} MB kept")
    assert (sender.stats()["packets_sent"] or 0) >= 4 * 60 * FRAME_RATE_HZ
    assert grown_mb < UNREAD_MB
