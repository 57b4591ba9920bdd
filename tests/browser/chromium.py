"""A headless Chromium with a file as its microphone, driven through its DevTools protocol."""

import base64
import itertools
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.server_process import free_port

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--window-size=1280,800",
)


PATIENCE_S = 150.0
BUILD_S = 600.0
"""Time for what must come, however slow the machine is, and for an avatar, which takes minutes of a core."""


class Page:
    """One tab."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._ids = itertools.count(1)
        self.complaints: list[str] = []  # uncaught exceptions and refused resources
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a DevTools method and return its result."""
        number = next(self._ids)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv(timeout=PATIENCE_S))
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        if message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(message["params"]["exceptionDetails"]["exception"]["description"])
        elif message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
            entry = message["params"]["entry"]
            self.complaints.append(" ".join(filter(None, (entry["text"], entry.get("url")))))

    def open(self, url: str) -> None:
        """Load a page and wait for its scripts."""
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && document.documentElement.dataset.state")

    def run(self, expression: str) -> Any:
        """Evaluate JavaScript, awaiting a promise, and return its JSON value."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"].get("description", expression))
        return result["result"].get("value")

    def until(self, expression: str, seconds: float = PATIENCE_S) -> None:
        """Wait until an expression is true; a page that is only just being loaded has no elements to ask for."""
        deadline = time.monotonic() + seconds
        loaded = f"document.documentElement && document.body && Boolean({expression})"
        while not self.run(loaded):
            if time.monotonic() > deadline:
                shown = self.run("document.documentElement.dataset.state + ': ' + document.body.innerText")
                raise AssertionError(f"not within {seconds} s: {expression}; the page shows {shown!r}")
            time.sleep(0.1)

    def click(self, element_id: str) -> None:
        """Click an element as a person does, by its place on the screen."""
        self.run(f"document.getElementById({element_id!r}).scrollIntoView({{block: 'center'}})")
        box = self.run(
            f"(() => {{ const r = document.getElementById({element_id!r}).getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def choose_file(self, element_id: str, path: Path) -> None:
        """Choose a file for an input of that kind."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=f"#{element_id}")["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    def resize(self, width: int, height: int) -> None:
        """Make the window another size, as on a phone."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    def screenshot(self, path: Path) -> None:
        """Write what the page shows as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def chromium(microphone: Path | None, *, allow_microphone: bool = True, flags: Sequence[str] = ()) -> Iterator[Page]:
    """Start a browser whose microphone plays a WAV file again and again; end it with the block.

    Args:
        microphone: 16-bit WAV.
        allow_microphone: Whether the page is granted it.
        flags: Further ones.
    """
    port, profile = free_port(), tempfile.mkdtemp(prefix="chromium-")
    flags = [*_FLAGS, *flags, f"--remote-debugging-port={port}", f"--user-data-dir={profile}"]
    flags += ["--use-fake-ui-for-media-stream"] if allow_microphone else ["--deny-permission-prompts"]
    flags += [f"--use-file-for-fake-audio-capture={microphone}"] if microphone else []
    browser = subprocess.Popen(
        ["chromium", *flags, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        with connect(_page_address(port), max_size=None) as connection:
            yield Page(connection)
    finally:
        browser.terminate()
        browser.wait(PATIENCE_S)
        shutil.rmtree(profile, ignore_errors=True)


def _page_address(port: int) -> str:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=5) as answer:
                pages = [target for target in json.load(answer) if target["type"] == "page"]
                return str(pages[0]["webSocketDebuggerUrl"])
        except (OSError, IndexError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
