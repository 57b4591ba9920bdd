"""Draws a schedule as SVG: a row a thread, a colour a part, red where a thread waits for a core."""

from html import escape

from benchmarks.scheduling import Schedule, Span

_COLOURS = {
    "loop": "#3b6ea5",
    "threads": "#7fa8d1",
    "pictures": "#6a9f4b",
    "worker": "#d98032",
    "clients": "#999999",
    "others": "#5b4a6b",
}
_WAIT_COLOUR = "#d62728"
_LABEL_PX, _ROW_PX, _TOP_PX, _PX_PER_MS = 110, 15, 44, 1.6
_FONT = 'font-family="sans-serif" font-size="11"'
_FRAME_MS = 40
_LEAST_RUN_S = 0.0005
"""Threads that ran for less are left out."""
_LEAST_WAIT_S = 0.0002


def draw_schedule(found: Schedule, parts: dict[int, str], begin_s: float, end_s: float) -> str:
    """Return an SVG of the spans between two times.

    Args:
        parts: Part of each thread, by its id; all other threads share one row.
    """
    rows = _rows(found, parts)
    width = round(_LABEL_PX + (end_s - begin_s) * 1000 * _PX_PER_MS) + 10
    height = _TOP_PX + _ROW_PX * len(rows) + 24
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" {_FONT}>',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *_legend(),
        *_grid(begin_s, end_s, height),
    ]
    for row, (label, part, runs, waits) in enumerate(rows):
        top = _TOP_PX + row * _ROW_PX
        lines.append(f'<text x="{_LABEL_PX - 6}" y="{top + 11}" text-anchor="end">{escape(label)}</text>')
        lines += [_bar(run, begin_s, top + 2, _ROW_PX - 4, _COLOURS[part]) for run in runs]
        lines += [_bar(wait, begin_s, top + 6, 3, _WAIT_COLOUR) for wait in waits if wait.seconds >= _LEAST_WAIT_S]
    return "\n".join([*lines, "</svg>\n"])


def _rows(found: Schedule, parts: dict[int, str]) -> list[tuple[str, str, list[Span], list[Span]]]:
    """Return label, part, runs and waits of each row: our threads by part, then all others together."""
    runs = [run for core in sorted(found.runs) for run in found.runs[core] if run.thread]
    rows = []
    numbers: dict[str, int] = {}
    for thread, part in sorted(parts.items(), key=lambda one: (list(_COLOURS).index(one[1]), one[0])):
        ran = [run for run in runs if run.thread == thread]
        if sum(run.seconds for run in ran) < _LEAST_RUN_S:
            continue
        numbers[part] = numbers.get(part, 0) + 1
        label = part if numbers[part] == 1 else f"{part} {numbers[part]}"
        rows.append((label, part, ran, [wait for wait in found.waits if wait.thread == thread]))
    others = [run for run in runs if run.thread not in parts]
    return [*rows, ("others", "others", others, [])]


def _legend() -> list[str]:
    lines = []
    for at, (name, colour) in enumerate({**_COLOURS, "waits for a core": _WAIT_COLOUR}.items()):
        x = _LABEL_PX + at * 110
        lines.append(f'<rect x="{x}" y="8" width="11" height="11" fill="{colour}"/>')
        lines.append(f'<text x="{x + 16}" y="18">{name}</text>')
    return lines


def _grid(begin_s: float, end_s: float, height: int) -> list[str]:
    lines = []
    for ms in range(0, round((end_s - begin_s) * 1000) + 1, _FRAME_MS):
        x = _LABEL_PX + ms * _PX_PER_MS
        lines.append(f'<path d="M{x:.1f} {_TOP_PX - 6}V{height - 20}" stroke="#dddddd"/>')
        if ms % (5 * _FRAME_MS) == 0:
            lines.append(f'<text x="{x:.1f}" y="{height - 6}" text-anchor="middle">{ms} ms</text>')
    return lines


def _bar(span: Span, begin_s: float, top: float, height: float, colour: str) -> str:
    x = _LABEL_PX + (span.begin_s - begin_s) * 1000 * _PX_PER_MS
    width = max(0.4, span.seconds * 1000 * _PX_PER_MS)
    return f'<rect x="{x:.1f}" y="{top}" width="{width:.1f}" height="{height}" fill="{colour}"/>'
