"""The Python and JavaScript of the documents runs as it stands there, addresses apart; each piece has its test."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lipstream.own_code import import_factory
from tests.browser.chromium import Page, chromium
from tests.documented.test_start import blocks
from tests.realtime.speech import voice
from tests.server_process import ROOT, ServerProcess

HERE, START = "tests/documented/test_snippets.py", "tests/documented/test_start.py"
LIVEKIT, PIPECAT = "tests/integrations/test_livekit.py", "tests/integrations/test_pipecat.py"
TESTED = {
    "README.md": [START],
    "docs/CLUSTER.md": [HERE],
    "docs/KIOSK.md": [HERE, "tests/browser/test_kiosk_formats.py"],
    "docs/LIBRARY.md": ["tests/test_examples.py"] * 2,
    "docs/LIP_MODELS.md": ["tests/test_lip_models.py"],
    "docs/LIVEKIT.md": [LIVEKIT] * 3,
    "docs/PIPECAT.md": [PIPECAT],
    "docs/SPEAKING.md": [HERE] * 2,
    "docs/START.md": [START],
    "docs/VIEWERS.md": [HERE],
    "docs/WEB_PAGE.md": ["tests/browser/test_avatar_element.py", HERE],
    "integrations/livekit/README.md": [HERE],
    "integrations/pipecat/README.md": [HERE],
    "web/README.md": [HERE] * 2,
}
"""Which test runs each piece of a page, in order."""
PAGES = ("README.md", "docs/*.md", "integrations/*/README.md", "web/README.md", "training/README.md")
CODE = "(?:python|js|html|ts|jsx|javascript|typescript)"
SERVER = "http://127.0.0.1:8080"
PCM = np.rint(voice(0.6, 24_000) * 32767).astype("<i2")

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def server(server_store: Path) -> Iterator[ServerProcess]:
    process = ServerProcess(server_store, ("--synthesizer", "espeak-ng"))
    process.start()
    yield process
    process.stop()


@pytest.fixture(scope="module")
def page(server: ServerProcess) -> Iterator[Page]:
    """An empty page of the server, which may run what it is given."""
    with chromium(None) as page:
        page.call("Page.setBypassCSP", enabled=True)
        page.call("Page.navigate", url=f"{server.url}/static/types.d.ts")
        page.until("document.readyState === 'complete'")
        page.run(f"window.samples = Int16Array.from({PCM[:9600].tolist()}); window.told = []; 1")
        yield page


def test_each_piece_has_a_test() -> None:
    pages = {str(path.relative_to(ROOT)): blocks(str(path.relative_to(ROOT)), CODE)
             for pattern in PAGES for path in sorted(ROOT.glob(pattern))}  # fmt: skip
    assert {name: len(found) for name, found in pages.items() if found} == {
        name: len(tests) for name, tests in TESTED.items()
    }
    for test in {test for tests in TESTED.values() for test in tests}:
        assert (ROOT / test).exists()


@pytest.mark.parametrize("name", ["livekit", "pipecat"])
def test_a_plugin_says_what_its_page_says(name: str) -> None:
    (code,) = blocks(f"integrations/{name}/README.md", "python")
    documented = blocks(f"docs/{name.upper()}.md", "python")[0]
    assert set(code.splitlines()) <= set(documented.splitlines())


def python(code: str, server: ServerProcess, folder: Path) -> str:
    """Run code that speaks in a session, in a folder of its own; return what it prints."""
    (folder / "hello.s16le").write_bytes(PCM.tobytes())
    return subprocess.run(
        [sys.executable, "-c", re.sub(r"http://127.0.0.1:8080|https://face.example.org", server.url, code)],
        cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=True, timeout=120,
    ).stdout  # fmt: skip


def test_a_program_speaks_and_is_told(server: ServerProcess, tmp_path: Path) -> None:
    (code,) = blocks("docs/SPEAKING.md", "python")
    begun = server.post("/api/sessions", {})
    shown = python(f"{code}\nasyncio.run(main({begun['id']!r}, {begun['token']!r}))", server, tmp_path)
    assert "'speech_started'" in shown
    assert "'speech_ended'" in shown.splitlines()[-1]
    server.delete(begun["urls"]["self"])


def test_a_program_reads_aloud_in_a_session_of_its_own(server: ServerProcess, tmp_path: Path) -> None:
    (code,) = blocks("docs/CLUSTER.md", "python")
    (tmp_path / "hello.s16le").write_bytes(PCM.tobytes())
    sentences = "[open('hello.s16le', 'rb').read()] * 2"
    python(f"{code}\nimport asyncio\nasyncio.run(read_aloud({sentences}, ''))", server, tmp_path)


async def test_code_of_an_operator_knows_when_a_visitor_has_finished(tmp_path: Path) -> None:
    (code,) = blocks("docs/KIOSK.md", "python")
    (tmp_path / "patient.py").write_text(code)
    patient = import_factory(f"{tmp_path / 'patient.py'}:load")()

    async def heard(_: object) -> str:
        return "Over."

    assert await patient.has_finished(np.zeros(16_000, np.float32), heard)


def module(page: Page, code: str, then: str) -> None:
    """Run a module in the page, and what follows it there; wait until both are done."""
    page.run("window.done = false; window.failed = ''; window.onerror = (text) => { window.failed = text; }; 1")
    text = json.dumps(f"{code}\n{then}\nwindow.done = true;")
    page.run(f"document.body.append(Object.assign(document.createElement('script'), {{type: 'module', text: {text}}}))")
    page.until("window.done || window.failed", 60)
    assert not page.run("window.failed")


@pytest.mark.needs("chromium")
def test_a_page_speaks_as_a_program(server: ServerProcess, page: Page) -> None:
    (code,) = blocks("docs/SPEAKING.md", "js")
    page.run(f"window.session = {json.dumps(server.post('/api/sessions', {}))}; 1")
    told = "await new Promise((done) => speaker.addEventListener('event', ({detail}) => detail.sample && done()));"
    module(page, code, f"{told} speaker.close();")
    server.delete(page.run("session.urls.self"))


@pytest.mark.needs("chromium")
def test_a_page_watches_a_session(server: ServerProcess, page: Page) -> None:
    (code,) = blocks("docs/VIEWERS.md", "js")
    begun = server.post("/api/sessions", {})
    watched = f"await watch({begun['urls']['whep']!r}, {begun['viewer_token']!r})".replace("'/", f"'{server.url}/")
    seen = "const video = Object.assign(document.createElement('video'), {srcObject: stream, muted: true});"
    until = "await new Promise((done) => { video.onresize = done; video.play(); });"
    module(page, code, f"const {{stream, url}} = {watched}; {seen} {until} await fetch(url, {{method: 'DELETE'}});")


@pytest.mark.needs("chromium")
def test_the_elements_packages_page_shows_a_face(server: ServerProcess, page: Page) -> None:
    (html,), (js,) = blocks("web/README.md", "html"), blocks("web/README.md", "js")
    (track,) = blocks("docs/WEB_PAGE.md", "js")
    names = json.dumps(json.dumps({"imports": {"lipstream": "/static/avatar.js"}}))
    page.run(
        f"document.body.append(Object.assign(document.createElement('script'), {{type: 'importmap', text: {names}}}))"
    )
    imported = re.findall('<script type="module">(.*?)</script>', html)
    shown = (
        re.sub("<script.*?</script>", "", html).replace("https://face.example", server.url).replace("JOIN_TOKEN", "")
    )
    page.run(f"document.body.insertAdjacentHTML('beforeend', {json.dumps(shown)})")
    before = f"{imported[0]}\nconst stream = await navigator.mediaDevices.getUserMedia({{ audio: true }});"
    live = "while (face.state !== 'live') await new Promise((done) => setTimeout(done, 50)); face.remove();"
    module(page, f"{before}\n{js}\n{track}", live)
