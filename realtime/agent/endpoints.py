"""OpenAI-compatible endpoints that hear and think: ``…/audio/transcriptions`` and ``…/chat/completions``."""

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

logger = logging.getLogger(__name__)

SILENT_S = 30.0
"""An endpoint that sends nothing for so long has failed."""
LONGEST_ANSWER = 4_000
"""Characters of an answer; what comes after them is not asked for."""
_MOST_LINE = 1 << 20
_OK = 200

Message = dict[str, str]


class Endpoint:
    """One endpoint; its connections are kept.

    Args:
        what: Its name in messages to people.
        url: Whole.
        key: Sent as a bearer token; empty for none.
    """

    def __init__(self, what: str, url: str, key: str) -> None:
        self.what, self.url = what, url
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.client = httpx.AsyncClient(timeout=SILENT_S, headers=headers)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what goes wrong with it into one sentence.

        Raises:
            AgentError: That.
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
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise AgentError(f"the {self.what} answered with something else than its API says") from error

    def check(self, answer: httpx.Response) -> None:
        """Refuse an answer that is none; its body may repeat the key, so it is not repeated here.

        Raises:
            AgentError: If it is.
        """
        if answer.status_code != _OK:
            raise AgentError(f"the {self.what} answered with status {answer.status_code}")


class Transcriber:
    """Turns speech into text.

    Args:
        url: Up to the version, such as ``https://api.example/v1``.
        model: A name that the endpoint knows.
        language: ISO 639-1; empty lets the endpoint find out.
        key: Empty for none.
    """

    def __init__(self, url: str, *, model: str, language: str = "", key: str = "") -> None:
        self._endpoint = Endpoint("transcription endpoint", f"{url.rstrip('/')}/audio/transcriptions", key)
        self._form = {"model": model, "response_format": "json"} | ({"language": language} if language else {})

    async def transcribe(self, speech: npt.NDArray[np.float32]) -> str:
        """Return what is said in ``float32[n]`` at 16 kHz; empty if nothing is.

        Raises:
            AgentError: If the endpoint does not say.
        """
        endpoint = self._endpoint
        with endpoint.explained():
            files = {"file": ("speech.wav", _wav(speech), "audio/wav")}
            answer = await endpoint.client.post(endpoint.url, data=self._form, files=files)
            endpoint.check(answer)
            text: str = answer.json()["text"].strip()
            return text

    async def close(self) -> None:
        """Close the connections."""
        await self._endpoint.client.aclose()


class Chat:
    """Answers text with text, as it is being written.

    Args:
        url: Up to the version.
        model: A name that the endpoint knows.
        key: Empty for none.
    """

    def __init__(self, url: str, *, model: str, key: str = "") -> None:
        self._endpoint = Endpoint("chat endpoint", f"{url.rstrip('/')}/chat/completions", key)
        self._model = model

    async def stream(self, messages: list[Message]) -> AsyncGenerator[str]:
        """Yield the answer in pieces.

        Raises:
            AgentError: If there is none, or it breaks off.
        """
        endpoint, length = self._endpoint, 0
        request = {"model": self._model, "messages": messages, "stream": True}
        with endpoint.explained():
            async with endpoint.client.stream("POST", endpoint.url, json=request) as answer:
                endpoint.check(answer)
                async for line in answer.aiter_lines():
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
    """Return the text in a line of a stream (server-sent events), also in an answer that is not streamed at all."""
    if len(line) > _MOST_LINE:
        raise ValueError("too long a line")
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
