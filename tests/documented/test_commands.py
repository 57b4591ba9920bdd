"""Each command of the documents is in the list of those that were tried, and its options exist."""

import re
import shlex
import subprocess
import sys
from functools import cache

import pytest

from lipstream.realtime import settings
from tests.documented import commands as documented
from tests.server_process import ROOT

INLINE = re.compile(r"`((?:\.venv/bin/)?lipstream [^`\n]+|make run ARGS=[^`\n]+)`")


def test_the_list_has_every_command_of_the_documents_and_no_other() -> None:
    shown = {command.line for command in documented.commands()}
    assert len(shown) > 50
    assert shown - set(documented.tried()) == set(), "add them to tests/documented/tried.toml"
    assert set(documented.tried()) - shown == set(), "they are shown no more"


def test_the_tests_of_the_list_exist() -> None:
    for name in documented.tests_named():
        assert (ROOT / name).is_file(), name


def test_the_page_is_what_the_list_says() -> None:
    assert documented.PAGE.read_text() == documented.commands_page(), "run `python -m tests.documented.commands`"


def lines() -> list[str]:
    """Return the commands of ``lipstream`` and ``make run`` in blocks and within sentences."""
    inline = [line for path in documented.DOCUMENTS for line in INLINE.findall(path.read_text())]
    return sorted({*(command.line for command in documented.commands()), *inline})


@pytest.mark.parametrize("line", [line for line in lines() if documented.server_options(line) is not None])
def test_the_server_knows_the_options(line: str) -> None:
    options = documented.server_options(line)
    assert options is not None
    known = settings._parser("lipstream").format_help()
    for word in options:
        if word.startswith("--"):
            assert re.search(rf"{re.escape(word.partition('=')[0])}\b", known), word


@cache
def usage(*words: str) -> str:
    """Return the help of a command of ``lipstream``."""
    return subprocess.run(
        [sys.executable, "-m", "lipstream", *words, "--help"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip


@pytest.mark.parametrize("line", [line for line in lines() if documented.command_and_flags(line)])
def test_the_other_commands_know_theirs(line: str) -> None:
    named = documented.command_and_flags(line)
    assert named
    words, flags = named
    help_text = usage(*words)
    for flag in flags:
        assert re.search(rf"{re.escape(flag)}\b", help_text), f"{shlex.join(words)} has no {flag}"


def test_a_line_says_what_it_runs() -> None:
    block = "a\n```sh\nLONG=1 make soak  # an hour\nsudo /usr/bin/nft add \\\n    rule\n```\n```json\nmake x\n```\n"
    assert list(documented.block_lines(block)) == ["LONG=1 make soak", "sudo /usr/bin/nft add rule"]
    assert documented.first_word("LONG=1 make soak") == "make"
    assert documented.first_word("S=$(curl -s x)") == "curl"
    assert documented.first_word("sudo /usr/bin/nft add rule") == "nft"
    assert documented.server_options('make run ARGS="--port 9"') == ["--port", "9"]
    assert documented.server_options(".venv/bin/lipstream serve --host ::1") == ["--host", "::1"]
    assert documented.server_options("lipstream render --audio a") is None
    assert documented.command_and_flags("lipstream avatar build x --id=y --still") == (
        ("avatar", "build"), ["--id", "--still"])  # fmt: skip
