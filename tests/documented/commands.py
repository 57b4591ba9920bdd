"""Finds the commands of the documents and writes docs/COMMANDS.md: ``python -m tests.documented.commands``.

`tried.toml` beside this file says of each command which test runs it or what it starts, when it was run by hand, or why
it was not run at all.
"""

import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.server_process import ROOT

PAGE = ROOT / "docs" / "COMMANDS.md"
TRIED = Path(__file__).parent / "tried.toml"
DOCUMENTS = (
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    *(path for path in sorted((ROOT / "docs").glob("*.md")) if path != PAGE),
)
PROGRAMS = {
    "apt-get", "chromium", "cp", "curl", "docker", "git", "gpg", "install", "kill", "kubectl", "lipstream", "ls",
    "make", "modprobe", "nft", "nginx", "podman", "podman-compose", "python", "python3", "ray", "sleep",
    "systemctl", "useradd", "uvx",
}  # fmt: skip
"""First words of commands. Other lines of blocks are output or files."""

_BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_INTRODUCTION = """\
# Commands

<!-- Do not edit: `python -m tests.documented.commands` writes this from
     `tests/documented/tried.toml`. -->

Every command in a block of these pages, and how it was tried. *Test* runs the command, or what it
starts, with the checks of every change; *by hand* gives the day of the last time; *not tried* says
why. A test fails if a command is missing here, or has an option that the program does not know.

| command | on | tried |
| --- | --- | --- |
"""


@dataclass(frozen=True)
class Command:
    """A command of the documents: the line as it is written, without a comment, and the pages that show it."""

    line: str
    pages: tuple[str, ...]


def block_lines(text: str) -> Iterator[str]:
    """Yield the lines of a document's shell blocks, continued ones joined, without comments."""
    for language, body in _BLOCK.findall(text):
        if language in ("", "sh", "bash"):
            for line in re.sub(r"\\\n\s*", " ", body).splitlines():
                yield re.sub(r"(?:^|\s{2,}|\s+)#\s.*$", "", re.sub(r"\s+", " ", line)).strip()


def first_word(line: str) -> str:
    """Return the program that a line runs, without assignments before it, ``sudo`` and its folder."""
    words = re.sub(r"^(?:sudo )?(?:[A-Z_]+=(?:\$\()?(?:\d+ )?)?", "", line).split()
    return words[0].rpartition("/")[2] if words else ""


def commands() -> list[Command]:
    """Return the commands of all documents, in the order of the pages."""
    pages: dict[str, list[str]] = {}
    for document in DOCUMENTS:
        for line in block_lines(document.read_text()):
            if first_word(line) in PROGRAMS:
                where = pages.setdefault(line, [])
                if document.name not in where:
                    where.append(document.name)
    return [Command(line, tuple(where)) for line, where in pages.items()]


def tried() -> dict[str, str]:
    """Return how each command of the list was tried, in the words of the page."""
    found: dict[str, str] = {}
    for group in tomllib.loads(TRIED.read_text())["group"]:
        (kind,) = {"test", "hand", "not"} & set(group)
        words = {
            "test": f"test: `{group[kind]}`",
            "hand": f"by hand, {group[kind]}",
            "not": f"not tried: {group[kind]}",
        }
        for line in group["commands"]:
            found[line] = words[kind]
    return found


def tests_named() -> list[str]:
    """Return the files of tests that the list names."""
    return [group["test"] for group in tomllib.loads(TRIED.read_text())["group"] if "test" in group]


def server_options(line: str) -> list[str] | None:
    """Return the options that a line starts the server with; ``None`` if it starts none."""
    words = shlex.split(line.replace("…", ""))
    program = first_word(line)
    if program == "make" and words[1:2] == ["run"]:
        return shlex.split(next((word[5:] for word in words if word.startswith("ARGS=")), ""))
    if program != "lipstream":
        return None
    after = words[[word.rpartition("/")[2] for word in words].index("lipstream") + 1 :]
    if after[:1] == ["serve"]:
        return after[1:]
    return after if after[:1] and after[0].startswith("-") else None


def command_and_flags(line: str) -> tuple[tuple[str, ...], list[str]] | None:
    """Return the words that name a command of ``lipstream`` and its flags; ``None`` for other lines."""
    if first_word(line) != "lipstream" or server_options(line) is not None:
        return None
    words = shlex.split(line)
    after = words[[word.rpartition("/")[2] for word in words].index("lipstream") + 1 :]
    depth = 2 if after[0] in ("avatar", "weights") else 1
    return tuple(after[:depth]), [word.partition("=")[0] for word in after[depth:] if word.startswith("--")]


def commands_page() -> str:
    """Return docs/COMMANDS.md."""
    known = tried()
    rows = []
    for command in commands():
        shown = command.line.replace("|", "\\|")
        where = ", ".join(
            f"[{name}]({'../' if name in ('README.md', 'SECURITY.md') else ''}{name})" for name in command.pages
        )
        rows.append(f"| `{shown}` | {where} | {known.get(command.line, '')} |\n")
    return _INTRODUCTION + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(commands_page())
