"""The examples run as their first lines say, and the code of docs/LIBRARY.md as it stands there."""

import asyncio
import json
import os
import re
import subprocess
import sys
import venv
from importlib import import_module
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedOK

from tests.realtime.speech import voice
from tests.server_process import ROOT, free_port
from tests.sound_files import write_wav
from tests.wheels import BINARIES, pip

RATE = 24_000
SOUND = voice(1.0, RATE)
VISIT = """
import json, sys
from gradio_client import Client, handle_file
print(json.dumps(Client(sys.argv[1], verbose=False).predict("ben", handle_file(sys.argv[2]), api_name="/speak")))
"""
"""Uses the page of examples/face_gradio.py as its button does."""


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    write_wav(tmp_path / "hello.wav", SOUND, RATE)
    return tmp_path / "hello.wav"


def environment(store: Path, **more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "LIPSTREAM_STORE": str(store), "PYTHONUNBUFFERED": "1"} | more


def test_a_face_speaks_into_a_film(hello: Path, server_store: Path) -> None:
    film = hello.with_suffix(".mp4")
    command = [sys.executable, "examples/face_to_file.py", str(hello), str(film)]
    subprocess.run(command, cwd=ROOT, env=environment(server_store), check=True, timeout=150)
    with av.open(str(film)) as file:
        pictures = [frame.to_ndarray(format="gray") for frame in file.decode(video=0)]
        assert {stream.type for stream in file.streams} == {"video", "audio"}
    assert len(pictures) >= 25
    assert not np.array_equal(pictures[5], pictures[15])


def test_the_code_of_the_document_runs(server_store: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/LIBRARY.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        command = [sys.executable, "-c", block]
        subprocess.run(command, cwd=ROOT, env=environment(server_store), check=True, timeout=150)


@pytest.mark.needs("xvfb")
def test_a_face_speaks_in_a_window(hello: Path, server_store: Path, display: str) -> None:
    pytest.importorskip("tkinter")
    command = [sys.executable, "examples/face_window.py", str(hello)]
    subprocess.run(command, cwd=ROOT, env=environment(server_store, DISPLAY=display), check=True, timeout=150)


async def test_what_hears_and_answers_for_a_face_ends_with_it_and_fails_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("tkinter")
    monkeypatch.syspath_prepend(ROOT / "examples")
    call = import_module("face_call").FaceCall(None)
    ended: list[str] = []

    async def lasts() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("lasts")

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ConnectionError("no microphone")

    async def hangs_up() -> None:
        await asyncio.sleep(0)
        raise ConnectionClosedOK(None, None)

    call.show = lasts
    async with asyncio.timeout(20):
        with pytest.raises(ExceptionGroup) as failed:
            await call.run(lasts(), fails())
        await call.run(lasts(), hangs_up())
    assert str(failed.value.exceptions) == "(ConnectionError('no microphone'),)"
    assert ended == ["lasts"] * 4


async def test_a_face_speaks_through_a_websocket(server_store: Path) -> None:
    port = free_port()
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        "examples/face_websocket.py",
        str(port),
        cwd=ROOT,
        env=environment(server_store),
        stdout=subprocess.PIPE,
    )
    try:
        assert server.stdout
        async with asyncio.timeout(150):
            assert (await server.stdout.readline()).decode().strip() == f"ws://127.0.0.1:{port}"
            async with connect(f"ws://127.0.0.1:{port}") as socket:
                pcm = np.rint(SOUND * 32767).astype("<i2").tobytes()
                await socket.send(pcm)
                await socket.send("end")
                heard = b""
                while pcm not in heard:
                    message = await socket.recv(decode=False)
                    heard += message[:1920]
                picture = cv2.imdecode(np.frombuffer(message[1920:], np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert picture.shape == (512, 512, 3)
    finally:
        server.terminate()
        await server.wait()


@pytest.mark.timeout(600)
@pytest.mark.skipif(os.environ.get("LONG") != "1", reason="LONG=1 installs Gradio, 250 MB")
async def test_a_page_of_gradio_makes_films(hello: Path, server_store: Path, tmp_path: Path) -> None:
    environment_of = environment(server_store, GRADIO_TEMP_DIR=str(tmp_path / "gradio"))
    venv.create(tmp_path / "venv")
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "packages_of_the_tests.pth").write_text(f"{Path(pytest.__file__).parent.parent}\n")
    python, port = str(tmp_path / "venv" / BINARIES / "python"), free_port()
    await asyncio.to_thread(pip, "--python", python, "install", "--quiet", "gradio>=6,<7")
    page = await asyncio.create_subprocess_exec(
        python, "examples/face_gradio.py", str(port), cwd=ROOT, env=environment_of, stdout=subprocess.PIPE
    )
    try:
        assert page.stdout
        async with asyncio.timeout(150):
            while b"Running on" not in await page.stdout.readline():
                pass
            visitor = await asyncio.create_subprocess_exec(
                python, "-c", VISIT, f"http://127.0.0.1:{port}", str(hello), env=environment_of, stdout=subprocess.PIPE
            )
            shown, _ = await visitor.communicate()
        made = json.loads(shown)
        with av.open(made["video"] if isinstance(made, dict) else made) as film:
            assert sum(1 for _ in film.decode(video=0)) >= 25
    finally:
        page.terminate()
        await page.wait()
