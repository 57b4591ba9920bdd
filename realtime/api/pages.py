"""The pages and their files, for a server and for an ingress."""

import os
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from lipstream.realtime.settings import Settings

WEB = Path(__file__).parents[2] / "web"
_SERVED = frozenset({"avatar", "avatar.js", "call", "kiosk", "stage", "shared", "speaker.js"})
"""Below ``/static/``; the tests and the checkers' packages lie beside them."""


def add_pages(app: FastAPI, settings: Settings) -> None:
    """Let an application answer with the pages."""
    for path, name in {"/": "call/page.html", "/kiosk": "kiosk/page.html", "/stage": "stage/page.html"}.items():
        app.add_api_route(path, partial(_page, WEB / name), include_in_schema=False)
    if settings.kiosk_background:
        app.add_api_route("/kiosk/background", partial(_page, settings.kiosk_background), include_in_schema=False)
    app.mount("/static", _Pages(directory=WEB))


class _Pages(StaticFiles):
    """Files that a browser asks about again each time, so that modules of two versions never mix."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        top = path.partition(os.sep)[0]
        return super().lookup_path(path) if top in _SERVED else ("", None)

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


async def _page(path: Path) -> FileResponse:
    return FileResponse(path, headers={"Cache-Control": "no-cache"})
