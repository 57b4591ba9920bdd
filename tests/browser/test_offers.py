"""Offers of a browser whose sections come in another order than ours, or are more than we want."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import Page, chromium
from tests.server_process import ServerProcess

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(300)]

_CALL = """
(async () => {
  const pc = window.pc = new RTCPeerConnection();
  for (const part of %s) {
    if (part === 'data') pc.createDataChannel('control');
    else pc.addTransceiver(part, {direction: 'recvonly'});
  }
  const video = document.createElement('video');
  video.muted = true;
  video.autoplay = true;
  video.srcObject = new MediaStream(pc.getReceivers().slice(0, 2).map((receiver) => receiver.track));
  document.body.append(video);
  window.shown = 0;
  const count = () => { window.shown += 1; video.requestVideoFrameCallback(count); };
  video.requestVideoFrameCallback(count);
  await pc.setLocalDescription();
  if (pc.iceGatheringState !== 'complete') {
    await new Promise((done) => pc.addEventListener('icegatheringstatechange',
      () => pc.iceGatheringState === 'complete' && done()));
  }
  const {sdp} = pc.localDescription;
  const reply = await fetch(...%s(sdp));
  const text = await reply.text();
  if (!reply.ok) return text;
  const answer = text.startsWith('{') ? JSON.parse(text).answer.sdp : text;
  await pc.setRemoteDescription({type: 'answer', sdp: answer});
  const kinds = (of) => of.match(/^m=\\w+/gm).join(' ');
  return [kinds(sdp), kinds(answer), answer.match(/^m=\\w+ 0 /gm) ?? []];
})()
"""
_POST = "{method: 'POST', headers: {'Content-Type': '%s'}, body: %s}"
_SOUND = """
pc.getStats().then((stats) => [...stats.values()].find((one) => one.type === 'inbound-rtp' && one.kind === 'audio')
  .packetsReceived)
"""


@pytest.fixture(scope="module")
def server(server_store: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(server_store, ())
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium(None) as page:
        yield page


@pytest.mark.parametrize("where", ["peer", "whep"])
@pytest.mark.parametrize(
    ("parts", "rejected"),
    [
        (["video", "audio"], {"peer": [], "whep": []}),
        (["data", "video", "audio"], {"peer": [], "whep": ["m=application 0 "]}),
        (["video", "audio", "video"], {"peer": ["m=video 0 "], "whep": ["m=video 0 "]}),
    ],
)
def test_a_browsers_offer_is_answered_in_its_own_order(
    server: ServerProcess, page: Page, where: str, parts: list[str], rejected: dict[str, list[str]]
) -> None:
    made = server.post("/api/sessions", {})
    if where == "peer":
        body = "JSON.stringify({type: 'offer', sdp})"
        asked = f"((sdp) => ['{made['urls']['peer']}', {_POST % ('application/json', body)}])"
    else:
        asked = f"((sdp) => ['{made['urls']['whep']}', {_POST % ('application/sdp', 'sdp')}])"
    page.open(server.url)
    found = page.run(_CALL % (parts, asked))
    assert isinstance(found, list), found
    offered, answered, turned_down = found
    assert offered == answered
    assert turned_down == rejected[where]
    page.until("pc.connectionState === 'connected'")
    page.until("window.shown > 5")
    assert page.run(_SOUND) > 0
    page.run("pc.close()")
    server.delete(made["urls"]["self"])
    assert not page.complaints


_AGAIN = """
(async () => {
  %s
  await pc.setLocalDescription();
  const {sdp} = pc.localDescription;
  const reply = await fetch('%s', {method: 'POST', headers: {'Content-Type': 'application/json'},
    body: JSON.stringify({type: 'offer', sdp})});
  const told = await reply.json();
  if (!reply.ok) return told;
  await pc.setRemoteDescription({type: 'answer', sdp: told.answer.sdp});
  return told.answer.sdp.match(/^m=\\w+ \\d+/gm).map((line) => line.endsWith(' 0') ? 'no' : 'yes').join(' ');
})()
"""


def hear_more(page: Page) -> None:
    """Wait for a second of sound."""
    before, deadline = page.run(_SOUND), time.monotonic() + 60
    while page.run(_SOUND) < before + 50:
        assert time.monotonic() < deadline, "no sound comes"
        time.sleep(0.1)


def test_a_browser_offers_again_on_its_connection(server: ServerProcess, page: Page) -> None:
    made = server.post("/api/sessions", {})
    where = made["urls"]["peer"]
    body = "JSON.stringify({type: 'offer', sdp})"
    page.open(server.url)
    found = page.run(_CALL % (["audio", "video"], f"((sdp) => ['{where}', {_POST % ('application/json', body)}])"))
    assert isinstance(found, list), found
    page.until("pc.connectionState === 'connected' && window.shown > 5")

    assert page.run(_AGAIN % ("window.control = pc.createDataChannel('control');", where)) == "yes yes yes"
    page.until("control.readyState === 'open'")
    assert page.run(_AGAIN % ("pc.addTransceiver('video', {direction: 'sendonly'});", where)) == "yes yes yes no"
    page.run("window.before = window.shown; 0")
    page.until("window.shown > window.before + 5")

    assert page.run(_AGAIN % ("pc.getTransceivers()[1].direction = 'inactive';", where)) == "yes yes yes no"
    hear_more(page)  # while the pictures under way arrive
    page.run("window.before = window.shown; 0")
    hear_more(page)
    assert page.run("window.shown === window.before"), "no picture comes"
    assert page.run(_AGAIN % ("pc.getTransceivers()[1].direction = 'recvonly';", where)) == "yes yes yes no"
    page.until("window.shown > window.before + 5")

    assert page.run(_AGAIN % ("pc.getTransceivers()[1].stop();", where)) == "yes no yes no"
    hear_more(page)
    assert page.run("pc.connectionState") == "connected"
    page.run("pc.close()")
    server.delete(made["urls"]["self"])
    assert not page.complaints
