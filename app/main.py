"""The ASGI application of process web."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from threading import Event

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

import levare
from app import (
    alert_rules,
    alerts,
    audit,
    calendar,
    channels,
    compare,
    docs,
    document,
    events,
    failures,
    families,
    health,
    instants,
    jobs,
    logs,
    metrics,
    nodes,
    openmetrics,
    pins,
    pipelines,
    problems,
    receipts,
    report,
    schedules,
    teams,
    tokens,
    triggers,
    windows,
)
from app.auth import Auth
from app.call import Parts
from app.limits import Body, Door, Shield
from levare.pulse import Pulse
from levare.settings import Settings
from levare.store.engine import Database
from levare.store.sharing import rules_of

_MODULES = (
    *(jobs, pins, failures, receipts, pipelines, logs, metrics, compare, nodes),
    *(report, families, teams, windows, tokens),
    *(calendar, schedules, instants),  # whose first names words that no schedule may have
    *(triggers, events, alerts, alert_rules, channels, audit, health, docs, openmetrics),
)


def create(settings: Settings, *, stopping: Event | None = None) -> FastAPI:
    """
    The application, for a database that has been migrated.

    Set `stopping` when the process is about to end: what streams then ends too.
    """
    parts = Parts(
        settings, rules_of(settings), Database(settings.database), Pulse(settings.redis_url), stopping or Event()
    )
    app = FastAPI(
        title="levare",
        version=levare.__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        lifespan=_lifespan,
        exception_handlers={RequestValidationError: problems.on_invalid, HTTPException: problems.on_http_error},
    )
    app.state.parts = parts
    app.openapi = partial(document.describe, app)
    for module in _MODULES:
        app.include_router(module.router)
    app.state.routes = [route for module in _MODULES for route in module.router.routes]
    _guard(app, parts)
    return app


def _guard(app: FastAPI, parts: Parts) -> None:
    """The last added is the first asked: Shield, Door, Auth, Body."""
    app.add_middleware(Body)
    app.add_middleware(Auth, database=parts.database)
    app.add_middleware(Door, host=parts.settings.host)
    app.add_middleware(Shield)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    parts: Parts = app.state.parts
    parts.pulse.close()
    parts.database.dispose()


def _operation_id(route: APIRoute) -> str:
    return route.name
