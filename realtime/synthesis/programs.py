"""Speech engines that are local programs: one process per sentence, text on standard input, no shell."""

import asyncio
import contextlib
import json
import logging
import os
import shutil
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from lipstream.realtime.errors import SettingsError
from lipstream.realtime.synthesis.synthesizer import ENGINE_SILENT_S, SpokenPcm, SynthesisError
from lipstream.realtime.synthesis.wave_stream import WaveStream
from lipstream.realtime.workers.programs import close_pipes, kill_program

logger = logging.getLogger(__name__)

_PIECE_BYTES = 16 * 1024
_KEPT_ERROR_BYTES = 2_000
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "ESPEAK_DATA_PATH")
"""Variables passed on from the server's environment; the others may be secrets."""


class SpeakingProgram:
    """Runs a program that reads text and writes sound.

    Args:
        rate_hz: Sample rate of its raw output, Hz; 0 if it writes a WAV file.
    """

    def __init__(self, arguments: Sequence[str], rate_hz: int = 0) -> None:
        self._arguments, self._rate_hz = tuple(arguments), rate_hz
        self._name = Path(self._arguments[0]).name

    async def speak(self, text: str) -> AsyncGenerator[SpokenPcm]:
        """Yield the sound of a sentence.

        Raises:
            SynthesisError: If the program cannot be started, fails or stalls.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *self._arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            )
        except OSError as error:
            raise SynthesisError(f"{self._name} cannot be run: {error.strerror}") from error
        complaints = asyncio.create_task(_tail(process.stderr), name="synthesis-stderr")
        try:
            async for piece in self._listen(process, text):
                yield piece
            async with asyncio.timeout(ENGINE_SILENT_S):
                failed = await process.wait()
            if failed:
                logger.warning("%s failed: %s", self._name, await complaints)
                raise SynthesisError(f"{self._name} failed; the server's log says why")
        except TimeoutError:
            raise SynthesisError(f"{self._name} was silent for {ENGINE_SILENT_S:.0f} s") from None
        finally:
            complaints.cancel()
            kill_program(process)
            close_pipes(process)
            await asyncio.wait([complaints, asyncio.ensure_future(process.wait())])

    async def _listen(self, process: asyncio.subprocess.Process, text: str) -> AsyncGenerator[SpokenPcm]:
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the exit status is checked later
            process.stdin.write(text.encode() + b"\n")
            async with asyncio.timeout(ENGINE_SILENT_S):
                await process.stdin.drain()
            process.stdin.close()
        wave = None if self._rate_hz else WaveStream()
        while data := await _piece(process.stdout):
            pcm = wave.push(data) if wave else data
            if pcm:
                yield SpokenPcm(wave.rate_hz if wave else self._rate_hz, pcm)
        if wave and (pcm := wave.flush()):
            yield SpokenPcm(wave.rate_hz, pcm)

    async def close(self) -> None:
        """Do nothing: nothing is kept between sentences."""


async def _piece(stream: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(ENGINE_SILENT_S):
        return await stream.read(_PIECE_BYTES)


def espeak_ng(voice: str) -> SpeakingProgram:
    """Return eSpeak NG.

    Args:
        voice: Name in the list of ``espeak-ng --voices``, such as ``en-gb``; empty for its default.

    Raises:
        SettingsError: If eSpeak NG is not installed.
    """
    chosen = ("-v", voice) if voice else ()
    return SpeakingProgram([_found("espeak-ng"), "-b", "1", *chosen, "--stdin", "--stdout"])


def piper(voice: str) -> SpeakingProgram:
    """Return Piper.

    Args:
        voice: Path of a voice file, ``.onnx``, with its description ``.onnx.json`` beside it.

    Raises:
        SettingsError: If Piper or one of the files is missing.
    """
    program = _found("piper")
    try:
        if not Path(voice).is_file():
            raise FileNotFoundError
        rate_hz = int(json.loads(Path(f"{voice}.json").read_bytes())["audio"]["sample_rate"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"synthesizer_voice {voice!r} is no voice of Piper's: a .onnx file with its .onnx.json beside it"
        ) from error
    return SpeakingProgram([program, "--model", str(Path(voice).absolute()), "--output_raw"], rate_hz)


def _found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise SettingsError(f"synthesizer {program!r} is not installed here")
    return path


async def _tail(stream: asyncio.StreamReader | None) -> str:
    """Read the stream to its end, so that its writer never blocks; return the last 2000 bytes as text."""
    kept = b""
    while stream and (data := await stream.read(_PIECE_BYTES)):
        kept = (kept + data)[-_KEPT_ERROR_BYTES:]
    return kept.decode(errors="replace").strip()
