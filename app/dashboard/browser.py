"""What a person in a browser gets instead of a problem document: a page, or the way to sign in."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import problems
from app.dashboard.pages import answered
from app.dashboard.sheet import render
from levare.errors import LevareError, Unauthorized

_OF_PROGRAMS = ("/v1/", "/metrics", "/healthz", "/readyz", "/openapi.json", "/assets/")


_ONCE_MORE = "<!doctype html><meta http-equiv=refresh content=0><title>levare</title>"
"""Whoever follows a link of another site shows no session; a page of ours that loads itself again does."""


class Browser:
    """Stands before all that may refuse, and makes pages of its problems for those who ask for pages."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _wants_page(scope):
            await self.app(scope, receive, send)
            return
        held: list[Message] = []

        async def holding(message: Message) -> None:
            """Problems are held back, everything else goes."""
            if held or (message["type"] == "http.response.start" and _is_problem(message)):
                held.append(message)
            else:
                await send(message)

        try:
            await self.app(scope, receive, holding)
        except LevareError as error:
            problem = problems.document(error, scope["path"])
        else:
            if not held:
                return
            problem = json.loads(b"".join(message.get("body", b"") for message in held[1:]))
        await _told(problem, Request(scope))(scope, receive, send)


def _wants_page(scope: Scope) -> bool:
    path = scope["path"]
    return "text/html" in Headers(scope=scope).get("accept", "") and not path.startswith(_OF_PROGRAMS)


def _is_problem(message: Message) -> bool:
    return MutableHeaders(raw=message["headers"]).get("content-type", "") == problems.MEDIA_TYPE


def _told(problem: Mapping[str, Any], request: Request) -> Response:
    if problem["status"] == Unauthorized.status and request.method in ("GET", "HEAD"):
        if request.headers.get("sec-fetch-site") == "cross-site":
            return HTMLResponse(_ONCE_MORE)
        where = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(where, safe='')}", 303)
    content, _ = render("problem.html", {"problem": problem})
    return answered(request, content, title=problem["title"], status=problem["status"])
