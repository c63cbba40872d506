"""The pages there are, and how one is answered. A new one is a line in PAGES, a loader and a template."""

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.routing import compile_path

from app.auth import proof_of, shown_by
from app.call import call_of
from app.dashboard import job, nodes, overview, queue
from app.dashboard.assets import takes_gzip
from app.dashboard.desk import View
from app.dashboard.sheet import Sheet, framed, render
from levare.errors import NotFound

router = APIRouter(include_in_schema=False)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_THEMES = ("light", "dark")


@dataclass(frozen=True)
class Page:
    """`shortcut` is the key that leads to it behind a `g`; a page without one is not in the menu."""

    name: str
    path: str
    title: str
    load: Callable[[View], Mapping[str, Any]]
    shortcut: str = ""
    beats: bool = False
    """Whether it shows what nodes say each second."""

    @property
    def operation(self) -> str:
        """Its name in the table of who may do what."""
        return f"show_{self.name}"

    @cached_property
    def pattern(self) -> Any:
        return compile_path(self.path)[0]

    def render(self, view: View) -> tuple[str, Sheet, Mapping[str, Any]]:
        facts = {"now": view.call.now, "may_act": view.may_act, **self.load(view)}
        return *render(f"{self.name}.html", facts), facts


PAGES = (
    Page("overview", "/", "Overview", overview.load, "o", beats=True),
    Page("queue", "/queue", "Queue", queue.load, "q"),
    Page("nodes", "/nodes", "Nodes", nodes.load, "n", beats=True),
    Page("job", "/jobs/{job_id}", "Job", job.load),
)


@dataclass(frozen=True)
class Address:
    """A page with what its address says."""

    page: Page
    names: Mapping[str, str]
    params: Mapping[str, str]


def found_at(address: str) -> Address:
    """What a path with its parameters leads to; raise NotFound if that is no page."""
    split = urlsplit(address)
    for page in PAGES:
        match = page.pattern.match(split.path)
        if match:
            return Address(page, match.groupdict(), dict(parse_qsl(split.query, max_num_fields=20)))
    raise NotFound(f"There is no page at {split.path}.", "The menu leads to all of them.")


def _add(page: Page) -> None:
    def show(request: Request) -> Response:
        state = request.app.state
        call = call_of(state.parts, request.scope["levare.actor"])
        beats = call.pulse.heartbeats() if page.beats else {}
        view = View(call, state.desk, dict(request.query_params), request.path_params, beats)
        content, _, facts = page.render(view)
        return answered(request, content, page=page, title=facts.get("title", page.title))

    show.__name__ = page.operation
    router.add_api_route(page.path, show, methods=["GET"], name=page.operation)


for _page in PAGES:
    _add(_page)


def answered(request: Request, content: str, *, title: str, page: Page | None = None, status: int = 200) -> Response:
    """The document, in the theme that the reader has chosen."""
    shown, actor = shown_by(request.headers), request.scope.get("levare.actor")
    theme = request.cookies.get("levare_theme", "")
    where = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    document = framed(
        content,
        title=title,
        page=page,
        menu=[each for each in PAGES if each.shortcut],
        theme=theme if theme in _THEMES else "",
        where=where,
        proof=proof_of(shown.secret) if shown and shown.is_cookie else "",
        who=actor.name if actor else "",
    ).encode("utf-8", "replace")
    headers = {"Content-Security-Policy": POLICY, "Vary": "Accept-Encoding"}
    if takes_gzip(request):
        document, headers = gzip.compress(document, 5), headers | {"Content-Encoding": "gzip"}
    return Response(document, status, headers, "text/html; charset=utf-8")
