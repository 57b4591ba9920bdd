"""The agent of three endpoints, against stand-ins on real sockets."""

import logging
from collections.abc import AsyncGenerator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.agent.agent import AgentError, Transcript
from lipstream.realtime.agent.agent_choice import choose_agent
from lipstream.realtime.agent.answer_text import AnswerText
from lipstream.realtime.agent.talker import REMEMBERED_MESSAGES, sentences_of
from lipstream.realtime.errors import SettingsError
from lipstream.realtime.settings import Settings
from lipstream.realtime.synthesis.engine_choice import choose_synthesizer
from lipstream.realtime.synthesis.synthesizer import SpokenSentence
from tests.realtime.agent.agent_server import AgentServer, agent_server
from tests.realtime.speech import vowels

SPEECH = (0.3 * np.sin(np.arange(8000))).astype(np.float32)


def settings(server: AgentServer, **more: object) -> Settings:
    return Settings(transcriber=server.url, chat=server.url, synthesizer=server.url, **more)  # type: ignore[arg-type]


async def answered(
    chosen: Settings, *, said: str = "", times: int = 1, speech: np.ndarray = SPEECH
) -> tuple[str, list[str], int]:
    """Return the last transcript, sentences and bytes of sound."""
    synthesizer = choose_synthesizer(chosen)
    begin = choose_agent(chosen, synthesizer)
    assert begin is not None
    assert synthesizer is not None
    agent = begin()
    try:
        for _ in range(times):
            understood, sentences, size = "", [], 0
            async for part in agent.answer(speech):
                if isinstance(part, Transcript):
                    understood = part.text
                elif isinstance(part, SpokenSentence):
                    sentences.append(part.text)
                    size += sum([len(piece.pcm) async for piece in part.sound])
            if said:
                agent.note_said(said)
    finally:
        await agent.close()
        await synthesizer.close()
    return understood, sentences, size


async def test_it_hears_thinks_and_speaks_sentence_by_sentence() -> None:
    async with agent_server() as server:
        understood, sentences, size = await answered(settings(server))
        assert understood == "What time is it?"
        assert sentences == server.spoken == ["It is noon.", "The sun is high."]
        assert size == 2 * 24_000 * 0.05 * sum(map(len, sentences))
        assert np.abs(server.heard[0] - SPEECH).max() < 1e-4
        assert [message["role"] for message in server.chats[0]] == ["system", "user"]


async def test_tags_of_motions_are_shown_and_not_said() -> None:
    async with agent_server(answer="[greet] Good morning. It is [noon]. [nod]") as server:
        chosen = settings(server)
        synthesizer = choose_synthesizer(chosen)
        begin = choose_agent(chosen, synthesizer)
        assert begin is not None
        assert synthesizer is not None
        agent = begin()
        found = []
        async for part in agent.answer(SPEECH, ("greet", "nod")):
            if isinstance(part, SpokenSentence):
                found.append((part.text, part.motions))
                await part.sound.aclose()
        await agent.close()
        await synthesizer.close()
        assert [motions for _, motions in found] == [("greet",), ("nod",)]
        assert found[0][0] == "Good morning."
        assert "noon" in found[1][0], "only a tag that names a motion is one"
        assert "[greet], [nod]" in server.chats[0][0]["content"], "the model is told of them"


async def test_it_remembers_what_was_heard_and_forgets_in_time() -> None:
    async with agent_server() as server:
        await answered(settings(server, chat_prompt="You are Ann."), said="It is", times=REMEMBERED_MESSAGES)
        assert server.chats[0][0]["content"] == "You are Ann."
        assert server.chats[1][1:3] == [
            {"role": "user", "content": "What time is it?"}, {"role": "assistant", "content": "It is"},
        ]  # fmt: skip
        assert len(server.chats[-1]) == REMEMBERED_MESSAGES + 2


async def test_an_answer_that_is_not_streamed_is_one_too() -> None:
    async with agent_server(question="the whole of it") as server:
        assert (await answered(settings(server)))[1] == ["It is noon.", "The sun is high."]


async def test_nothing_understood_is_not_answered() -> None:
    async with agent_server(question=" ... ") as server:
        assert await answered(settings(server)) == ("", [], 0)
        assert server.chats == []


@pytest.mark.parametrize(
    ("question", "speech", "understood"),
    [("[BLANK_AUDIO]", SPEECH, ""), ("Thank you for watching!", SPEECH, ""), ("Thank you.", SPEECH, ""),
     ("Thank you.", vowels(0.6), "Thank you."), ("(music) What now?", SPEECH, "What now?")],
)  # fmt: skip
async def test_what_nobody_said_is_not_answered(question: str, speech: np.ndarray, understood: str) -> None:
    async with agent_server(question=question) as server:
        said, sentences, _ = await answered(settings(server), speech=speech)
        assert (said, bool(sentences), bool(server.chats)) == (understood, bool(understood), bool(understood))


@pytest.mark.parametrize(
    ("question", "message"),
    [("refuse", "transcription endpoint answered with status 401"), ("nonsense", "chat endpoint sent an answer that"),
     ("break", "chat endpoint broke off")],
)  # fmt: skip
async def test_what_fails_is_one_sentence_without_the_key(
    question: str, message: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = tmp_path / "key"
    key.write_text("sk-very-secret\n")
    async with agent_server(question=question) as server:
        chosen = settings(server, transcriber_key_file=key, chat_key_file=key, synthesizer_key_file=key)
        with pytest.raises(AgentError, match=message) as failed:
            await answered(chosen)
        assert "Bearer sk-very-secret" in server.keys
    assert "sk-very-secret" not in caplog.text + str(failed.value) + repr(chosen)
    with pytest.raises(AgentError, match="transcription endpoint cannot be reached"):
        await answered(chosen)


async def pieces(*texts: str) -> AsyncGenerator[str]:
    for text in texts:
        yield text


@pytest.mark.parametrize(
    ("texts", "sentences"),
    [
        (("Hel", "lo the", "re. I am", " Ann", ". "), ["Hello there.", "I am Ann."]),
        (("<think>", "No. Never.", "</think>", "Yes. ", "Dr. X is in."), ["Yes.", "Dr. X is in."]),
        (("**Bold** and `code`.\n\n- One\n- Two\n\n", "End"), ["Bold and code.", "One.", "Two.", "End"]),
        (("...", " "), []),
        (tuple("One. Two! Three? Four"), ["One.", "Two!", "Three?", "Four"]),
    ],
)
async def test_sentences_of_a_text_that_comes_in_pieces(texts: tuple[str, ...], sentences: list[str]) -> None:
    assert [sentence async for sentence in sentences_of(pieces(*texts), AnswerText())] == sentences


@given(st.text(st.sampled_from(" .!?…\n\"'-*aB1"), max_size=200), st.lists(st.integers(0, 200), max_size=20))
def test_pieces_say_what_the_whole_says(text: str, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(text)]
    written = AnswerText()
    said = [sentence for at, end in pairwise(edges) for sentence in written.push(text[at:end])]
    whole = AnswerText()
    assert letters(said + written.flush()) == letters(whole.push(text) + whole.flush())


def letters(sentences: list[str]) -> str:
    return "".join(char for char in "".join(sentences) if char.isalnum())


@pytest.mark.parametrize(
    "piece",
    ["word ", "word", "!", " ", "\n", "One. ", "<think>", "<think>a</think>", "a<think>b", "- ", "*"],
)
def test_memory_does_not_grow_with_the_answer(piece: str) -> None:
    written = AnswerText()
    for _ in range(5_000):
        written.push(piece)
    assert len(written._unsaid) < 2_000


def test_thoughts_are_left_out_however_they_are_cut() -> None:
    text = "Yes. <think>No. <think>Never. </think>And <think></think>so. <think>Ends."
    for size in range(1, len(text)):
        written = AnswerText()
        said = [one for at in range(0, len(text), size) for one in written.push(text[at : at + size])]
        assert said + written.flush() == ["Yes.", "And so."]


async def test_a_sentence_is_there_before_the_next_is_written() -> None:
    written = []

    async def writing() -> AsyncGenerator[str]:
        for text in ("One. ", "Two ", "and a half. ", "Three."):
            written.append(text)
            yield text

    sentences = sentences_of(writing(), AnswerText())
    assert await anext(sentences) == "One."
    assert written == ["One. ", "Two "]
    await sentences.aclose()


@pytest.mark.parametrize(
    "options",
    [{"chat": "http://a/v1"}, {"transcriber": "http://a/v1"}, {"chat": "http://a/v1", "transcriber": "http://a/v1"},
     {"chat": "ftp://a", "transcriber": "http://a", "synthesizer": "espeak-ng"},
     {"chat": "http://k@a", "transcriber": "http://a", "synthesizer": "espeak-ng"}],
)  # fmt: skip
def test_settings_that_make_no_agent(options: dict[str, str]) -> None:
    with pytest.raises(SettingsError):
        Settings(**options)  # type: ignore[arg-type]


def test_no_agent_and_a_key_that_is_missing(tmp_path: Path) -> None:
    assert choose_agent(Settings(), None) is None
    chosen = Settings(transcriber="http://a", chat="http://a", synthesizer="http://a", chat_key_file=tmp_path / "no")
    with pytest.raises(SettingsError, match="chat_key_file"):
        choose_agent(chosen, choose_synthesizer(chosen))
