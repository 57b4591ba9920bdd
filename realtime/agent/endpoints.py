"""OpenAI-compatible endpoints for transcription (``…/audio/transcriptions``) and chat (``…/chat/completions``)."""

import asyncio
import io
import json
import logging
import wave
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager

import httpx
import numpy as np
import numpy.typing as npt

from lipstream.realtime.agent.agent import AgentError
from lipstream.realtime.agent.chat_answer import AnswerReader, ReportedError, error_text
from lipstream.realtime.timeline import SAMPLE_RATE_HZ
from lipstream.realtime.wire.answer_body import MOST_REDIRECTS, UNCOMPRESSED, body_pieces, read_body, refuse_elsewhere
from lipstream.realtime.wire.authorities import authorities

logger = logging.getLogger(__name__)

SILENT_S = 30.0
"""An endpoint that sends nothing for this long has failed."""
_BYTES_AT_ONCE = 4096
"""Bytes read between two turns of the event loop, which also sends media."""
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
        self.client = httpx.AsyncClient(
            timeout=SILENT_S,
            headers=headers,
            verify=authorities(),
            follow_redirects=True,
            max_redirects=MOST_REDIRECTS,
            event_hooks={"response": [refuse_elsewhere]},
        )
        self._key = key

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
        except ReportedError as error:
            reason = str(error).replace(self._key, "***") if self._key else str(error)
            logger.warning("the %s reports an error in its answer: %.200a", self.what, reason)
            raise AgentError(f"the {self.what} reports an error; the server's log says which") from error
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
                body, kind = await read_body(answer, _MOST_TRANSCRIPT_BYTES), answer.headers.get("content-type", "")
                return body.decode(errors="replace").strip() if kind.startswith("text/plain") else transcript(body)

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
        endpoint = self._endpoint
        request = {"model": self._model, "messages": messages, "stream": True}
        with endpoint.explained():
            async with endpoint.client.stream("POST", endpoint.url, json=request) as answer:
                endpoint.check(answer)
                async with aclosing(_texts(answer)) as texts:
                    async for text in texts:
                        yield text

    async def close(self) -> None:
        """Close the connections."""
        await self._endpoint.client.aclose()


async def _texts(answer: httpx.Response) -> AsyncGenerator[str]:
    """Yield the texts of an answer as they arrive.

    Raises:
        ReportedError: If the endpoint reports a failure.
        ValueError: If the answer is not one of this API, or too long.
    """
    reader = AnswerReader()
    async with aclosing(body_pieces(answer, _MOST_BYTES)) as pieces:
        async for piece in pieces:
            for at in range(0, len(piece), _BYTES_AT_ONCE):
                for text in reader.push(piece[at : at + _BYTES_AT_ONCE]):
                    yield text
                if reader.ended:
                    return
                await asyncio.sleep(0)
    for text in reader.flush():
        yield text


def transcript(body: bytes) -> str:
    """Return the words in an answer of a transcription endpoint, ``json`` or ``verbose_json``; empty for silence.

    Raises:
        ReportedError: If the endpoint reports a failure.
        ValueError: If the answer is not one of this API.
    """
    answer = json.loads(body)
    if not isinstance(answer, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 (the endpoint's fault, not the caller's)
    if error := answer.get("error"):
        raise ReportedError(error_text(error))
    if "text" in answer and answer["text"] is None:
        return ""
    parts = [answer] if "text" in answer else answer["segments"]
    texts = [part["text"].strip() for part in parts]
    return " ".join(text for text in texts if text)


def _wav(speech: npt.NDArray[np.float32]) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, SAMPLE_RATE_HZ, 0, "NONE", ""))
        writer.writeframes(np.rint(np.clip(speech, -1.0, 1.0) * 32767).astype("<i2").tobytes())
    return file.getvalue()
