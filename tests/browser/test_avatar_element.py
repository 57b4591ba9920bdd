"""The element `<lipstream-avatar>` in a page of another site."""

import json
import re
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.browser.chromium import Page, chromium
from tests.browser.firefox import FirefoxPage, firefox
from tests.browser.other_site import site
from tests.realtime.speech import voice
from tests.server_process import ROOT, ServerProcess

pytestmark = [pytest.mark.needs("espeak-ng"), pytest.mark.timeout(420)]

RATE = 24_000
(DOCUMENTED,) = re.findall(r"```html\n(<!doctype html>.*?)```", (ROOT / "docs/WEB_PAGE.md").read_text(), re.DOTALL)
EMPTY = """<!doctype html>
<html data-state="there"><link rel="icon" href="data:,"><meta charset="utf-8">
<script type="module" src="{}/static/avatar.js"></script>
<body><div id="here"></div><div id="there"></div>
"""
NOTE = """
(async () => {
  await customElements.whenDefined('lipstream-avatar');
  window.face = document.querySelector('lipstream-avatar');
  window.seen = [];
  for (const name of ['connected', 'disconnected', 'speaking', 'ended', 'caption', 'error', 'message']) {
    face.addEventListener(name, ({detail}) => seen.push([name, detail]));
  }
  window.part = (name) => face.shadowRoot.querySelector(`[part=${name}]`);
  window.times = (name) => seen.filter(([one]) => one === name).length;
})()
"""
LIVE = "face.state === 'live' && part('video').videoWidth > 0"
VOICE = """
(async () => {
  window.voice = new Float32Array(await (await fetch('voice.f32')).arrayBuffer());
  window.long = Float32Array.from({length: 5 * voice.length}, (_, place) => voice[place % voice.length]);
  window.sound = () => {
    const context = new AudioContext(), buffer = context.createBuffer(1, voice.length, 24000);
    buffer.copyToChannel(voice, 0);
    const source = new AudioBufferSourceNode(context, {buffer, loop: true});
    const out = new MediaStreamAudioDestinationNode(context);
    source.connect(out);
    source.start();
    return out.stream.getAudioTracks()[0];
  };
})()
"""

WATCH_PEERS = """
(() => {
  window.peers = [];
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...options) { super(...options); peers.push(this); }
  };
  window.sent = async () => {
    const entries = [...(await peers.at(-1).getStats()).values()];
    return entries.find(({type, kind}) => type === 'outbound-rtp' && kind === 'audio')?.packetsSent ?? 0;
  };
})()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("site")
    voice(1.5, RATE).astype("<f4").tofile(made / "voice.f32")
    return made


@pytest.fixture(scope="module")
def origin(folder: Path) -> Iterator[str]:
    with site(folder) as address:
        yield address


@pytest.fixture(scope="module")
def server(server_store: Path, origin: str) -> Iterator[ServerProcess]:
    process = ServerProcess(server_store, ("--allowed-origins", origin, "--synthesizer", "espeak-ng"))
    process.start()
    yield process
    process.process.send_signal(signal.SIGTERM)  # type: ignore[union-attr]
    time.sleep(0.2)
    process.stop()  # the second signal does not wait for live sessions


def made(**properties: object) -> str:
    """Return what makes an element in JavaScript."""
    return f"Object.assign(document.createElement('lipstream-avatar'), {json.dumps(properties)})"


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with chromium(None) as page:
        yield page


@pytest.fixture
def page(browser: Page) -> Page:
    """The tab that most of these tests share, as new."""
    browser.call("Emulation.setEmulatedMedia", features=[])
    browser.complaints.clear()
    return browser


@contextmanager
def element(page: Page, folder: Path, origin: str, server: ServerProcess, **attributes: object) -> Iterator[None]:
    """Open a page with one element; leave it in the end, and wait until its sessions have ended."""
    (folder / "empty.html").write_text(EMPTY.format(server.url))
    page.open(f"{origin}/empty.html")
    page.run(f"document.getElementById('here').append({made(src=server.url, **attributes)})")
    page.run(NOTE)
    page.run(VOICE)
    yield
    leave(page, server)


def sessions(server: ServerProcess) -> list[str]:
    return [one["id"] for one in server.get("/api/sessions")]


def leave(page: Page, server: ServerProcess) -> None:
    """Leave the page: the sessions that its elements have begun end."""
    page.call("Page.navigate", url="about:blank")
    until_none(server)


def until_none(server: ServerProcess) -> None:
    deadline = time.monotonic() + 30
    while sessions(server):
        assert time.monotonic() < deadline, "a session is left behind"
        time.sleep(0.1)


def until(page: Page | FirefoxPage, expression: str) -> None:
    """Wait until an expression is true; a page that is only just being loaded may not know what it is made of."""
    deadline = time.monotonic() + 60
    while not page.run(f"document.body && Boolean({expression})"):
        assert time.monotonic() < deadline, f"{expression}: {page.run('[window.face?.state, window.seen?.slice(-30)]')}"
        time.sleep(0.1)


@pytest.mark.needs("chromium")
def test_the_page_of_the_document_shows_a_face_that_speaks(
    page: Page, folder: Path, origin: str, server: ServerProcess
) -> None:
    assert len(DOCUMENTED.splitlines()) == 10
    (folder / "index.html").write_text(DOCUMENTED.replace("http://127.0.0.1:8080", server.url))
    page.call("Page.navigate", url=f"{origin}/index.html")
    until(page, "customElements.get('lipstream-avatar') && document.querySelector('button')")
    page.run(NOTE)
    page.run("document.querySelector('button').click()")  # it waits for the connection
    until(page, "times('speaking') === 1")
    until(page, LIVE)
    assert page.run("part('caption').innerText") == "Good morning."
    until(page, "part('poster').classList.contains('gone')")
    page.screenshot(folder / "page.png")
    until(page, "times('caption') === 2 && !face.speaking")
    assert page.run("seen.find(([name]) => name === 'ended')[1]") == {"interrupted": False}
    assert page.run("seen.filter(([name]) => name === 'caption').map(([, {text}]) => text)") == [
        "Good morning.",
        "I am a face in a page of yours.",
    ]
    until(page, "part('caption').innerText === ''")
    assert [text for text in page.complaints if "404" not in text] == [], "but for the page's missing icon"
    leave(page, server)


@pytest.mark.needs("chromium")
def test_it_says_sound_and_a_track_and_can_be_interrupted(
    page: Page, folder: Path, origin: str, server: ServerProcess
) -> None:
    told = "seen.some(([, one]) => one?.type === 'interrupted')"
    with element(page, folder, origin, server, avatar="ada"):
        spoken = "face.speak(voice, 24000), face.speak(Int16Array.from(voice, (value) => value * 32767), 16000)"
        page.run(f"Promise.all([{spoken}, face.endOfSpeech()]).then(() => 1)")
        # The second sound, of another rate and so longer, is heard whole.
        until(page, "seen.some(([, one]) => one?.type === 'playout' && one.heard_ms > 2200) && !face.speaking")
        assert page.run("seen.every(([name, one]) => name !== 'ended' || !one.interrupted)")

        for say in ("face.say('One. Two. Three. Four. Five. Six. Seven. Eight.')", "face.speak(long, 24000)"):
            page.run(f"seen.length = 0; void {say}")
            until(page, "face.speaking")
            page.run("face.interrupt()")
            until(page, f"{told} && !face.speaking")
        assert page.run("seen.find(([name]) => name === 'ended')[1]") == {"interrupted": True}

        page.run("void (face.track = sound())")
        until(page, "face.speaking")
        page.run("void (face.track = null)")
        until(page, "!face.speaking")
        assert not page.complaints
        assert "has no motions" in page.run("face.motion('greet').catch((error) => error.message)")


@pytest.mark.needs("chromium")
def test_it_follows_the_document_and_its_attributes(
    page: Page, folder: Path, origin: str, server: ServerProcess
) -> None:
    with element(page, folder, origin, server, captions=True, poster="none.png"):
        until(page, LIVE)
        (first,) = sessions(server)
        page.run("document.getElementById('there').append(face)")
        page.run("face.avatar = 'ada'; face.muted = true; 1")
        until(page, "part('video').muted && !part('video').paused")
        until(page, "times('connected') === 1")
        assert sessions(server) == [first], "moved and changed, it keeps its session"
        page.run("face.remove()")
        until(page, "face.state === 'idle' && times('disconnected') === 1")
        until_none(server)
        assert "InvalidStateError" in page.run("face.say('Nobody hears this.').catch((error) => String(error))")
        page.run("document.body.append(face)")
        until(page, LIVE)
        assert len(sessions(server)) == 1
        page.run("face.avatar = 'nobody'; 1")
        until(page, "times('error') === 1")
        page.run("face.avatar = 'ada'; 1")

        server.stop(signal.SIGKILL)
        until(page, "face.state === 'reconnecting' && part('status').innerText === 'Connection lost'")
        server.start()
        until(page, f"times('connected') === 3 && {LIVE}")
        assert page.run("part('status').innerText") == ""


@pytest.mark.needs("chromium")
def test_who_wants_less_motion_sees_a_face_that_moves_only_to_speak(
    page: Page, folder: Path, origin: str, server: ServerProcess
) -> None:
    with element(page, folder, origin, server, avatar="ada"):
        until(page, LIVE)
        assert page.run("part('still').classList.contains('gone')")
        reduced: dict[str, Any] = {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
        page.call("Emulation.setEmulatedMedia", **reduced)
        until(page, "!part('still').classList.contains('gone') && part('still').width === part('video').videoWidth")
        page.run("face.speak(voice, 24000)")
        page.run("face.endOfSpeech()")
        until(page, "face.speaking && part('still').classList.contains('gone')")
        until(page, "!face.speaking && !part('still').classList.contains('gone')")
        assert not page.complaints


@pytest.mark.needs("chromium")
def test_a_session_of_the_pages_own_server_is_joined_or_watched(
    page: Page, server_store: Path, folder: Path, origin: str, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text("the key of an operator")
    shutil.copytree(server_store, tmp_path / "store")  # two servers have no store in common
    server = ServerProcess(tmp_path / "store", ("--allowed-origins", origin, "--secret-file", str(tmp_path / "keys")))
    server.key = "the key of an operator"
    server.start()
    try:
        begun = server.post("/api/sessions", {"avatar": "ada"})
        with element(page, folder, origin, server, session=begun["id"], token=begun["token"]):
            until(page, LIVE)
            watched = {"src": server.url, "session": begun["id"], "token": begun["viewer_token"], "viewer": True}
            page.run(f"void document.body.append(window.other = {made(**watched)})")
            until(page, "other.shadowRoot.querySelector('video').videoWidth > 0")
            assert server.get(begun["urls"]["self"])["viewers"]["connected"] == 1
            server.post(f"{begun['urls']['self']}/recording", {})
            for one in ("face", "other"):
                until(page, f"{one}.shadowRoot.querySelector('[part=recorded]').innerText === 'Recorded'")
            assert "only watches" in page.run("other.say('no').catch((error) => error.message)")
            page.run("void other.remove()")
            page.run("face.token = 'wrong'; 1")
            until(page, "times('error') === 1")
            assert page.run("seen.find(([name]) => name === 'error')[1].retries") is False
            assert sessions(server) == [begun["id"]], "a session of others is not ended"
            server.delete(begun["urls"]["self"])
            joining = server.post("/api/tokens", {})
            page.run(f"face.removeAttribute('session'); face.avatar = 'ada'; face.token = {joining['token']!r}; 1")
            until(page, "times('connected') === 2")
            until(page, "part('poster').src.startsWith('blob:')")
            assert len(sessions(server)) == 1
    finally:
        server.stop(signal.SIGKILL)


@pytest.mark.needs("chromium")
def test_where_no_page_may_play_sound_by_itself_the_element_offers_it(
    folder: Path, origin: str, server: ServerProcess
) -> None:
    (folder / "empty.html").write_text(EMPTY.format(server.url))
    sounds = "face.shadowRoot.querySelector('[part=sound]').hidden"
    with chromium(None, flags=("--autoplay-policy=document-user-activation-required",)) as page:
        page.open(f"{origin}/empty.html")
        page.run(f"document.getElementById('here').append({made(src=server.url)})")
        page.run(NOTE)
        until(page, LIVE)
        watching = {"src": server.url, "session": sessions(server)[0], "viewer": True, "muted": True}
        page.run(f"document.getElementById('there').append(window.other = {made(**watching)})")
        until(page, "other.state === 'live'")
        until(page, f"!{sounds} && part('video').muted && !part('video').paused")
        assert page.run(sounds.replace("face.", "other.")), "nobody asked for its sound"
        box = page.run("(() => { const { x, y } = part('sound').getBoundingClientRect(); return [x + 5, y + 5]; })()")
        for kind in ("mousePressed", "mouseReleased"):
            page.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)
        until(page, f"{sounds} && !part('video').muted && !part('video').paused")
        page.run("part('video').play = () => Promise.reject(new DOMException('', 'AbortError')); face.muted = true; 1")
        page.run("face.muted = false; delete part('video').play; 1")
        assert page.run(sounds), "a stream that took another's place is no refusal"
        assert not page.run("part('video').muted")
        leave(page, server)


@pytest.mark.needs("firefox")
def test_the_page_of_the_document_speaks_in_firefox(folder: Path, origin: str, server: ServerProcess) -> None:
    (folder / "index.html").write_text(DOCUMENTED.replace("http://127.0.0.1:8080", server.url))
    with firefox() as page:
        page.open(f"{origin}/index.html")
        page.run(NOTE)
        page.run(VOICE)
        page.run("face.say('Good morning.')")
        until(page, LIVE)
        until(page, "times('ended') === 1")
        assert page.run("times('caption')") == 1
        page.run("face.speak(voice, 24000)")
        page.run("face.endOfSpeech()")
        until(page, "times('ended') === 2")
        page.run(WATCH_PEERS)
        page.run("face.reconnect()")
        until(page, "times('connected') === 2")
        tone = "navigator.mediaDevices.getUserMedia({audio: true})"  # its contexts for audio want a device
        page.run(f"{tone}.then((stream) => {{ [window.tone] = stream.getAudioTracks(); face.track = tone; }})")
        until(page, "peers.at(-1).getSenders().some(({track}) => track === tone) && await sent() > 50")
        assert page.run("times('error')") == 0
        page.run("face.remove()")
        until_none(server)


@pytest.mark.needs("chromium")
def test_a_site_that_is_not_allowed_learns_that_no_answer_comes(
    page: Page, server: ServerProcess, tmp_path: Path
) -> None:
    (tmp_path / "static").symlink_to(ROOT / "web")
    (tmp_path / "index.html").write_text(EMPTY.format(""))
    with site(tmp_path) as other:
        page.open(f"{other}/index.html")
        page.run(f"document.body.append({made(src=server.url)});{NOTE}")  # at once: it fails soon
        until(page, "times('error') === 1")
        assert page.run("seen[0][1]") == {
            "reason": "unreachable",
            "message": "The server does not answer.",
            "retries": True,
        }
        assert page.run("part('status').innerText") == "The server does not answer"
