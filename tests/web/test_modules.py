"""The pages' pure modules have tests of their own, in JavaScript."""

import re
import subprocess
from pathlib import Path

import pytest

WEB = Path(__file__).parent.parent.parent / "web"
FOLDERS = ("avatar", "call", "kiosk", "stage", "shared")


@pytest.mark.needs("node")
def test_the_pages_modules() -> None:
    tests = sorted(str(path) for path in (WEB / "tests").rglob("*.test.js"))
    assert len(tests) > len(FOLDERS)
    for test in tests:
        assert (WEB / Path(test).relative_to(WEB / "tests").with_name(Path(test).name.replace(".test", ""))).exists()
    run = subprocess.run(["node", "--test", *tests], check=False, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout


def test_no_page_loads_anything_from_another_host() -> None:
    files = [WEB / "avatar.js", WEB / "speaker.js", *(path for folder in FOLDERS for path in (WEB / folder).iterdir())]
    files = [path for path in files if path.suffix != ".mp3"]
    assert {path.suffix for path in files} == {".html", ".css", ".js", ".svg"}
    for path in files:
        text = path.read_text()
        assert not re.search(r"""(src|href|from|import|url\(|fetch\()\s*[=(]?\s*["']?(https?:)?//""", text), path.name
        for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert forbidden not in text, f"{path.name} uses {forbidden}"


def test_every_element_that_a_script_looks_up_is_in_a_page() -> None:
    typed = (WEB / "types.d.ts").read_text().partition("interface Elements {")[2]
    names = set(re.findall(r"^  '?([a-z-]+)'?: HTML", typed, re.MULTILINE))
    pages = "".join((WEB / page / "page.html").read_text() for page in ("call", "kiosk", "stage"))
    assert len(names) > 40
    assert not names - set(re.findall(r'id="([a-z-]+)"', pages))


def test_the_lock_of_the_checkers_names_no_host() -> None:
    assert "://" not in (WEB / "package-lock.json").read_text(), "write it by `make lock-web`"
