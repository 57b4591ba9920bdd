"""Chat endpoints that do not answer as the API says: what the visitor hears and is told, and what is remembered."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lipstream.realtime.agent.agent import AgentError
from lipstream.realtime.agent.agent_choice import choose_agent
from lipstream.realtime.agent.endpoints import Endpoint, transcript
from lipstream.realtime.agent.thoughts import ThinkingHabit
from lipstream.realtime.settings import Settings
from lipstream.realtime.synthesis.engine_choice import choose_synthesizer
from lipstream.realtime.synthesis.synthesizer import SpokenSentence
from tests.realtime.agent.agent_server import AgentServer, agent_server
from tests.realtime.agent.test_talker import SPEECH

NOON = "It is noon. The sun is high."
BOTH = ["It is noon.", "The sun is high."]


def delta(content: Any, **more: Any) -> str:
    return json.dumps({"choices": [{"delta": {"content": content}, **more}]})


def events(*data: str, field: str = "data: ", end: str = "\n\n") -> str:
    return "".join(f"{field}{one}{end}" for one in data)


FAILED = '{"error": {"message": "out of memory; key sk-secret", "code": 500}}'
WORDS = (delta("It is noon. "), delta("The sun "), delta("is high."))
SECOND = json.dumps({"choices": [{"index": 1, "delta": {"content": "No. Never. "}}]})
HEARD = {
    "no blank after the colon": events(*WORDS, "[DONE]", field="data:"),
    "two blanks": events(*WORDS, "[DONE]", field="data:  "),
    "CRLF": events(*WORDS, "[DONE]", end="\r\n\r\n"),
    "CR alone": events(*WORDS, "[DONE]", end="\r\r"),
    "no empty lines": events(*WORDS, "[DONE]", end="\n"),
    "a byte order mark": "\ufeff" + events(*WORDS),
    "empty data": "data:\n\ndata\n\n" + events(*WORDS, "", "[DONE]"),
    "comments, names, ids": ": ping\n\nevent: message\nid: 7\nretry: 10\n" + events(*WORDS, "[DONE]"),
    "JSON over two lines": 'data: {"choices":\ndata: [{"delta": {"content": "' + NOON + '"}}]}\n\n',
    "no end, no last line end": events(*WORDS).rstrip("\n"),
    "an end without an empty line": events(*WORDS) + "data: [DONE]",
    "words after the end": events(*WORDS, "[DONE]", delta(" And more.")),
    "a delta of null": events(*WORDS, '{"choices": [{"delta": null, "finish_reason": "stop"}]}', "[DONE]"),
    "no delta": events(*WORDS, '{"choices": [{"finish_reason": "stop"}]}'),
    "no choices": events('{"choices": []}', *WORDS, '{"choices": null, "usage": {}}', '{"usage": {}}', "[DONE]"),
    "an error of null": events(*(one[:-1] + ', "error": null}' for one in WORDS)),
    "content of null": events(delta(None), *WORDS, delta(None)),
    "a list of parts": events(
        delta([{"type": "text", "text": "It is noon. "}, {"type": "image_url", "image_url": {"url": "http://a"}}]),
        delta(["The sun is ", {"type": "text", "text": "high."}]),
    ),
    "a part that is a thought": events(delta([{"type": "reasoning", "text": "Hm. Hm."}]), *WORDS),
    "a second answer beside": events(*(other for word in WORDS for other in (word, SECOND))),
    "texts of the older API": events(
        *(json.dumps({"choices": [{"text": text}]}) for text in ("It is noon. ", "The sun is high."))
    ),
    "halves of a surrogate": events(delta("It is noon. \ud83c"), delta("\udf1e The sun \ufffd"), delta("is high.")),
    "messages instead of deltas": events(json.dumps({"choices": [{"message": {"content": NOON}}]})),
    "a refusal": events(json.dumps({"choices": [{"delta": {"content": None, "refusal": NOON}}]})),
    "thoughts in a field of their own": events(
        json.dumps({"choices": [{"delta": {"reasoning_content": "Hm. Hm.", "content": ""}}]}), *WORDS
    ),
    "tools": events(json.dumps({"choices": [{"delta": {"tool_calls": [{"function": {"name": "f"}}]}}]}), *WORDS),
    "one piece of JSON": json.dumps({"choices": [{"message": {"content": NOON}}]}, indent=2),
    "JSON behind blanks": "\n \n" + json.dumps({"choices": [{"message": {"content": NOON}}]}),
    "thinking": events(delta("<thinking>No. Never. </thinking>\n"), *WORDS),
    "thoughts in capitals": events(delta("<THINK>No. Never. </Think>\n"), *WORDS),
    "thoughts in brackets": events(delta("[THINK]No. Never. [/THINK]"), *WORDS),
    "thoughts in triangles": events(delta("◁thi"), delta("nk▷No. Never. ◁/think▷"), *WORDS),
    "thoughts in tokens": events(delta("<|begin_of_thought|>No. <|end_of_thought|><|begin_of_solution|>"), *WORDS),
    "thoughts in tokens in capitals": events(delta("<|START_THINKING|>No.<|END_THINKING|><|START_RESPONSE|>"), *WORDS),
    "thoughts of another name": events(
        delta("<scratchpad>No. Never.</scratchpad> <seed:think>No.</seed:think>"), *WORDS
    ),
    "a tool in the text": events(delta('<tool_call>{"name": "f. G."}</tool_call>'), *WORDS),
    "a comment": events(delta("<!-- No. Nev"), delta("er. -->"), *WORDS),
    "channels": events(
        delta("<|channel|>analysis<|message|>No. Never. <|end|><|start|>assistant<|channel|>final"),
        delta("<|message|>"),
        *WORDS,
        delta("<|return|>"),
    ),
    "thoughts without a beginning": events(delta("The visitor asks for the time\n</think>\n\n"), *WORDS),
}


@dataclass
class Visit:
    """What one question led to."""

    heard: list[str]
    told: str = ""


async def ask(server: AgentServer, times: int = 1, *, said: bool = False, **more: Any) -> list[Visit]:
    chosen = Settings(transcriber=server.url, chat=server.url, synthesizer=server.url, **more)
    synthesizer = choose_synthesizer(chosen)
    begin = choose_agent(chosen, synthesizer)
    assert begin is not None
    assert synthesizer is not None
    agent, visits = begin(), []
    try:
        for _ in range(times):
            visits.append(Visit([]))
            try:
                async for part in agent.answer(SPEECH):
                    if isinstance(part, SpokenSentence):
                        visits[-1].heard.append(part.text)
                        await part.sound.aclose()
            except AgentError as error:
                visits[-1].told = str(error)
            if visits[-1].heard and said:
                agent.note_said(" ".join(visits[-1].heard))
    finally:
        await agent.close()
        await synthesizer.close()
    return visits


async def test_the_answer_is_heard_whole() -> None:
    heard = {}
    async with agent_server() as server:
        for name, body in HEARD.items():
            server.body = body.encode()
            heard[name] = await ask(server)
    assert heard == {name: [Visit(BOTH)] for name in HEARD}


FAULTS = {
    "an error at once": (events(FAILED), [], "reports an error"),
    "an error in mid-answer": (events(*WORDS[:2], FAILED), ["It is noon."], "reports an error"),
    "an error of one word": (events('{"error": "overloaded"}'), [], "reports an error"),
    "an error of a choice": (events(*WORDS[:2], delta("", error={"code": 502})), ["It is noon."], "reports an error"),
    "an error without streaming": (FAILED, [], "reports an error"),
    "an error of vLLM": (
        events(*WORDS[:2], '{"object": "error", "message": "x", "code": 400}'),
        BOTH[:1],
        "reports an error",
    ),
    "an error of FastAPI": (events('{"detail": "no such model"}'), [], "reports an error"),
    "an event of an error": ('event: error\ndata: {"message": "overloaded"}\n\n', [], "reports an error"),
    "an error's code alone": (events(*WORDS[:2], '{"text": "", "error_code": 50001}'), BOTH[:1], "reports an error"),
    "a page": ("<html><body>Please sign in.</body></html>", [], "an answer that its API does not allow"),
    "comments alone": (": ping\n\n: ping\n\n", [], "an answer that its API does not allow"),
    "half of a JSON": (events(*WORDS[:2]) + 'data: {"choices": [', ["It is noon."], "that its API does not allow"),
    "a list": (events("[1]"), [], "an answer that its API does not allow"),
}


async def test_a_fault_is_told_and_the_rest_of_the_answer_is_neither_heard_nor_remembered(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text("sk-secret\n")
    async with agent_server() as server:
        for body, heard, told in FAULTS.values():
            server.body = body.encode()
            server.chats.clear()
            visits = await ask(server, 2, said=True, chat_key_file=key)
            assert [visit.heard for visit in visits] == [heard, heard]
            assert all(told in visit.told for visit in visits)
            remembered = [message["content"] for message in server.chats[1][1:-1]]
            assert remembered == (["What time is it?", "It is noon."] if heard else [])
    assert "out of memory" in caplog.text
    assert "no such model" in caplog.text
    assert "sk-secret" not in caplog.text


async def test_an_answer_without_words_is_no_fault() -> None:
    async with agent_server(body=events(delta(""), "[DONE]").encode()) as server:
        assert await ask(server) == [Visit([])]


TRANSCRIPTS = {
    '{"text": " What time\\n is it? "}': "What time is it?",
    '{"text": "What time is it?", "segments": [{"text": "x"}], "usage": {}}': "What time is it?",
    '{"segments": [{"text": " What time"}, {"text": ""}, {"text": " is it?"}]}': "What time is it?",
    '{"text": null}': "",
    '{"text": ""}': "",
}
NO_TRANSCRIPTS = (
    '{"error": {"message": "no model"}}',
    "{}",
    "[]",
    '{"text": 7}',
    '{"text": ["a"]}',
    '{"segments": 1}',
    "no",
)


def test_transcripts_are_read_in_the_forms_of_the_api() -> None:
    assert {body: " ".join(transcript(body.encode()).split()) for body in TRANSCRIPTS} == TRANSCRIPTS
    for body in NO_TRANSCRIPTS:
        with (
            pytest.raises(AgentError, match=r"reports an error|does not allow"),
            Endpoint("transcription endpoint", "http://a", "").explained(),
        ):
            transcript(body.encode())


async def test_a_redirect_is_followed() -> None:
    async with agent_server(question="moved") as server:
        assert await ask(server) == [Visit(BOTH)]


async def test_an_unmarked_thought_is_learned(caplog: pytest.LogCaptureFixture) -> None:
    """What a thought's first words were cannot be known the first time; from then on the answer waits for its end."""
    caplog.set_level(logging.WARNING)
    body = events(delta("They ask. I look. "), delta("It is twelve.</think>"), *WORDS).encode()
    async with agent_server(body=body) as server:
        first, second = await ask(server, 2)
        assert first.heard[-2:] == second.heard == BOTH
        assert caplog.text.count("not marked") == 1
        assert await ask(server, chat_model="DeepSeek-R1-Distill-7B") == [Visit(BOTH)]
        server.body = events(*WORDS).encode()
        assert await ask(server, 2, chat_model="qwq") == [Visit(BOTH)] * 2


def test_a_habit_is_unlearned() -> None:
    habit = ThinkingHabit("qwen3-thinking")
    assert habit.begins_in_thought
    habit.learn(begins_in_thought=False)
    assert not habit.begins_in_thought
    assert not ThinkingHabit("gpt-4o").begins_in_thought


async def test_long_thoughts_do_not_use_up_the_answer() -> None:
    body = events(delta("<think>" + "Hm. " * 5_000 + "</think>"), *WORDS).encode()
    async with agent_server(body=body) as server:
        assert await ask(server) == [Visit(BOTH)]
