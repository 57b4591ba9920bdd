"""Measure a card: ``python -m benchmarks.cuda``; a second run continues an interrupted one."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cuda.options import Options
from benchmarks.cuda.parts import PARTS, Outcome, Part, run_part
from benchmarks.cuda.record import Record
from benchmarks.report import RESULTS

BUDGET_S = 300.0
"""Time for one run, s."""
LEAST_S = 5.0
"""With less time left, no further part is started, s."""


def main(arguments: Sequence[str] | None = None, parts: tuple[Part, ...] = PARTS) -> int:
    """Run the parts; return the exit status: 1 if a CUDA test failed, else 0."""
    asked = _asked(arguments, parts)
    options = Options(stand_in=asked.stand_in, short=asked.short or asked.stand_in)
    record = Record(asked.output, options, fresh=asked.fresh)
    end_s = time.monotonic() + asked.budget
    for part in parts:
        if (asked.parts and part.name not in asked.parts) or (record.is_done(part) and part.name != "card"):
            continue
        left_s = end_s - time.monotonic()
        print(f"{part.name} ...", file=sys.stderr, flush=True)
        if left_s < LEAST_S:
            outcome = Outcome("not begun", f"The run's {asked.budget:.0f} s were used up: run it again to go on.")
        else:
            outcome = run_part(part, options, min(part.limit_s, left_s))
        record.keep(part, outcome)
    print(record.to_text(parts), flush=True)
    checks = record.outcomes.get("checks", Outcome("not begun"))
    return int(any(row["outcome"] == "failed" for row in checks.rows))


def _asked(arguments: Sequence[str] | None, parts: tuple[Part, ...]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cuda", description="Measure a card; run again to go on where it was."
    )
    names = ", ".join(part.name for part in parts)
    parser.add_argument("parts", nargs="*", choices=[*(part.name for part in parts), []], metavar="PART", help=names)
    parser.add_argument("--output", type=Path, default=RESULTS / "cuda.json", help="where it is kept (%(default)s)")
    parser.add_argument("--fresh", action="store_true", help="measure again what is there")
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds of this run (%(default)g)")
    parser.add_argument("--short", action="store_true", help="run all of the code and measure little")
    parser.add_argument("--stand-in", action="store_true", help="let the CPU take the card's place, in short")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
