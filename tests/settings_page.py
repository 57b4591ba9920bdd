"""Writes docs/SETTINGS.md from the settings' own metadata: ``python -m tests.settings_page``."""

import dataclasses
from pathlib import Path
from typing import Any

from lipstream.realtime.option_values import parse_flag, parse_ice_servers, parse_names, parse_words
from lipstream.realtime.settings import Settings
from tests.server_process import ROOT

PAGE = ROOT / "docs" / "SETTINGS.md"
_INTRODUCTION = """\
# Settings

<!-- Do not edit: `python -m tests.settings_page` writes this from `realtime/settings.py`. -->

Each option has one name in three spellings. Take `max_sessions`:

| where | spelling |
| --- | --- |
| flag of `lipstream` or `python run_server.py` | `--max-sessions 4` |
| environment | `LIPSTREAM_MAX_SESSIONS=4` |
| TOML file that `--config` or `LIPSTREAM_CONFIG` names | `max_sessions = 4` |

A flag wins over the environment, the environment over the file. An option that is on or off is a
flag without a value, `1` or `0` in the environment, `true` or `false` in the file. A list is
separated as its meaning says, and is a list in the file. If a value makes no sense, the server says
which option is wrong, and does not start.

| option | environment | in the file | default | values | meaning |
| --- | --- | --- | --- | --- | --- |
"""
_KINDS: dict[Any, str] = {
    parse_flag: "on or off",
    int: "whole number",
    float: "number",
    Path: "path",
    parse_ice_servers: "JSON",
    parse_names: "list, by commas",
    parse_words: "list, by spaces",
}


def settings_page() -> str:
    """Return docs/SETTINGS.md."""
    return _INTRODUCTION + "".join(map(_row, dataclasses.fields(Settings)))


def _row(option: "dataclasses.Field[Any]") -> str:
    flag, variable = option.name.replace("_", "-"), option.name.upper()
    cells = [f"`--{flag}`", f"`LIPSTREAM_{variable}`", f"`{option.name}`", _default(option), _values(option)]
    return f"| {' | '.join(cells)} | {option.metadata['help']} |\n"


def _default(option: "dataclasses.Field[Any]") -> str:
    if computed := option.metadata["computed"]:
        return str(computed)
    if isinstance(option.default, bool):
        return "off"
    return "" if option.default in (None, "", ()) else f"`{option.default}`"


def _values(option: "dataclasses.Field[Any]") -> str:
    values, parse = option.metadata["values"], option.metadata["parse"]
    if isinstance(values, tuple):
        return ", ".join(f"`{value}`" for value in values)
    return str(values or _KINDS.get(parse, "text"))


if __name__ == "__main__":
    PAGE.write_text(settings_page())
