"""The bridge for meeting bots, against a stand-in of the service whose bot is a real browser."""

import base64
import json
import os
import queue
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.browser.chromium import chromium
from tests.browser.test_stage import LIVE
from tests.realtime.speech import vowels
from tests.server_process import ROOT, ServerProcess, free_port

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(420)]

BRIDGE = ROOT / "examples/meeting_bot.py"
KEY, RATE = "the key of an operator", 16_000
LISTEN = """
(async () => {
  const context = new AudioContext(), analyser = new AnalyserNode(context, {fftSize: 2048});
  context.createMediaStreamSource(document.getElementById('face').srcObject).connect(analyser);
  const sound = new Float32Array(analyser.fftSize);
  window.loudest = 0;
  setInterval(() => {
    analyser.getFloatTimeDomainData(sound);
    window.loudest = Math.max(window.loudest, ...sound);
  }, 20);
})()
"""


@pytest.fixture
def service() -> Iterator[tuple[str, "queue.Queue[tuple[str, Any]]"]]:
    """Yield the address of a service that takes any bot, and who asked for which."""
    asked: queue.Queue[tuple[str, Any]] = queue.Queue()

    class Bots(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(201)
            self.end_headers()
            self.wfile.write(b'{"id": "bot_1", "state": "joining"}')
            asked.put((self.headers["Authorization"], body))

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Bots) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/api/v1/bots", asked
        server.shutdown()
        thread.join()


def test_a_bot_shows_the_face_which_answers_the_meeting(
    server_store: Path, service: tuple[str, "queue.Queue[tuple[str, Any]]"], tmp_path: Path
) -> None:
    address, asked = service
    (tmp_path / "keys").write_text(KEY)
    server = ServerProcess(server_store, ("--secret-file", str(tmp_path / "keys")), key=KEY)
    server.start()
    port = free_port()
    told = {"LIPSTREAM_URL": server.url, "LIPSTREAM_TOKEN": KEY, "BOT_KEY": "bot-key", "BOT_API": address}
    told |= {"PORT": str(port), "BRIDGE_URL": f"ws://127.0.0.1:{port}", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(BRIDGE), "attendee", "https://meet.example/abc"]
    bridge = subprocess.Popen(command, cwd=ROOT, env=os.environ | told, stdout=subprocess.PIPE, text=True)
    try:
        key, bot = asked.get(timeout=120)
        assert key == "Token bot-key"
        assert bot["meeting_url"] == "https://meet.example/abc"
        assert KEY not in json.dumps(bot)
        ear = bot["websocket_settings"]["audio"]["url"]
        with pytest.raises(InvalidStatus):
            connect(f"ws://127.0.0.1:{port}/")
        with chromium(None) as page, connect(ear) as meeting:
            page.open(bot["voice_agent_settings"]["url"])
            page.until(LIVE)
            page.run(LISTEN)
            sound = np.concatenate((np.zeros(RATE // 2), vowels(1.2, RATE), np.zeros(RATE * 3 // 2)))
            pcm = np.rint(sound * 32767).astype("<i2").tobytes()
            for at in range(0, len(pcm), 3200):
                chunk = base64.b64encode(pcm[at : at + 3200]).decode()
                data = {"chunk": chunk, "sample_rate": RATE, "timestamp_ms": at // 32}
                meeting.send(json.dumps({"bot_id": "bot_1", "trigger": "realtime_audio.mixed", "data": data}))
            meeting.send(json.dumps({"bot_id": "bot_1", "trigger": "bot.other", "data": {}}))
            page.until("window.loudest > 0.05")
        bridge.send_signal(signal.SIGINT)
        assert bridge.wait(120) == 0
        assert bridge.stdout
        assert bridge.stdout.read().startswith("the bot bot_1 joins\n")
        assert server.get("/api/sessions") == [], "the session ends with the bridge"
    finally:
        bridge.kill()
        bridge.communicate()
        server.stop(signal.SIGKILL)


def test_each_service_is_asked_for_the_page_and_for_the_meetings_sound() -> None:
    services = runpy.run_path(str(BRIDGE))["SERVICES"]
    bot = services["recall"].bot("MEETING", "PAGE", "EAR")
    assert bot["output_media"]["camera"]["config"]["url"] == "PAGE"
    assert bot["recording_config"]["realtime_endpoints"][0]["url"] == "EAR"
    heard = {"event": "audio_mixed_raw.data", "data": {"data": {"buffer": "AAA="}}}
    assert services["recall"].sound(heard) == "AAA="
    assert services["recall"].sound({"event": "participant_events.join", "data": {}}) == ""
    assert services["attendee"].sound({"trigger": "realtime_audio.mixed", "data": {"chunk": "AAA="}}) == "AAA="
