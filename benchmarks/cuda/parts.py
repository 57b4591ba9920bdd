"""The parts of the benchmark, each with a process and a time limit of its own.

A process that ends, hangs or lacks a package costs its own part alone, and the table states the reason.
"""

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.cuda.options import CannotRunError, Options
from lipstream.realtime.errors import LipstreamError
from lipstream.realtime.lipsync.predictor import DeviceLostError

_ROOT = Path(__file__).parents[2]
PartState = Literal["done", "cannot run", "failed", "ended early", "not begun"]


@dataclass(frozen=True, slots=True)
class Part:
    """One part.

    Attributes:
        call: ``module:function``; the function takes :class:`Options` and yields rows.
        limit_s: Time limit, s.
    """

    name: str
    question: str
    call: str
    limit_s: float


PARTS = (
    Part("card", "Which card is it?", "benchmarks.cuda.facts:run", 45),
    Part("checks", "Do the CUDA tests pass?", "benchmarks.cuda.checks:run", 90),
    Part("mouths", "Mouths a second, built-in network", "benchmarks.cuda.mouths:run_built_in", 60),
    Part("mouths, full width", "Mouths a second, full width", "benchmarks.cuda.mouths:run_full_width", 75),
    Part("memory", "What does the card's memory hold?", "benchmarks.cuda.memory:run", 45),
    Part(
        "worker",
        "Sessions that the render worker draws for, built-in network",
        "benchmarks.cuda.worker:run_built_in",
        60,
    ),
    Part(
        "worker, full width",
        "Sessions that the render worker draws for, full width",
        "benchmarks.cuda.worker:run_full_width",
        60,
    ),
    Part("calls", "Sessions of a whole server, light clients", "benchmarks.cuda.calls:run", 100),
    Part("h264", "What does the card's H.264 encoder do?", "benchmarks.cuda.h264:run", 45),
)


@dataclass(slots=True)
class Outcome:
    """The outcome of a part.

    Attributes:
        state: ``done``, or the kind of failure.
        sentence: Reason of a failure; empty if the part is done.
        rows: Rows with equal keys; a part that ended early has its first ones.
    """

    state: PartState
    sentence: str = ""
    seconds: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)


def run_part(part: Part, options: Options, limit_s: float) -> Outcome:
    """Run a part in a process of its own; at the limit the process is killed with its children."""
    with tempfile.TemporaryDirectory() as folder:
        told, heard = Path(folder) / "outcome.json", Path(folder) / "log.txt"
        command = [sys.executable, "-m", "benchmarks.cuda.parts", part.call, str(told), json.dumps(asdict(options))]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])}
        environment |= {"OMP_NUM_THREADS": "1"} if options.stand_in else {}  # small sums, beside other work on the CPU
        began_s = time.monotonic()
        with heard.open("wb") as log:
            process = subprocess.Popen(
                command, cwd=_ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        status: int | None = None
        try:
            status = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _end(process)
        outcome = _read(told)
        outcome.seconds = round(time.monotonic() - began_s, 1)
        if status is None:
            outcome.state, outcome.sentence = "ended early", f"It was ended after {limit_s:.0f} s."
        elif status != 0:
            outcome.state, outcome.sentence = "failed", f"It ended {_how(status)}: {_last_line(heard)}"
        return outcome


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a part's process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _read(path: Path) -> Outcome:
    return Outcome(**json.loads(path.read_text())) if path.exists() else Outcome("failed")


def _how(status: int) -> str:
    if status > 0:
        return f"with status {status}"
    try:
        return f"by {signal.Signals(-status).name}"
    except ValueError:
        return f"by signal {-status}"


def _last_line(path: Path) -> str:
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing."


def _main(call: str, told: Path, options: Options) -> None:
    """Run a part in this process, and write its rows to a file as they come."""
    outcome = Outcome("ended early")
    try:
        module, _, name = call.partition(":")
        for row in getattr(importlib.import_module(module), name)(options):
            outcome.rows.append(row)
            _write(told, outcome)
    except CannotRunError as error:
        outcome.state, outcome.sentence = "cannot run", str(error)
    except ModuleNotFoundError as error:
        outcome.state, outcome.sentence = (
            "cannot run",
            f"It needs the package {error.name}, which is not installed here.",
        )
    except DeviceLostError as error:
        outcome.state, outcome.sentence = "cannot run", f"There is no card to draw on: {error}."
    except LipstreamError as error:
        outcome.state, outcome.sentence = "cannot run", f"The server says: {error.message}."
    except MemoryError as error:
        outcome.state, outcome.sentence = "cannot run", f"The card's memory is too small for it: {error}"
    else:
        outcome.state = "done"
    _write(told, outcome)


def _write(path: Path, outcome: Outcome) -> None:
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps(asdict(outcome)))
    scratch.replace(path)


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]), Options(**json.loads(sys.argv[3])))
