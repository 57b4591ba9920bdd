from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from lipstream.realtime.cluster.merged_metrics import MergedMetrics, WorkerMetrics
from lipstream.realtime.cluster.placement import WorkerState

TEXT = """\
# HELP lipstream_sessions Sessions there are.
# TYPE lipstream_sessions gauge
lipstream_sessions {sessions}
# HELP lipstream_frames_total Frames.
# TYPE lipstream_frames_total counter
lipstream_frames_total{{fate="idle"}} 7.0
# HELP lipstream_wait_seconds Waits.
# TYPE lipstream_wait_seconds histogram
lipstream_wait_seconds_bucket{{le="1.0"}} 2.0
lipstream_wait_seconds_bucket{{le="+Inf"}} 3.0
lipstream_wait_seconds_sum 4.5
lipstream_wait_seconds_count 3.0
"""


def test_each_sample_has_its_node_and_worker_and_each_family_stands_once() -> None:
    answers = [
        WorkerMetrics("n1", "http://a", TEXT.format(sessions=1)),
        WorkerMetrics("n2", "http://b", TEXT.format(sessions=2)),
    ]
    states = [WorkerState("a", 8, 3), WorkerState("b", 8, 8, "draining"), WorkerState("c", 8, 8, age_s=9)]
    text = generate_latest(MergedMetrics(answers, states)).decode()
    assert text.count("# TYPE lipstream_sessions gauge") == 1
    found: dict[tuple[object, ...], float] = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["lipstream_sessions", ("node", "n1"), ("worker", "http://a")] == 1
    assert found["lipstream_sessions", ("node", "n2"), ("worker", "http://b")] == 2
    assert found["lipstream_frames_total", ("fate", "idle"), ("node", "n2"), ("worker", "http://b")] == 7
    assert found["lipstream_wait_seconds_bucket", ("le", "+Inf"), ("node", "n1"), ("worker", "http://a")] == 3
    names = {str(key[0]): value for key, value in found.items()}
    own = {name.removeprefix("lipstream_cluster_"): value for name, value in names.items() if "cluster" in name}
    assert own == {
        "workers": 2, "workers_ready": 1, "workers_draining": 1, "workers_lost": 1,
        "sessions_capacity": 16, "sessions_free": 3,
    }  # fmt: skip
