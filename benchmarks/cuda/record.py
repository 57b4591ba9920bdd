"""The results, written to a file after each part, so that an interrupted run can continue."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.cuda.options import Options
from benchmarks.cuda.parts import Outcome, Part
from benchmarks.report import machine, table

REPLACED = "ran on the CPU with the card replaced: it shows that every part runs, and no figure is a card's"
SHORT = "ran in short: it shows that every part runs, and no figure is worth keeping"
_SAME = ("processor", "python", "commit", "stand_in", "short")


class Record:
    """The file of results.

    Args:
        path: Path of the file; results of the same code on the same machine are kept.
        fresh: Whether to discard earlier results.
    """

    def __init__(self, path: Path, options: Options, *, fresh: bool = False) -> None:
        self._path = path
        self.where: dict[str, Any] = machine() | asdict(options)
        self.outcomes: dict[str, Outcome] = {}
        if path.exists() and not fresh:
            self._take_over(json.loads(path.read_text()))

    def _take_over(self, known: dict[str, Any]) -> None:
        if all(known["machine"].get(key) == self.where[key] for key in _SAME):
            self.outcomes = {name: Outcome(**outcome) for name, outcome in known["parts"].items()}

    def is_done(self, part: Part) -> bool:
        """Return whether a part has a complete result."""
        return part.name in self.outcomes and self.outcomes[part.name].state == "done"

    def keep(self, part: Part, outcome: Outcome) -> None:
        """Write the outcome of a part; another card than before discards all other results."""
        known = self.outcomes.get(part.name)
        if part.name == "card" and outcome.state == "done" and known and _card(known) != _card(outcome):
            self.outcomes = {}
        self.outcomes[part.name] = outcome
        self._path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self._path.with_suffix(".new")
        scratch.write_text(self.to_json())
        scratch.replace(self._path)

    def to_json(self) -> str:
        """Return all results as JSON."""
        parts = {name: asdict(outcome) for name, outcome in self.outcomes.items()}
        notes = [REPLACED] * self.where["stand_in"] + [SHORT] * self.where["short"]
        return json.dumps({"machine": self.where, "notes": notes, "parts": parts}, indent=1) + "\n"

    def to_text(self, parts: tuple[Part, ...]) -> str:
        """Return all results as a table."""
        lines = [f"CUDA on {self.where['processor']}, {self.where['cores']} cores"]
        lines += [f"  {REPLACED}"] * self.where["stand_in"] + [f"  {SHORT}"] * self.where["short"]
        for part in parts:
            outcome = self.outcomes.get(part.name, Outcome("not begun", "It was not asked for yet."))
            lines += ["", f"{part.name}: {part.question} ({outcome.state}, {outcome.seconds:g} s)"]
            lines += [f"  {outcome.sentence}"] if outcome.sentence else []
            lines += table(outcome.rows)
        return "\n".join(lines)


def _card(outcome: Outcome) -> dict[str, Any]:
    facts = {row["fact"]: row["value"] for row in outcome.rows}
    return {fact: facts.get(fact) for fact in ("card", "driver", "torch", "compute capability")}
