"""Draws the recorded results for the documents: ``python -m benchmarks.plots`` writes ``docs/figures/*.svg``."""

import json
from html import escape
from typing import Any

from benchmarks.report import RESULTS

FIGURES = RESULTS.parent.parent / "docs" / "figures"
_COLOURS = ("#3b6ea5", "#d98032", "#6a9f4b", "#9a5ea1")
_LABEL_PX, _BARS_PX, _VALUE_PX, _ROW_PX, _TOP_PX = 250, 380, 70, 22, 34

Bars = list[tuple[str, dict[str, float]]]


def main() -> None:
    """Draw every figure whose results exist."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    for name, draw in {"predictor": _predictor, "tick": _tick, "sessions": _sessions, "placement": _placement}.items():
        if (path := RESULTS / f"{name}.json").exists():
            (FIGURES / f"{name}.svg").write_text(draw(json.loads(path.read_text())["rows"]))


def stacked_bars(title: str, unit: str, bars: Bars) -> str:
    """Return an SVG of horizontal bars, each a stack of named parts."""
    parts = list(dict.fromkeys(part for _, values in bars for part in values))
    longest = max(sum(values.values()) for _, values in bars)
    height = _TOP_PX + _ROW_PX * (len(bars) + (len(parts) > 1)) + 8
    width = _LABEL_PX + _BARS_PX + _VALUE_PX
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(8, 20, f"{title}, {unit}", weight="bold"),
    ]
    for row, (label, values) in enumerate(bars):
        y, x = _TOP_PX + row * _ROW_PX, float(_LABEL_PX)
        lines.append(_text(_LABEL_PX - 8, y + 14, label, anchor="end"))
        for part, value in values.items():
            length, colour = value / longest * _BARS_PX, _COLOURS[parts.index(part) % len(_COLOURS)]
            lines.append(f'<rect x="{x:.1f}" y="{y}" width="{length:.1f}" height="{_ROW_PX - 6}" fill="{colour}"/>')
            x += length
        lines.append(_text(x + 6, y + 14, f"{sum(values.values()):.3g}"))
    if len(parts) > 1:
        y = _TOP_PX + len(bars) * _ROW_PX
        for at, part in enumerate(parts):
            x = 20 + at * (width - 40) / len(parts)
            lines.append(
                f'<rect x="{x:.0f}" y="{y + 3}" width="12" height="12" fill="{_COLOURS[at % len(_COLOURS)]}"/>'
            )
            lines.append(_text(x + 18, y + 14, part))
    return "\n".join([*lines, "</svg>\n"])


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    style = f'font-size="13" text-anchor="{anchor}" font-weight="{weight}" fill="#222222"'
    return f'<text x="{x:.0f}" y="{y:.0f}" {style}>{escape(text)}</text>'


def _predictor(rows: list[dict[str, Any]]) -> str:
    chosen = [r for r in rows if r["network"] in ("built-in", "width 1, 96 px") and r["how"] != "torch fp32"]
    bars: Bars = [(f"{r['network']}, {r['how']}, batch {r['batch']}", {"": r["ms a frame"]}) for r in chosen]
    return stacked_bars("A mouth, two cores", "ms", bars)


def _tick(rows: list[dict[str, Any]]) -> str:
    return stacked_bars(
        "One speaking session's frame, by part", "ms", [(r["part"], {"": r["ms a frame"]}) for r in rows]
    )


def _sessions(rows: list[dict[str, Any]]) -> str:
    parts = ("loop", "threads", "pictures", "worker", "clients")
    bars: Bars = [
        (f"{r['sessions']} {r['who']}, {r['late %']:g} % late", {p: r[f"{p} CPU %"] for p in parts}) for r in rows
    ]
    return stacked_bars("Processor time by part", "% of one core", bars)


def _placement(rows: list[dict[str, Any]]) -> str:
    """Draw what each policy pays for on a plain day: room that is used, and room that is not."""
    bars: Bars = []
    for row in (row for row in rows if row["day"] == rows[0]["day"]):
        used = row["worker hours"] * row["in use %"] / 100
        bars.append((row["policy"], {"in use": used, "free": row["worker hours"] - used}))
    return stacked_bars("Workers paid for in a day of 100,000 sessions", "hours", bars)


if __name__ == "__main__":
    main()
