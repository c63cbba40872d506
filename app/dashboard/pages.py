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
from app.dashboard import (
    alerts,
    compare,
    job,
    nodes,
    overview,
    pipelines,
    queue,
    report,
    revisions,
    schedules,
    teams,
    timeline,
)
from app.dashboard.assets import takes_gzip
from app.dashboard.desk import View
from app.dashboard.sheet import Sheet, framed, render
from app.rights import RIGHTS
from levare.errors import NotFound
from levare.store.audit import Actor

router = APIRouter(include_in_schema=False)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_THEMES = ("light", "dark")
_MOST_PARAMS = 60


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
    is_live: bool = True
    script: str = ""
    """What draws on it, besides what every page does."""
    of: str = ""
    """The page of the menu that it belongs to."""

    @property
    def operation(self) -> str:
        """Its name in the table of who may do what."""
        return f"show_{self.name}"

    @cached_property
    def pattern(self) -> Any:
        return compile_path(self.path)[0]

    def render(self, view: View, *, proof: str = "", where: str = "") -> tuple[str, Sheet, Mapping[str, Any]]:
        """Forms need `proof`, which belongs to one session, so they stand outside of all parts: readers share these."""
        facts = {"now": view.call.now, "may_act": view.may_act, "proof": proof, "where": where, **self.load(view)}
        return *render(f"{self.name}.html", facts), facts


PAGES = (
    Page("overview", "/", "Overview", overview.load, "o", beats=True),
    Page("queue", "/queue", "Queue", queue.load, "q"),
    Page("timeline", "/timeline", "Timeline", timeline.load, "t"),
    Page("schedules", "/schedules", "Schedules", schedules.load, "s"),
    Page("schedule", "/schedules/{name}", "Schedule", schedules.load_one, of="schedules"),
    Page("pipelines", "/pipelines", "Pipelines", pipelines.load, "p"),
    Page("pipeline", "/pipelines/{pipeline_id}", "Pipeline", pipelines.load_one, of="pipelines"),
    Page("alerts", "/alerts", "Alerts", alerts.load, "a"),
    Page("rule", "/alerts/rules/{name}", "Rule", alerts.load_rule, of="alerts"),
    Page("teams", "/teams", "Teams", teams.load, "m"),
    Page("team", "/teams/{name}", "Team", teams.load_one, of="teams"),
    Page("nodes", "/nodes", "Nodes", nodes.load, "n", beats=True),
    Page("revisions", "/revisions", "Revisions", revisions.load, "v"),
    Page("revision", "/revisions/{number}", "Revision", revisions.load_one, of="revisions"),
    Page(
        "rollback", "/revisions/{number}/rollback", "Roll back", revisions.load_rollback, is_live=False, of="revisions"
    ),
    Page("report", "/report", "Report", report.load, "r"),
    Page("compare", "/compare", "Compare", compare.load, script="compare.js", of="queue"),
    Page("job", "/jobs/{job_id}", "Job", job.load, script="job.js", of="queue"),
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
        if match and page.is_live:
            return Address(page, match.groupdict(), params_of(split.query))
    raise NotFound(f"There is no page at {split.path}.", "The menu leads to all of them.")


def params_of(query: str) -> dict[str, str]:
    """What a query says; of a name that it says several times, all values."""
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, max_num_fields=_MOST_PARAMS):
        found.setdefault(name, []).append(value)
    return {name: ",".join(values) for name, values in found.items()}


def _add(page: Page) -> None:
    def show(request: Request) -> Response:
        state = request.app.state
        call = call_of(state.parts, request.scope["levare.actor"])
        beats = call.pulse.heartbeats() if page.beats else {}
        view = View(call, state.desk, params_of(request.url.query), request.path_params, beats)
        content, _, facts = page.render(view, proof=_proof(request), where=_where(request))
        return answered(request, content, page=page, title=facts.get("title", page.title))

    show.__name__ = page.operation
    router.add_api_route(page.path, show, methods=["GET"], name=page.operation)


for _page in PAGES:
    _add(_page)


def answered(request: Request, content: str, *, title: str, page: Page | None = None, status: int = 200) -> Response:
    """The document, in the theme that the reader has chosen."""
    actor = request.scope.get("levare.actor")
    theme = request.cookies.get("levare_theme", "")
    document = framed(
        content,
        title=title,
        page=page,
        menu=[each for each in PAGES if each.shortcut and _may_open(each, actor)],
        theme=theme if theme in _THEMES else "",
        where=_where(request),
        proof=_proof(request),
        who=actor.name if actor else "",
    ).encode("utf-8", "replace")
    headers = {"Content-Security-Policy": POLICY, "Vary": "Accept-Encoding"}
    if takes_gzip(request):
        document, headers = gzip.compress(document, 5), headers | {"Content-Encoding": "gzip"}
    return Response(document, status, headers, "text/html; charset=utf-8")


def _may_open(page: Page, actor: Actor | None) -> bool:
    """Whether the menu leads there; what belongs to somebody is refused at its own door."""
    return actor is not None and (actor.access.is_fleet or RIGHTS[page.operation].role is not None)


def _proof(request: Request) -> str:
    shown = shown_by(request.headers)
    return proof_of(shown.secret) if shown and shown.is_cookie else ""


def _where(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")
