"""The whole way: recorded speech in Chromium's microphone, the avatar's picture and sound in the page."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.browser.chromium import BUILD_S, PATIENCE_S, Page, chromium
from tests.realtime.fakes import add_motions, make_store
from tests.server_process import ServerProcess

pytestmark = [pytest.mark.needs("chromium", "recorded speech"), pytest.mark.timeout(900)]

StartServer = Callable[..., ServerProcess]
PORTRAIT = Path(__file__).parent.parent / "avatar_cache" / "astronaut.jpg"

# At every new picture: when, how loud the returned sound was just before, and the pixels of the mouth.
_WATCH = """
(async (pictures, seconds) => {
  const video = document.getElementById('avatar-video');
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, {fftSize: 2048});
  context.createMediaStreamSource(video.srcObject).connect(analyser);
  const sound = new Float32Array(analyser.fftSize);
  const side = 14, canvas = new OffscreenCanvas(side, side);
  const brush = canvas.getContext('2d', {willReadFrequently: true});
  brush.imageSmoothingQuality = 'high';
  const [left, top, width, height] = %s;
  const seen = [];
  const end = performance.now() + seconds * 1000;
  const isOver = (now) => now - seen[0][0] >= pictures * 40 && seen.length >= pictures / 2;
  await new Promise((done) => {
    const look = (now) => {
      brush.drawImage(video, left * video.videoWidth, top * video.videoHeight, width * video.videoWidth,
                      height * video.videoHeight, 0, 0, side, side);
      const pixels = brush.getImageData(0, 0, side, side).data;
      analyser.getFloatTimeDomainData(sound);
      let power = 0;
      for (const value of sound) power += value * value;
      seen.push([now, Math.sqrt(power / sound.length), ...pixels.filter((_, place) => place %% 4 === 1)]);
      if (now < end && !isOver(now)) video.requestVideoFrameCallback(look); else done();
    };
    video.requestVideoFrameCallback(look);
  });
  return seen;
})(%d, %d)
"""
_PICTURES, _MOST_S = 500, 140
"""Pictures to watch for, those that are left out included: 20 s, longer where fewer than half of them are shown."""
_PICTURE_MS = 40


_NOTE_PRESSED = """
window.pressed = [];
new MutationObserver(([{target}]) => window.pressed.push(target.getAttribute('aria-pressed')))
  .observe(document.querySelector('#motions [value="greet"]'), {attributeFilter: ['aria-pressed']});
"""


def _start_call(page: Page, server: ServerProcess) -> None:
    page.open(server.url)
    page.until("document.querySelector('[data-avatar] input')")
    page.click("start")
    page.until("document.documentElement.dataset.state === 'live'")
    page.until("document.getElementById('avatar-video').videoWidth > 0")


def _mouth_rectangle(server: ServerProcess) -> list[float]:
    """Return where the first avatar's lips are, as shares of the picture."""
    facts = server.get(f"/api/avatars/{server.get('/api/avatars')[0]['id']}")
    (x, y, width, height), (across, down) = facts["face"], facts["size"]
    return [(x + 0.35 * width) / across, (y + 0.65 * height) / down, 0.3 * width / across, 0.22 * height / down]


def _smooth(values: np.ndarray, frames: int = 5) -> np.ndarray:
    return np.convolve(values, np.ones(frames) / frames, mode="same")


def _words(page: Page) -> str:
    """Return what the page says about its state."""
    return str(
        page.run("document.getElementById('status').innerText + ' ' + document.getElementById('notice').innerText")
    )


def _until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _state(name: str) -> str:
    return f"document.documentElement.dataset.state === '{name}'"


def test_speech_moves_the_mouth_and_comes_back(start_server: StartServer, speech_wav: Path) -> None:
    server = start_server()
    freezes = "document.querySelector('[data-figure=freezes]').dataset.value"
    with chromium(speech_wav) as page:
        _start_call(page, server)
        page.click("hear")
        page.until(f"{freezes} !== ''")
        time.sleep(1)
        frozen = -int(page.run(freezes))
        seen = np.array(page.run(_WATCH % (_mouth_rectangle(server), _PICTURES, _MOST_S)))
        frozen += int(page.run(freezes))
        figures = page.run(
            "Object.fromEntries([...document.querySelectorAll('[data-figure]')]"
            ".map((figure) => [figure.dataset.figure, figure.dataset.value]))"
        )
        assert not page.complaints
    rate = (len(seen) - 1) / (seen[-1, 0] - seen[0, 0]) * 1000
    assert len(seen) >= _PICTURES / 2, f"{len(seen)} pictures came in {_MOST_S} s"
    due_ms = np.arange(seen[0, 0], seen[-1, 0], _PICTURE_MS)
    seen = seen[np.searchsorted(seen[:, 0], due_ms + _PICTURE_MS / 2, side="right") - 1]  # one left out is as the last
    loud, mouths = seen[1:, 1], seen[1:, 2:]
    moved = np.abs(np.diff(seen[:, 2:], axis=0)).mean(axis=1)
    envelope = _smooth(loud)
    speaking = envelope > 0.1 * loud.max()
    pause = _smooth(loud, 25) < 0.003 * loud.max()  # half a second before and after: mouths take time to shut
    rest = np.median(mouths[pause], axis=0)
    opening = np.sqrt(_smooth(np.abs(mouths - rest).mean(axis=1)))
    lags = range(-5, 6)
    r = [float(np.corrcoef(np.roll(opening, -lag)[10:-10], np.sqrt(envelope)[10:-10])[0, 1]) for lag in lags]
    lag, share = lags[int(np.argmax(r))], moved[pause].mean() / moved[speaking].mean()
    print(f"fps {rate:.2f}, r {max(r):.2f} at lag {lag}, pause/speech {share:.3f}, freezes {frozen}, {figures}")
    assert rate <= 26, "a busy machine shows fewer"
    assert loud.max() > 0.05, "the sound comes back"
    assert speaking.sum() > 100
    assert pause.sum() > 25
    assert max(r) >= 0.5
    assert -2 <= lag <= 1, "the page hears a window of 43 ms behind an output buffer: about a frame late"
    assert share <= 0.15


def test_stop_gives_the_place_back_and_start_takes_it_again(start_server: StartServer, speech_wav: Path) -> None:
    server = start_server("--max-sessions", "1")
    with chromium(speech_wav) as page:
        for _ in range(2):
            _start_call(page, server)
            assert "lipstream_sessions 1" in server.metrics()
            page.click("stop")
            page.until(_state("idle"))
            _until(lambda: "lipstream_sessions 0" in server.metrics())
        assert not page.complaints


def _articulation(server: ServerProcess) -> list[float]:
    return [server.get(item["urls"]["self"])["articulation"] for item in server.get("/api/sessions")]


def test_the_slider_says_how_far_the_mouth_goes_now_and_in_the_next_call(
    start_server: StartServer, speech_wav: Path
) -> None:
    server = start_server("--articulation", "1.1")
    slide = "const slider = document.getElementById('articulation'); slider.value = '0.7';"
    with chromium(speech_wav) as page:
        _start_call(page, server)
        page.until("!document.getElementById('articulation-row').hidden")
        assert page.run("document.getElementById('articulation-value').textContent") == "110 %"
        page.run(f"{{{slide} for (const type of ['input', 'change']) slider.dispatchEvent(new Event(type))}}")
        assert page.run("document.getElementById('articulation-value').textContent") == "70 %"
        _until(lambda: _articulation(server) == [0.7])
        page.click("stop")
        page.until(_state("idle"))
        page.click("start")
        page.until(_state("live"))
        _until(lambda: _articulation(server) == [0.7])
        assert not page.complaints


def test_a_button_shows_a_motion_while_it_is_seen(start_server: StartServer, speech_wav: Path, tmp_path: Path) -> None:
    store = make_store(tmp_path, {"aaron": 90})  # the first by id
    add_motions(store, "aaron")
    server = start_server("--store", str(store.root))
    with chromium(speech_wav) as page:
        page.open(server.url)
        page.until("document.querySelector('[data-avatar=\"aaron\"] input')")
        page.run("document.querySelector('[data-avatar=\"aaron\"] input').click()")
        page.click("start")
        page.until(_state("live"))
        page.until("document.querySelectorAll('#motions button').length === 2")
        page.run(_NOTE_PRESSED)  # it may be over before it is looked at
        page.run("document.querySelector('#motions [value=\"greet\"]').click()")
        page.until("window.pressed.join() === 'true,false'")
        page.click("stop")
        page.until("document.getElementById('motions').hidden")
        assert not page.complaints


def test_a_full_server_is_said_in_plain_words_and_tried_again(start_server: StartServer, speech_wav: Path) -> None:
    server = start_server("--max-sessions", "1")
    with chromium(speech_wav) as page:
        taken = server.post("/api/sessions", {})
        page.open(server.url)
        page.click("start")
        page.until(_state("failed") + " && document.documentElement.dataset.reason === 'full'")
        assert "seat is taken" in _words(page).lower()
        server.delete(str(taken["urls"]["self"]))
        page.until(_state("live"))


def test_a_lost_server_is_found_again(start_server: StartServer, speech_wav: Path) -> None:
    server = start_server()
    with chromium(speech_wav) as page:
        _start_call(page, server)
        server.stop(signal.SIGKILL)
        page.until(_state("reconnecting"))
        assert _words(page).strip()
        server.start()
        page.until(_state("live"))
        page.until("document.getElementById('avatar-video').currentTime > 0")


def test_a_refused_microphone_is_said_in_plain_words(start_server: StartServer) -> None:
    server = start_server()
    with chromium(None, allow_microphone=False) as page:
        page.open(server.url)
        page.click("start")
        page.until(_state("failed") + " && document.documentElement.dataset.reason === 'microphone-refused'")
        assert "microphone" in _words(page).lower()
        assert "lipstream_sessions 0" in server.metrics()


@pytest.mark.parametrize(("width", "height"), [(360, 740), (1280, 800)])
def test_the_page_fits_its_window(start_server: StartServer, speech_wav: Path, width: int, height: int) -> None:
    server = start_server()
    with chromium(speech_wav) as page:
        page.resize(width, height)
        _start_call(page, server)
        assert page.run("document.documentElement.scrollWidth") <= width
        unnamed = page.run(
            "[...document.querySelectorAll('button, input, select, video')].filter((e) => e.checkVisibility()"
            " && !(e.innerText || e.getAttribute('aria-label') || e.labels?.length)).map((e) => e.outerHTML)"
        )
        assert unnamed == [], "a screen reader has a name for everything"


def test_another_picture_of_a_built_in_person_is_filmed_for_the_call(
    start_server: StartServer, speech_wav: Path
) -> None:
    server = start_server()
    with chromium(speech_wav) as page:
        page.open(server.url)
        page.until("document.querySelector('[data-avatar=mira] input')")
        page.run("document.querySelector('[data-avatar=ada-green] input').click()")
        assert page.run("document.getElementById('form-row').hidden"), "it is such a picture itself"
        page.run("document.querySelector('[data-avatar=mira] input').click()")
        page.until("!document.getElementById('form-row').hidden")
        assert page.run("[...document.getElementById('form').options].map((option) => option.value).join()") == (
            ",mira-1024,mira-green,mira-lively,mira-portrait"
        )
        page.run("document.getElementById('form').value = 'mira-green'")
        page.click("start")
        page.until(_state("live"), seconds=BUILD_S)
        assert server.get("/api/avatars/mira-green")["state"] == "ready"
        assert "mira-green" in [avatar["id"] for avatar in server.get("/api/avatars") if avatar["own"]]
        assert [complaint for complaint in page.complaints if "503" not in complaint] == [], "503 is: not filmed yet"


def test_a_portrait_from_the_page_becomes_a_face_to_call(
    start_server: StartServer, speech_wav: Path, tmp_path: Path
) -> None:
    server = start_server()
    with chromium(speech_wav) as page:
        page.open(server.url)
        page.until("document.querySelector('[data-avatar] input')")
        page.screenshot(tmp_path / "before.png")
        page.choose_file("upload", PORTRAIT)
        page.run("document.querySelector('#consent [value=cancel]').click()")
        assert not page.run("document.getElementById('upload').disabled"), "nothing is sent without an answer"
        page.choose_file("upload", PORTRAIT)
        page.until("document.getElementById('consent').open")
        page.run("document.querySelector('#consent .more').open = true")
        page.run("document.getElementById('rest').value = 'closed'")
        page.choose_file("eyes-shut", PORTRAIT)
        page.screenshot(tmp_path / "consent.png")
        page.run("document.querySelector('#consent [value=own]').click()")
        page.run("document.querySelector('#consent [value=make]').click()")
        page.until("document.getElementById('upload').disabled")
        page.until("document.querySelector('[data-avatar^=astronaut] input:checked')", seconds=BUILD_S)
        page.until("document.querySelector('[data-avatar^=astronaut] img').naturalWidth > 0")
        page.screenshot(tmp_path / "portrait.png")
        avatar = page.run("document.querySelector('[data-avatar^=astronaut]').dataset.avatar")
        facts = server.get(f"/api/avatars/{avatar}")
        assert "their own face" in facts["consent"]
        assert any("--rest closed" in note for note in facts["report"]["notes"]), "a smile would be kept unasked"
        page.click("start")
        page.until(_state("live"))
        page.until("document.getElementById('avatar-video').videoWidth > 0")
        page.screenshot(tmp_path / "live.png")
        page.run("window.confirm = () => true")
        own = "document.querySelector('[data-avatar^=astronaut] .remove')"
        assert page.run(f"(({own}).click(), {own}.disabled)"), "a second click asks for nothing"
        page.until("document.getElementById('gallery-note').innerText.includes('is being shown')")
        page.click("stop")
        page.until(_state("idle"))
        page.until(f"({own}?.click(), !{own})")  # refused until the server has ended the call
        page.choose_file("upload", speech_wav)
        page.run("document.querySelector('#consent [value=nobody]').click()")
        page.run("document.querySelector('#consent [value=make]').click()")
        page.until("document.getElementById('upload-note').innerText.includes('cannot be used')")
        assert [complaint for complaint in page.complaints if "409" not in complaint] == []
