"""An end-of-turn detection of the operator's own, and the example of one."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from lipstream.realtime.agent.agent_choice import choose_end_of_turn
from lipstream.realtime.errors import SettingsError
from lipstream.realtime.settings import Settings, read_settings
from tests.realtime.agent.agent_server import AgentServer, agent_server
from tests.server_process import ROOT

EXAMPLE = f"{ROOT / 'examples/finished_sentence.py'}:load"
SPEECH = (0.3 * np.sin(np.arange(16_000))).astype(np.float32)


def talking(server: AgentServer) -> Settings:
    return Settings(end_of_turn=EXAMPLE, transcriber=server.url, chat=server.url, synthesizer=server.url)


async def judged(settings: Settings, times: int = 1) -> list[bool | None]:
    """Return what the detection of the settings answers, asked as a conversation asks it."""
    begin = choose_end_of_turn(settings)
    assert begin
    judge, answers = begin(), []
    try:
        for _ in range(times):
            answer: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()
            judge.ask(SPEECH, answer.set_result)
            answers.append(await answer)
    finally:
        await judge.close()
        await judge.close()
    return answers


@pytest.mark.parametrize(
    ("said", "has_finished"),
    [
        ("What time is it?", True),
        ("Which one should I turn on?", True),
        ("My number is", False),
        ("I would like to go to the", False),
        ("Tomorrow, um...", False),
        ("Ich möchte nach Köln und", False),
        ("Ich möchte nach Köln.", True),
        ("Platform 9", True),
        ("", False),
    ],
)
async def test_the_example_waits_where_a_sentence_goes_on(said: str, *, has_finished: bool) -> None:
    async with agent_server(question=said) as server:
        settings = talking(server)
        assert await judged(settings) == [has_finished]
        assert [sound.size for sound in server.heard] == [SPEECH.size]


async def test_what_fails_is_no_answer(tmp_path: Path) -> None:
    async with agent_server(question="refuse") as server:
        assert await judged(talking(server), times=2) == [None, None]
    assert await judged(Settings(end_of_turn=EXAMPLE)) == [None], "without a transcriber"
    (tmp_path / "own.py").write_text(
        "class Fails:\n    async def has_finished(self, speech, transcribe):\n        raise KeyError(speech.size)\n"
    )
    assert await judged(Settings(end_of_turn=f"{tmp_path / 'own.py'}:Fails")) == [None]


def test_silence_alone_ends_turns_unless_a_setting_names_code() -> None:
    assert choose_end_of_turn(Settings()) is None


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("", "there is no file"),
        ("other = 1", "AttributeError"),
        ("import nothing_of_this_name as load", "ModuleNotFoundError"),
        ("def load():\n    return 1", "has no has_finished"),
    ],
)
def test_code_that_is_none_is_refused_at_the_start(code: str, complaint: str, tmp_path: Path) -> None:
    if code:
        (tmp_path / "own.py").write_text(code)
    with pytest.raises(SettingsError, match=complaint):
        choose_end_of_turn(Settings(end_of_turn=f"{tmp_path / 'own.py'}:load"))


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="end_of_turn"):
        read_settings(["--end-of-turn", "no name"], {})
