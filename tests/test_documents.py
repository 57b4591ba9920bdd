"""Documents wrap their lines, link to what is there, and name files that exist."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server_process import ROOT

LONGEST_LINE = 100
TOP = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "training/README.md")
DOCUMENTS = (*TOP, *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")))
WRAPPED = [name for name in DOCUMENTS if name != "training/README.md"]

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`]+)`")
_PATH = re.compile(r"(?<![\w./-])(?:realtime|avatar_cache|web|tests|benchmarks|deploy)/[\w./*{},-]*")
_MODULE = re.compile(r"python -m ((?:realtime|avatar_cache|benchmarks|training)[\w.]*)")


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each line that stands in no fenced block."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, line


def long_lines(text: str) -> list[int]:
    """Return the numbers of lines that are too long; tables cannot be wrapped."""
    return [number for number, line in prose(text) if len(line) > LONGEST_LINE and not line.startswith("|")]


def anchors(text: str) -> set[str]:
    """Return the anchors of a document's headings, as code hosts make them."""
    headings = [line.lstrip("#").strip() for _, line in prose(text) if re.match(r"#+ ", line)]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(text: str, document: Path) -> list[str]:
    """Return the links and pictures of a document that lead nowhere in this checkout."""
    broken = []
    for link in _LINK.findall("\n".join(line for _, line in prose(text))):
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        target = document.parent / path if path else document
        there = anchors(text if target == document else target.read_text()) if target.is_file() and anchor else set()
        if not target.exists() or (anchor and anchor not in there):
            broken.append(link)
    return broken


def missing_files(text: str) -> list[str]:
    """Return the paths and modules that a document names in code and that do not exist."""
    code = [
        *_CODE.findall("\n".join(line for _, line in prose(text))),
        *re.findall(r"```\w*\n(.*?)```", text, re.DOTALL),
    ]
    paths = {path.rstrip(".,") for piece in code for path in _PATH.findall(piece)}
    modules = {module.replace(".", "/") for piece in code for module in _MODULE.findall(piece)}
    return sorted(
        [path for path in paths if not any(any(ROOT.glob(one)) for one in alternatives(path))]
        + [m for m in modules if not (ROOT / f"{m}.py").exists() and not (ROOT / m / "__main__.py").exists()]
    )


def alternatives(path: str) -> list[str]:
    """Return the patterns that braces stand for: ``a/{b,c}.py`` is ``a/b.py`` and ``a/c.py``."""
    found = re.search(r"\{([^}]*)\}", path)
    if not found:
        return [path]
    before, after = path[: found.start()], path[found.end() :]
    return [whole for one in found.group(1).split(",") for whole in alternatives(f"{before}{one}{after}")]


@pytest.mark.parametrize("name", WRAPPED)
def test_lines_are_wrapped(name: str) -> None:
    assert long_lines((ROOT / name).read_text()) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    assert broken_links((ROOT / name).read_text(), ROOT / name) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_that_are_named_exist(name: str) -> None:
    assert missing_files((ROOT / name).read_text()) == []


def test_the_site_leads_to_every_document() -> None:
    site = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]

    def pages(entries: list[dict[str, object]]) -> Iterator[str]:
        for entry in entries:
            for page in entry.values():
                if isinstance(page, list):
                    yield from pages(page)
                else:
                    yield str(page)

    assert sorted(pages(site["nav"])) == sorted(DOCUMENTS)


def test_faults_are_found() -> None:
    wide = "x" * (LONGEST_LINE + 1)
    assert long_lines(f"short\n{wide}\n| {wide} |\n```\n{wide}\n```\n{wide}") == [2, 7]

    text = "# A heading (`x`)\n[a](#a-heading-x) [b](#none) [c](none.md) [d](https://example.org/) ![e](docs/none.png)"
    document = ROOT / "README.md"
    assert broken_links(f"{text} [f](docs/KIOSK.md#none) [g](docs/KIOSK.md#events)", document) == [
        "#none", "none.md", "docs/none.png", "docs/KIOSK.md#none"]  # fmt: skip

    code = "`realtime/clock.py`, `realtime/none.py` and `pytest -s tests/none`\n```\npython -m realtime.none\n```"
    assert missing_files(code) == ["realtime/none", "realtime/none.py", "tests/none"]
    assert missing_files("`realtime/{clock,none}.py`, `realtime/*.py`, `realtime/no*e/`") == ["realtime/no*e/"]
