"""The card's benchmark, with the CPU in the card's place."""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.cuda.__main__ import main
from benchmarks.cuda.parts import PARTS, Part
from benchmarks.cuda.worker import _following
from tests.benchmarks.cuda_parts import COUNTED

pytestmark = pytest.mark.timeout(300)


def _part(call: str, limit_s: float = 60, name: str | None = None) -> Part:
    return Part(name or call, f"What {call}?", f"tests.benchmarks.cuda_parts:{call}", limit_s)


def _run(output: Path, parts: tuple[Part, ...], *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    status = main(["--stand-in", "--output", str(output), *arguments], parts)
    return status, json.loads(output.read_text())["parts"]


def test_every_part_runs_with_the_card_replaced_and_the_table_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patient = tuple(dataclasses.replace(part, limit_s=200) for part in PARTS)
    status, found = _run(tmp_path / "cuda.json", patient, "--budget", "280")
    assert status == 0
    assert {name: outcome["state"] for name, outcome in found.items()} == {part.name: "done" for part in PARTS}, found
    assert all(outcome["rows"] for outcome in found.values())
    assert found["checks"]["rows"] == [{"outcome": "passed", "tests": 2, "which": ""}]
    assert {row["precision"] for row in found["mouths"]["rows"]} == {"fp32"}
    assert all(row["mouths/s"] > 0 for row in found["mouths"]["rows"][:-1])
    assert {row["drawn"] for row in found["mouths"]["rows"][:-1]} == {"pixels", "fields"}
    assert {row["drawn"] for row in found["mouths, full width"]["rows"][:-1]} == {"pixels"}
    assert found["calls"]["rows"][0]["live"] == 1
    assert "ran on the CPU with the card replaced" in capsys.readouterr().out.splitlines()[1]
    notes = json.loads((tmp_path / "cuda.json").read_text())["notes"]
    assert notes[0].startswith("ran on the CPU with the card replaced")


@pytest.mark.parametrize(
    ("call", "state", "sentence"),
    [
        ("crashes", "failed", "It ended by SIGABRT: "),
        ("raises", "failed", "It ended with status 1: RuntimeError: an illegal memory access"),
        ("lacks", "cannot run", "It needs the package no_such_package, which is not installed here."),
        ("finds_no_card", "cannot run", "There is no card to draw on: cuda cannot be used: Found no NVIDIA driver"),
        ("finds_no_room", "cannot run", "The card's memory is too small for it: CUDA out of memory"),
        ("declines", "cannot run", "This PyAV knows no encoder of a card."),
    ],
)
def test_a_part_that_cannot_run_costs_one_sentence(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    state: str,
    sentence: str,
) -> None:
    monkeypatch.setenv(COUNTED, str(tmp_path / "count"))
    status, found = _run(tmp_path / "cuda.json", (_part(call), _part("counted")))
    assert status == 0
    assert found[call]["state"] == state
    assert found[call]["sentence"].startswith(sentence)
    assert found["counted"]["state"] == "done"
    assert f"  {sentence}" in capsys.readouterr().out


def test_a_part_that_hangs_is_ended_with_its_children_and_keeps_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(COUNTED, str(tmp_path / "child"))
    _, found = _run(tmp_path / "cuda.json", (_part("hangs", limit_s=10),))
    assert found["hangs"]["state"] == "ended early"
    assert found["hangs"]["sentence"] == "It was ended after 10 s."
    assert found["hangs"]["rows"] == [{"n": 1}]
    pid = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "its child lives on"
        time.sleep(0.05)


def test_what_is_done_is_not_done_again_unless_asked_or_measured_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, output = tmp_path / "count", tmp_path / "cuda.json"
    monkeypatch.setenv(COUNTED, str(count))
    parts = (_part("counted"), _part("declines"))
    _, found = _run(output, parts)
    assert found["counted"]["rows"] == [{"stand-in": True, "n": 1}, {"stand-in": True, "n": 2}]
    _run(output, parts)
    assert count.read_text() == "x"
    _run(output, parts, "--fresh", "counted")
    assert count.read_text() == "xx"
    known = json.loads(output.read_text())
    output.write_text(json.dumps(known | {"machine": known["machine"] | {"commit": "another"}}))
    _run(output, parts)
    assert count.read_text() == "xxx"


def test_with_the_time_used_up_a_part_waits_for_the_next_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(COUNTED, str(tmp_path / "count"))
    parts = (_part("counted"),)
    _, found = _run(tmp_path / "cuda.json", parts, "--budget", "1")
    assert found["counted"]["state"] == "not begun"
    assert "run it again" in found["counted"]["sentence"]
    _, found = _run(tmp_path / "cuda.json", parts)
    assert found["counted"]["state"] == "done"


def test_another_card_makes_what_was_found_on_the_first_worthless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, output = tmp_path / "count", tmp_path / "cuda.json"
    monkeypatch.setenv(COUNTED, str(count))
    parts = (_part("names_a_card", name="card"), _part("counted"))
    _run(output, parts)
    _run(output, parts)
    assert count.read_text() == "x"
    known = json.loads(output.read_text())
    for row in known["parts"]["card"]["rows"]:
        row["value"] = "another" if row["fact"] == "card" else row["value"]
    output.write_text(json.dumps(known))
    _run(output, parts)
    assert count.read_text() == "xx"


def test_a_cuda_test_that_fails_makes_the_status_1(tmp_path: Path) -> None:
    status, _ = _run(tmp_path / "cuda.json", (_part("fails_a_test", name="checks"),))
    assert status == 1


@pytest.mark.parametrize("limit", [0, 3, 8, 40, 63, 200, 1024, 5000])
def test_the_search_for_the_most_sessions_ends_near_it(limit: int) -> None:
    holds, fails, count, tries = 0, 2049, 8, 0
    while count > holds:
        tries += 1
        holds, fails = (count, fails) if count <= limit else (holds, count)
        count = _following(holds, fails)
    assert holds <= limit
    assert tries <= 14
    assert holds >= min(2048, limit) * 0.85 - 4
