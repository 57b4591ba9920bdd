"""The placement of 100,000 sessions in virtual time: the policy of `realtime.cluster.placement` against four others.

Sessions come by a day's curve, once with a flash crowd, once with workers that are killed; they stay for minutes and
cannot be moved. `realtime.cluster.autoscaling` starts workers and drains empty ones.
"""

import dataclasses
from typing import Any

from benchmarks.fleet import AVATARS, FIGURES_AGE_S, INGRESSES, POLICIES, Fleet, Scenario, figures_of
from benchmarks.report import Goal, Report, at_most

SEED = 1
DAYS = (
    Scenario(),
    Scenario(name="flash crowd, 6 times for 5 min", flash=6.0),
    Scenario(name="a worker killed each hour", failures_per_day=24),
)
OURS = "Lipstream's"


def run(days: tuple[Scenario, ...] = DAYS) -> Report:
    """Let every policy live through the same days."""
    report = Report("What does the placement of sessions cost, by policy?")
    report.conditions = {
        **{name: value for name, value in dataclasses.asdict(days[0]).items() if name != "name"},
        "ingresses": INGRESSES,
        "age of their figures, s": FIGURES_AGE_S,
        "avatars": AVATARS,
        "seed": SEED,
    }
    for day in days:
        for name, policy in POLICIES.items():
            report.rows.append(figures_of(day, name, Fleet(day, policy(), SEED).run()))
    report.goals = goals_of(report.rows)
    return report


def goals_of(rows: list[dict[str, Any]]) -> list[Goal]:
    """Return the goals, from the rows of all days and policies."""
    ours = [row for row in rows if row["policy"] == OURS]
    best = min(row["worker hours"] for row in rows if row["day"] == ours[0]["day"])
    lost_s = max((row["again after s, p95"] for row in ours if row["lost"]), default=None)
    return [
        at_most("full at first on a plain day", ours[0]["full at first %"], 0.1, "%"),
        at_most("workers asked for a session on a plain day", ours[0]["asked a session"], 1.05, ""),
        at_most(
            "worker hours of a plain day against the cheapest policy", ours[0]["worker hours"] / best, 1.0, "times"
        ),
        at_most("p95 from a worker's death to the next session", lost_s, 5.0, "s"),
    ]
