"""Run benchmarks: ``python -m benchmarks [NAME ...] [--json]``; without a name, all short ones."""

import argparse
import importlib
import logging
import sys

from benchmarks.report import RESULTS, machine, to_json, to_text

SHORT = (
    "predictor",
    "precisions",
    "tick",
    "mouths",
    "motions",
    "start",
    "first_run",
    "memory",
    "latency",
    "sessions",
    "browser",
    "encoders",
    "viewers",
    "hostile",
    "attacks",
    "http_cost",
    "turns",
    "echo",
    "integrations",
    "placement",
    "cluster",
)
LONG = ("soak", "cycles", "limit", "core", "trace", "cost", "others")


def main() -> int:
    """Run the benchmarks; return the exit status: 1 if a goal was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the server.")
    parser.add_argument(
        "names", nargs="*", choices=[*SHORT, *LONG, []], metavar="NAME", help=", ".join((*SHORT, *LONG))
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)
    missed = False
    RESULTS.mkdir(exist_ok=True)
    for name in options.names or SHORT:
        where = machine()
        report = importlib.import_module(f"benchmarks.{name}").run()
        (RESULTS / f"{name}.json").write_text(to_json(report, where))
        print(to_json(report, where) if options.json else to_text(report, where), flush=True)
        missed |= any(goal.holds is False for goal in report.goals)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
