"""The server exports its metrics, the dashboard uses no other ones, and the log keeps secrets."""

import asyncio
import io
import json
import logging
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import prometheus_client
import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from lipstream.realtime import log_format
from lipstream.realtime.api.app import create_app
from lipstream.realtime.api.metrics_exporter import Traffic
from lipstream.realtime.cluster.merged_metrics import MergedMetrics
from lipstream.realtime.meters import Histogram, Meters
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.settings import Settings
from tests.realtime.fakes import make_store, worker_settings

ROOT = Path(__file__).parents[3]
KEY = "an API key of fair length"


@pytest.fixture
async def client(tmp_path: Path, no_built_in_avatars: None) -> AsyncIterator[httpx.AsyncClient]:
    store = make_store(tmp_path, {"ann": 60})
    (tmp_path / "keys").write_text(KEY)
    settings = Settings(store=store.root, secret_file=tmp_path / "keys")
    sessions = Sessions(settings, worker_settings(store, "FakePredictor"))
    app = create_app(sessions)
    transport = httpx.ASGITransport(app)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", headers=headers) as client,
    ):
        await sessions.start()
        yield client


def parsed(text: str) -> dict[str, str]:
    """Return the kind of every family; fail where a line is not of the format."""
    kinds: dict[str, str] = {}
    helped = None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            helped = line.split(" ", 3)[2]
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == helped
            assert name not in kinds
            kinds[name] = kind
        else:
            found = re.fullmatch(r'([a-z_]+)(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? (-?[0-9.e+-]+)', line)
            assert found, line
            assert helped is not None, line
            family = re.sub(r"_(bucket|sum|count)$", "", found[1]) if kinds[helped] == "histogram" else found[1]
            assert family == helped
    return kinds


async def test_every_figure_is_there_from_the_start_and_is_well_named(client: httpx.AsyncClient) -> None:
    await client.post("/api/sessions", json={})
    text = (await client.get("/metrics")).text
    kinds = parsed(text)
    assert len(kinds) >= 35
    for name, kind in kinds.items():
        assert name.startswith("lipstream_")
        assert name.endswith("_total") == (kind == "counter"), name
    assert 'lipstream_frames_total{fate="spoken"} 0.0' in text
    assert 'lipstream_resident_memory_bytes{process="worker"}' in text
    limits = re.findall(r'lipstream_queue_limit\{queue="(\w+)"\} (\S+)', text)
    depths = dict(re.findall(r'lipstream_queue_depth\{queue="(\w+)"\} (\S+)', text))
    of_sessions = {"microphone_ms", "program_ms", "text_characters", "speech_ms", "decided_frames", "mouths"}
    assert {name for name, _ in limits} >= {"render_jobs", "uploads", "socket_events"} | of_sessions
    assert all(float(depths[name]) <= float(limit) for name, limit in limits)


async def test_the_dashboard_asks_for_nothing_that_is_not_exported(client: httpx.AsyncClient) -> None:
    exported = set(parsed((await client.get("/metrics")).text))
    exported |= set(parsed(generate_latest(MergedMetrics([], [])).decode()))
    dashboard = json.loads((ROOT / "docs" / "grafana-dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    asked = {
        re.sub(r"_(bucket|sum|count)$", "", name) for query in queries for name in re.findall(r"lipstream_\w+", query)
    }
    assert len(queries) > 20
    assert not asked - exported
    unseen = exported - asked
    assert not unseen, "every figure has its place on the dashboard"
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in dashboard["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(places)


def samples(collector: Histogram | Meters) -> dict[tuple[str, ...], float]:
    """Return the values of all lines by name and label values."""
    text = generate_latest(collector).decode()
    families = text_string_to_metric_families(text)
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_a_histogram_is_cumulative_and_its_bounds_are_short() -> None:
    histogram = Histogram("x_seconds", "X.", (0.1, 1), "part", ("a",))
    for value in (0.05, 0.1, 0.5, 7):
        histogram.labels("a").observe(value)
    assert generate_latest(histogram).decode().splitlines() == [
        "# HELP lipstream_x_seconds X.",
        "# TYPE lipstream_x_seconds histogram",
        'lipstream_x_seconds_bucket{le="0.1",part="a"} 2.0',
        'lipstream_x_seconds_bucket{le="1",part="a"} 3.0',
        'lipstream_x_seconds_bucket{le="+Inf",part="a"} 4.0',
        'lipstream_x_seconds_sum{part="a"} 7.65',
        'lipstream_x_seconds_count{part="a"} 4.0',
    ]


def test_values_below_zero_have_a_sum() -> None:
    histogram = Histogram("skew_seconds", "X.", (-0.5, 0.0))
    for value in (-1, -0.25, 0.5):
        histogram.observe(value)
    found = samples(histogram)
    assert found["lipstream_skew_seconds_sum",] == -0.75
    assert [found["lipstream_skew_seconds_bucket", bound] for bound in ("-0.5", "0", "+Inf")] == [1, 2, 3]


def test_two_servers_share_no_count_and_time_of_making_is_no_series() -> None:
    one, other = Meters(), Meters()
    one.frames.labels("spoken").inc()
    one.key_frames.inc(3)
    assert samples(one)["lipstream_frames_total", "spoken"] == 1
    assert samples(one)["lipstream_key_frames_total",] == 3
    assert samples(other)["lipstream_frames_total", "spoken"] == 0
    assert not [names for names in samples(one) if names[0].endswith("_created")]
    assert b"lipstream_" not in generate_latest(prometheus_client.REGISTRY)


def test_what_a_connection_counted_is_kept_when_it_is_gone() -> None:
    meters = Meters()
    traffic = Traffic(meters)

    def peer(sent: int, lost: int, keys: int = 1) -> dict[str, object]:
        return {
            "video": {"bytes_sent": sent, "packets_lost": lost, "key_frames": keys, "round_trip_ms": 20},
            "audio": None,
        }

    for figures in (peer(100, 0), peer(300, 5), peer(350, 4), peer(40, 0), None, peer(10, 0)):
        traffic.update({"a": figures})
    assert samples(meters)["lipstream_rtp_sent_bytes_total", "video"] == 350 + 40 + 10
    assert samples(meters)["lipstream_rtp_lost_packets_total", "video"] == 5
    assert traffic.round_trip_s == 0.02
    traffic.update({})
    assert samples(meters)["lipstream_rtp_sent_bytes_total", "video"] == 400


def _logged(form: str, call: Callable[[], None]) -> str:
    stream = io.StringIO()
    root = logging.getLogger()
    ours = logging.getLogger(log_format.OURS)
    before = root.level, root.handlers[:], ours.level
    try:
        log_format.set_up("debug", form)
        assert isinstance(root.handlers[0], logging.StreamHandler)
        root.handlers[0].setStream(stream)
        call()
    finally:
        root.handlers[:] = before[1]
        root.setLevel(before[0])
        ours.setLevel(before[2])
    return stream.getvalue()


def test_json_lines_name_their_session_and_text_lines_too() -> None:
    def speak() -> None:
        log = logging.getLogger("lipstream.x")
        log.info("before")
        with log_format.in_session("abcdefghijkl"):
            log.warning("two\nlines %d", 7)
            try:
                int("broken")
            except ValueError:
                log.exception("it failed")
        logging.getLogger("aiortc").info("not worth a line")

    lines = [json.loads(line) for line in _logged("json", speak).splitlines()]
    assert [line.get("session") for line in lines] == [None, "abcdef", "abcdef"]
    assert lines[1]["message"] == "two\nlines 7"
    assert (lines[1]["level"], lines[1]["logger"]) == ("warning", "lipstream.x")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", lines[0]["time"])
    assert "ValueError" in lines[2]["exception"]
    assert "[abcdef] two" in _logged("text", speak)


async def test_tasks_of_a_session_name_it() -> None:
    async def later() -> str:
        await asyncio.sleep(0)
        record = logging.LogRecord("lipstream", logging.INFO, "", 0, "x", None, None)
        log_format._name_session(record)
        return str(record.__dict__["session"])

    with log_format.in_session("abcdefghijkl"):
        task = asyncio.create_task(later())
    assert await task == "abcdef"
