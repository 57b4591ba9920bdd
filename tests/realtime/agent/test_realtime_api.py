"""The agent behind a realtime API, against a stand-in that speaks the published protocol."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.server import serve

from lipstream.realtime.agent import realtime_api
from lipstream.realtime.agent.agent import AgentError, MotionWish, Transcript
from lipstream.realtime.agent.agent_choice import choose_agent
from lipstream.realtime.agent.realtime_answer import HELD_BYTES, MOST_CHARACTERS, Exchange, SpokenAnswer
from lipstream.realtime.agent.realtime_api import RealtimeAgent
from lipstream.realtime.errors import SettingsError
from lipstream.realtime.settings import Settings
from lipstream.realtime.synthesis.synthesizer import SpokenSentence
from tests.integrations.standin_voices import ANSWER, StandInOpenAI

SPEECH = np.zeros(16_000, np.float32)


@pytest.fixture
async def there() -> AsyncIterator[StandInOpenAI]:
    async with StandInOpenAI() as there:
        yield there


def agent_of(address: str, **more: str) -> RealtimeAgent:
    named = {"model": "a model", "voice": "ash", "key": "the key", "prompt": "Be short.", "transcriber": "words"} | more
    return RealtimeAgent(f"http://{address}/v1", **named)


@pytest.fixture
async def agent(there: StandInOpenAI) -> AsyncIterator[RealtimeAgent]:
    agent = agent_of(there.address)
    yield agent
    await agent.close()


async def listen(agent: RealtimeAgent) -> tuple[list[str], list[str], bytes]:
    """Return the transcripts of a turn, and the sentences and the sound of its answer."""
    transcripts, sentences, sound = [], [], b""
    async with aclosing(agent.answer(SPEECH)) as parts:
        async for part in parts:
            if isinstance(part, Transcript):
                transcripts.append(part.text)
            elif isinstance(part, SpokenSentence):
                sentences.append(part.text)
                sound += b"".join([piece.pcm async for piece in part.sound])
    return transcripts, sentences, sound


def sent(there: StandInOpenAI, kind: str) -> list[dict[str, Any]]:
    return [message for message in there.got if message["type"] == kind]


async def test_a_turn_is_answered_in_sentences_with_their_sound(there: StandInOpenAI, agent: RealtimeAgent) -> None:
    transcripts, sentences, sound = await listen(agent)
    assert transcripts == ["What is this?"]
    assert sentences == ["This is a face.", "It speaks."]
    assert sound == ANSWER
    assert there.heard == pytest.approx(1.0, abs=0.001)
    assert there.path == "/v1/realtime?model=a%20model"
    assert there.headers["authorization"] == "Bearer the key"
    (update,) = sent(there, "session.update")
    said = update["session"]["audio"]
    assert said["input"]["turn_detection"] is None
    assert said["input"]["transcription"] == {"model": "words"}
    assert said["output"]["voice"] == "ash"
    assert update["session"]["instructions"] == "Be short."


@pytest.mark.parametrize(("asked", "shown"), [("greet", ["greet"]), ("somersault", [])])
async def test_the_model_shows_motions_by_a_tool_and_answers_as_well(
    there: StandInOpenAI, agent: RealtimeAgent, asked: str, shown: list[str]
) -> None:
    there.calls = [json.dumps({"name": asked})]
    async with aclosing(agent.answer(SPEECH, ("greet", "nod"))) as parts:
        found = [part async for part in parts]
    assert [part.name for part in found if isinstance(part, MotionWish)] == shown
    assert "".join(part.text for part in found if isinstance(part, SpokenSentence)).startswith("This is a face.")
    first, second = sent(there, "response.create")
    (tool,) = first["response"]["tools"]
    assert tool["parameters"]["properties"]["name"]["enum"] == ["greet", "nod"]
    assert "tools" not in second["response"], "it is to speak now"
    (item,) = sent(there, "conversation.item.create")
    assert item["item"]["type"] == "function_call_output"
    for part in found:
        if isinstance(part, SpokenSentence):
            await part.sound.aclose()


async def test_an_interrupted_answer_is_truncated_to_what_was_heard(there: StandInOpenAI, agent: RealtimeAgent) -> None:
    await listen(agent)
    agent.note_interrupted(1234.5)
    agent.note_said("This is a face.")
    await listen(agent)
    agent.note_said("This is a face. It speaks.")
    await listen(agent)
    (truncated,) = sent(there, "conversation.item.truncate")
    answer = next(event for event in there.sent if event["type"] == "response.output_audio.delta")["item_id"]
    assert (truncated["item_id"], truncated["audio_end_ms"]) == (answer, 1234)
    assert len(sent(there, "session.update")) == 1
    assert not sent(there, "conversation.item.delete")


async def test_what_was_never_heard_is_not_in_the_conversation(there: StandInOpenAI, agent: RealtimeAgent) -> None:
    async with aclosing(agent.answer(SPEECH)) as parts:
        async for part in parts:
            if isinstance(part, SpokenSentence):
                break
    await listen(agent)
    deleted = [message["item_id"] for message in sent(there, "conversation.item.delete")]
    question = next(event for event in there.sent if event["type"] == "input_audio_buffer.committed")["item_id"]
    answer = next(event for event in there.sent if event["type"] == "response.output_audio.delta")["item_id"]
    assert deleted == [answer, question]
    assert len(sent(there, "response.cancel")) == 1


async def test_a_lost_connection_is_a_new_conversation(there: StandInOpenAI, agent: RealtimeAgent) -> None:
    await listen(agent)
    agent.note_interrupted(100)
    agent.note_said("This")
    await there._hang_up()
    await asyncio.sleep(0.05)
    assert (await listen(agent))[1] == ["This is a face.", "It speaks."]
    assert len(sent(there, "session.update")) == 2
    assert not sent(there, "conversation.item.truncate")


ERROR = {"type": "error", "error": {"type": "invalid_request_error", "code": "no_money", "message": "the key"}}
CREATED = {"type": "response.created", "response": {"id": "r"}}
FAILED = {"type": "response.done", "response": {"id": "r", "status": "failed"}}
NO_BASE64 = {"type": "response.output_audio.delta", "response_id": "r", "item_id": "i", "delta": "?"}


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([ERROR], "reports an error"),
        ([CREATED, FAILED], "could not answer"),
        (["no JSON"], "does not allow"),
        (["[" * 100_000], "does not allow"),
        (["[" + "0," * 100_000 + "0]"], "does not allow"),
        (["{}"], "does not allow"),
        (['{"type": "unknown"}'] * 20_000, "broke off"),
        ([json.dumps({"type": "unknown", "of": "x" * 1_000_000})] * 20, "has no end"),
        ([{"type": "response.created"}], "does not allow"),
        ([CREATED, NO_BASE64], "does not allow"),
        ([], "broke off"),
    ],
)
async def test_a_failing_api_is_explained_in_a_sentence_without_its_words(answers: list[Any], message: str) -> None:
    async def serve_one(socket: Any) -> None:
        async for text in socket:
            if '"response.create"' in text:
                for answer in answers:
                    await socket.send(answer if isinstance(answer, str) else json.dumps(answer))
                await socket.close()

    async with serve(serve_one, "127.0.0.1", 0) as server:
        agent = agent_of(f"127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}")
        with pytest.raises(AgentError, match=message) as raised:
            await listen(agent)
        assert "the key" not in str(raised.value)
        await agent.close()


async def test_an_api_that_is_not_there_or_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AgentError, match="cannot be reached"):
        await listen(agent_of("127.0.0.1:9"))

    async def say_nothing(socket: Any) -> None:
        async for _ in socket:
            pass

    monkeypatch.setattr(realtime_api, "SILENT_S", 0.2)
    async with serve(say_nothing, "127.0.0.1", 0) as server:
        agent = agent_of(f"127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}")
        with pytest.raises(AgentError, match="silent"):
            await listen(agent)
        await agent.close()


async def test_an_endless_answer_ends(there: StandInOpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipstream.realtime.agent.realtime_answer.LONGEST_MS", 1000)
    agent = agent_of(there.address)
    with pytest.raises(AgentError, match="no end"):
        await listen(agent)
    await agent.close()


def test_words_without_end_end() -> None:
    exchange = Exchange()
    assert exchange.note_words("word ") == "word "
    with pytest.raises(AgentError, match="no end"):
        exchange.note_words(MOST_CHARACTERS * "a")


def test_events_of_earlier_turns_are_not_taken() -> None:
    exchange = Exchange()
    exchange.is_open = True
    exchange.note({"type": "response.created", "response": {"id": "old", "metadata": {"turn": "another"}}})
    exchange.note({"type": "error", "error": {"event_id": "another-create", "code": "late"}})
    assert exchange.response == ""
    exchange.note({"type": "response.created", "response": {"id": "new", "metadata": {"turn": exchange.name}}})
    exchange.note({"type": "response.done", "response": {"id": "old"}})
    exchange.note({"type": "error", "error": {"code": "late"}})
    assert (exchange.response, exchange.is_open) == ("new", True)
    with pytest.raises(AgentError):
        exchange.note({"type": "error", "error": {"event_id": f"{exchange.name}-commit", "code": "empty"}})


@pytest.mark.parametrize(
    ("pieces", "sentences"),
    [
        (["One.", " Two.", b"ab", b"cd"], ["One.", "Two."]),
        ([b"ab", "One.", b"cd", " Two.", b"ef"], ["One.", "Two."]),
        ([b"ab", "One. ", "Two", b"cd"], ["One.", "Two"]),
        ([b"ab"], [""]),
        (["One."], []),
        (["It goes", b"x" * HELD_BYTES, " on.", b"ab"], ["It goes", "It goes on."]),
    ],
)
async def test_words_and_sound_become_sentences_however_they_come(
    pieces: list[str | bytes], sentences: list[str]
) -> None:
    said: list[SpokenSentence] = []
    answer = SpokenAnswer(said.append)
    for piece in pieces:
        answer.write(piece) if isinstance(piece, str) else answer.sound(piece)
    answer.end()
    sound = [b"".join([part.pcm async for part in one.sound]) for one in said]
    assert [one.text for one in said] == sentences
    assert all(sound)
    came = b"".join(piece for piece in pieces if isinstance(piece, bytes))
    assert b"".join(sound).rstrip(b"\0") == came


def test_the_settings_choose_it(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("thekey")
    settings = Settings(realtime="http://127.0.0.1:9/v1", realtime_key_file=tmp_path / "key")
    begin = choose_agent(settings, None)
    assert begin
    assert isinstance(begin(), RealtimeAgent)
    with pytest.raises(SettingsError, match="in place of"):
        Settings(realtime="http://127.0.0.1:9", transcriber="http://a", chat="http://a", synthesizer="http://a")
    with pytest.raises(SettingsError, match="URL"):
        Settings(realtime="ws://127.0.0.1:9")
