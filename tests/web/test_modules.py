"""The page's pure modules have tests of their own, in JavaScript."""

import re
import subprocess
from pathlib import Path

import pytest

WEB = Path(__file__).parent.parent.parent / "web"


@pytest.mark.needs("node")
def test_the_pages_modules() -> None:
    tests = sorted(str(path) for path in (WEB / "tests").glob("*.test.js"))
    assert tests
    run = subprocess.run(["node", "--test", *tests], check=False, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout


def test_no_page_loads_anything_from_another_host() -> None:
    for path in [*WEB.glob("*.html"), *WEB.glob("*.css"), *WEB.glob("*.js"), *WEB.glob("*.svg")]:
        text = path.read_text()
        assert not re.search(r"""(src|href|from|import|url\(|fetch\()\s*[=(]?\s*["']?(https?:)?//""", text), path.name
        for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert forbidden not in text, f"{path.name} uses {forbidden}"
