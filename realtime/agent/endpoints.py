"""OpenAI-compatible endpoints for transcription (``…/audio/transcriptions``) and chat (``…/chat/completions``)."""

import io
import json
import logging
import wave
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt

from lipstream.realtime.agent.agent import AgentError
from lipstream.realtime.timeline import SAMPLE_RATE_HZ
from lipstream.realtime.wire.answer_body import UNCOMPRESSED, body_lines, read_body
from lipstream.realtime.wire.authorities import authorities

logger = logging.getLogger(__name__)

SILENT_S = 30.0
"""An endpoint that sends nothing for this long has failed."""
LONGEST_ANSWER = 4_000
"""Limit of characters in an answer; the rest is not read."""
_MOST_LINE = 256 * 1024
_MOST_BYTES = 4 << 20
"""Limit of an answer with all that an endpoint sends around it."""
_MOST_TRANSCRIPT_BYTES = 64 * 1024
_OK = 200

Message = dict[str, str]


class Endpoint:
    """One endpoint with persistent connections.

    Args:
        url: Complete URL, ``http`` or ``https``.
        key: Bearer token; empty for none.
    """

    def __init__(self, what: str, url: str, key: str) -> None:
        self.what, self.url = what, url
        headers = UNCOMPRESSED | ({"Authorization": f"Bearer {key}"} if key else {})
        self.client = httpx.AsyncClient(timeout=SILENT_S, headers=headers, verify=authorities())

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn any failure of the endpoint into an AgentError with one sentence.

        Raises:
            AgentError: If the block fails.
        """
        try:
            yield
        except httpx.TimeoutException as error:
            raise AgentError(f"the {self.what} was silent for {SILENT_S:.0f} s") from error
        except httpx.ConnectError as error:
            raise AgentError(f"the {self.what} cannot be reached") from error
        except httpx.HTTPError as error:
            logger.warning("the %s broke off: %s", self.what, type(error).__name__)
            raise AgentError(f"the {self.what} broke off") from error
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
            raise AgentError(f"the {self.what} sent an answer that its API does not allow") from error

    def check(self, answer: httpx.Response) -> None:
        """Check the status of an answer. Its body may repeat the key, so the error leaves it out.

        Raises:
            AgentError: If the status is not 200.
        """
        if answer.status_code != _OK:
            raise AgentError(f"the {self.what} answered with status {answer.status_code}")


class Transcriber:
    """Turns speech into text.

    Args:
        url: Base URL with the version, such as ``https://api.example/v1``.
        language: ISO 639-1 code; empty for detection by the endpoint.
        key: Bearer token; empty for none.
    """

    def __init__(self, url: str, *, model: str, language: str = "", key: str = "") -> None:
        self._endpoint = Endpoint("transcription endpoint", f"{url.rstrip('/')}/audio/transcriptions", key)
        self._form = {"model": model, "response_format": "json"} | ({"language": language} if language else {})

    async def transcribe(self, speech: npt.NDArray[np.float32]) -> str:
        """Return the words spoken in ``float32[n]`` at 16 kHz; empty if there are none.

        Raises:
            AgentError: If the endpoint fails.
        """
        endpoint = self._endpoint
        with endpoint.explained():
            files = {"file": ("speech.wav", _wav(speech), "audio/wav")}
            async with endpoint.client.stream("POST", endpoint.url, data=self._form, files=files) as answer:
                endpoint.check(answer)
                text: str = json.loads(await read_body(answer, _MOST_TRANSCRIPT_BYTES))["text"].strip()
                return text

    async def close(self) -> None:
        """Close the connections."""
        await self._endpoint.client.aclose()


class Chat:
    """Answers messages with text that is read while it is being written.

    Args:
        url: Base URL with the version, such as ``https://api.example/v1``.
        key: Bearer token; empty for none.
    """

    def __init__(self, url: str, *, model: str, key: str = "") -> None:
        self._endpoint = Endpoint("chat endpoint", f"{url.rstrip('/')}/chat/completions", key)
        self._model = model

    async def stream(self, messages: list[Message]) -> AsyncGenerator[str]:
        """Yield the answer in pieces.

        Raises:
            AgentError: If the endpoint fails or breaks off.
        """
        endpoint, length = self._endpoint, 0
        request = {"model": self._model, "messages": messages, "stream": True}
        with endpoint.explained():
            async with endpoint.client.stream("POST", endpoint.url, json=request) as answer:
                endpoint.check(answer)
                async for line in body_lines(answer, _MOST_BYTES, _MOST_LINE):
                    if line == "data: [DONE]":
                        return
                    piece = _content(line)
                    length += len(piece)
                    if piece:
                        yield piece
                    if length > LONGEST_ANSWER:
                        return

    async def close(self) -> None:
        """Close the connections."""
        await self._endpoint.client.aclose()


def _content(line: str) -> str:
    """Return the text in a line of server-sent events, or in a line that is a complete answer without streaming."""
    if line.startswith("{"):
        return str(json.loads(line)["choices"][0]["message"]["content"] or "")
    if not line.startswith("data:"):
        return ""
    choices: list[dict[str, Any]] = json.loads(line.removeprefix("data:")).get("choices") or []
    return str(choices[0].get("delta", {}).get("content") or "") if choices else ""


def _wav(speech: npt.NDArray[np.float32]) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, SAMPLE_RATE_HZ, 0, "NONE", ""))
        writer.writeframes(np.rint(np.clip(speech, -1.0, 1.0) * 32767).astype("<i2").tobytes())
    return file.getvalue()
