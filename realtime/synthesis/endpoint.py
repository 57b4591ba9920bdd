"""An OpenAI-compatible speech endpoint, ``POST {url}/audio/speech``; the sound is read as it arrives."""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import httpx

from lipstream.realtime.audio.pcm_queue import HIGHEST_RATE_HZ
from lipstream.realtime.errors import SettingsError
from lipstream.realtime.synthesis.sound_reader import read_sound
from lipstream.realtime.synthesis.synthesizer import ENGINE_SILENT_S, LONGEST_S, SpokenPcm, SynthesisError
from lipstream.realtime.wire.answer_body import (
    MOST_REDIRECTS,
    UNCOMPRESSED,
    AnswerBodyError,
    body_pieces,
    refuse_elsewhere,
)
from lipstream.realtime.wire.authorities import authorities

logger = logging.getLogger(__name__)

PCM_RATE_HZ = 24_000
"""Rate of ``response_format: pcm`` by the API reference."""
MOST_BYTES = 2 * HIGHEST_RATE_HZ * LONGEST_S
"""Limit of the sound of a sentence; at most rates :data:`LONGEST_S` is reached first."""
DEFAULT_VOICE = "alloy"
_NO_SOUND = ("text/", "application/json")
_OK = 200


class SpeechEndpoint:
    """Speaks through an endpoint; its connections are kept between sentences.

    Args:
        url: Base URL with the version, such as ``https://api.example/v1``.
        response_format: ``pcm`` (s16le at 24 kHz) or ``wav`` (any rate): what is asked for. What comes is recognised.
        key: Bearer token; empty for none.
    """

    def __init__(self, url: str, *, voice: str, model: str, response_format: str, key: str = "") -> None:
        self._url = f"{url.rstrip('/')}/audio/speech"
        self._request = {"model": model, "voice": voice, "response_format": response_format}
        self._headers = UNCOMPRESSED | ({"Authorization": f"Bearer {key}"} if key else {})
        self._client: httpx.AsyncClient | None = None

    async def speak(self, text: str) -> AsyncGenerator[SpokenPcm]:
        """Yield the sound of a sentence.

        Raises:
            SynthesisError: If the endpoint refuses, cannot be reached, stalls, breaks off, or does not answer with
                sound.
        """
        if self._client is None:
            self._client = httpx.AsyncClient(
                timeout=ENGINE_SILENT_S,
                headers=self._headers,
                verify=authorities(),
                follow_redirects=True,
                max_redirects=MOST_REDIRECTS,
                event_hooks={"response": [refuse_elsewhere]},
            )
        try:
            async with self._client.stream("POST", self._url, json={**self._request, "input": text}) as answer:
                _check(answer)
                kind, body = answer.headers.get("content-type", ""), body_pieces(answer, MOST_BYTES)
                async with aclosing(read_sound(body, kind, default_hz=PCM_RATE_HZ)) as sound:
                    async for part in sound:
                        yield part
        except AnswerBodyError as error:
            raise SynthesisError(f"the speech endpoint {error}") from error
        except httpx.TimeoutException as error:
            raise SynthesisError(f"the speech endpoint was silent for {ENGINE_SILENT_S:.0f} s") from error
        except httpx.ConnectError as error:
            raise SynthesisError("the speech endpoint cannot be reached") from error
        except httpx.HTTPError as error:
            logger.warning("the speech endpoint broke off: %s", type(error).__name__)
            raise SynthesisError("the speech endpoint broke off in the middle") from error

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client:
            await client.aclose()


def _check(answer: httpx.Response) -> None:
    if answer.status_code != _OK:  # the body is left out, as it may repeat the key
        raise SynthesisError(f"the speech endpoint answered with status {answer.status_code}")
    kind = answer.headers.get("content-type", "").lower()
    if kind.startswith(_NO_SOUND):
        raise SynthesisError(f"the speech endpoint answered with {kind[:40]}, not with sound")


def read_key(option: str, path: Path | None) -> str:
    """Return the key in the file that an option names; empty without a file.

    Raises:
        SettingsError: If the file cannot be read or is not one line of printable ASCII.
    """
    if path is None:
        return ""
    try:
        key = path.read_text("ascii").strip()
    except (OSError, ValueError) as error:
        raise SettingsError(f"{option} {path} cannot be read") from error
    if not key or not key.isprintable() or " " in key:
        raise SettingsError(f"{option} {path} must hold exactly one key")
    return key
