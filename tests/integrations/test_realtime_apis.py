"""The examples of speech-to-speech APIs, against stand-ins that speak the published protocols."""

import asyncio
import json
import os
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest

from lipstream.realtime.agent.realtime_api import RealtimeAgent
from lipstream.realtime.synthesis.synthesizer import SpokenSentence
from tests.integrations.environments import Environment
from tests.integrations.standin_voices import ANSWER, RATE, StandInGemini, StandInOpenAI, StandInVoice
from tests.realtime.speech import voice
from tests.server_process import ROOT
from tests.sound_files import write_wav

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def visitor(tmp_path: Path) -> Path:
    """Two turns, the second one while the first is answered."""
    pause, words = np.zeros(RATE // 2, np.float32), voice(0.6, RATE)
    write_wav(tmp_path / "visitor.wav", np.concatenate((pause, words, pause, pause, pause, words)), RATE)
    return tmp_path / "visitor.wav"


async def run(python: str, example: str, there: StandInVoice, visitor: Path, **variables: str) -> None:
    pytest.importorskip("tkinter")
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    talking = await asyncio.create_subprocess_exec(
        python, f"examples/{example}.py", str(visitor), cwd=ROOT, env=environment, stderr=subprocess.PIPE
    )
    async with asyncio.timeout(300):
        _, errors = await talking.communicate()
    assert talking.returncode == 0, errors.decode()
    assert there.got


def check(there: StandInOpenAI, environment: Environment, folder: Path) -> None:
    """Read all events of both sides with the types of the official client."""
    events = folder / "events.json"
    events.write_text(json.dumps([there.sent, there.got]))
    read = environment.call("-m", "tests.integrations.openai_events", str(events))
    assert read.strip() == f"{len(there.sent) + len(there.got)} events"


@pytest.mark.needs("xvfb")
async def test_a_face_speaks_for_openais_api_which_learns_what_was_heard(
    livekit_environment: Environment, server_store: Path, visitor: Path, display: str, tmp_path: Path
) -> None:
    async with StandInOpenAI() as there:
        await run(
            livekit_environment.python,
            "openai_realtime",
            there,
            visitor,
            LIPSTREAM_STORE=str(server_store),
            DISPLAY=display,
            OPENAI_API_KEY="the key",
            OPENAI_BASE_URL=f"http://{there.address}/v1",
        )
    assert there.headers["authorization"] == "Bearer the key"
    assert there.path == "/v1/realtime?model=gpt-realtime"
    update, truncate = there.got
    assert update["session"]["audio"]["output"]["format"] == {"type": "audio/pcm", "rate": RATE}
    answers = [event["item_id"] for event in there.sent if event["type"] == "response.output_audio.done"]
    assert len(answers) == 2
    assert (truncate["item_id"], truncate["content_index"]) == (answers[0], 0)
    assert 0 < truncate["audio_end_ms"] < len(ANSWER) * 500 // RATE
    check(there, livekit_environment, tmp_path)


async def test_a_kiosk_sends_openais_api_what_its_client_would(
    livekit_environment: Environment, tmp_path: Path
) -> None:
    async with StandInOpenAI() as there:
        agent = RealtimeAgent(
            f"http://{there.address}/v1", model="m", voice="ash", key="k", prompt="p", transcriber="whisper-1"
        )
        for heard_ms in (500.0, None, None):
            async with aclosing(agent.answer(np.zeros(16_000, np.float32))) as parts:
                async for part in parts:
                    if isinstance(part, SpokenSentence):
                        assert [piece async for piece in part.sound]
            if heard_ms is not None:
                agent.note_interrupted(heard_ms)
                agent.note_said("This is")
        await agent.close()
    sent = {message["type"] for message in there.got}
    assert {"conversation.item.truncate", "conversation.item.delete", "response.create"} <= sent
    check(there, livekit_environment, tmp_path)


@pytest.mark.needs("xvfb")
async def test_a_face_speaks_for_geminis_api(server_store: Path, visitor: Path, display: str) -> None:
    async with StandInGemini() as there:
        await run(
            sys.executable,
            "gemini_live",
            there,
            visitor,
            LIPSTREAM_STORE=str(server_store),
            DISPLAY=display,
            GEMINI_API_KEY="the key",
            GEMINI_URL=f"ws://{there.address}/live",
            GEMINI_MODEL="a-model",
        )
    assert there.headers["x-goog-api-key"] == "the key"
    (setup,) = there.got
    assert setup["setup"]["model"] == "models/a-model"
    assert [message for message in there.sent if "interrupted" in message.get("serverContent", {})]
