"""The ASGI application of process web."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from threading import Event

from anyio import create_task_group
from fastapi import Depends, FastAPI
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
    login,
    logs,
    machines,
    metrics,
    nodes,
    openmetrics,
    pins,
    pipelines,
    plans,
    pools,
    problems,
    receipts,
    report,
    schedules,
    simulations,
    sockets,
    teams,
    tokens,
    triggers,
    windows,
)
from app.access import Owners, own_paths, permit, refuse_undeclared
from app.auth import Auth
from app.call import Parts
from app.dashboard import acts, assets, live
from app.dashboard import pages as dashboard
from app.dashboard.browser import Browser
from app.dashboard.desk import Desk
from app.keys import Keys
from app.limits import Body, Door, Head, Shield, our_names
from app.writes import Writes
from levare.pulse import Pulse
from levare.settings import Settings
from levare.store.engine import Database
from levare.store.sharing import rules_of

_MODULES = (
    *(jobs, pins, failures, receipts, pipelines, logs, metrics, compare, nodes),
    *(report, simulations, families, teams, windows, tokens, machines, pools),
    *(calendar, schedules, instants),  # whose first names words that no schedule may have
    *(triggers, events, alerts, alert_rules, channels, plans, audit, health, docs, login, openmetrics),
    *(dashboard, acts, assets),
)


def create(settings: Settings, *, stopping: Event | None = None) -> FastAPI:
    """
    The application, for a database that has been migrated.

    Set `stopping` when the process is about to end: what streams then ends too.
    """
    database = Database(settings.database)
    writes = Writes(database, stopping or Event())
    parts = Parts(settings, rules_of(settings), database, Pulse(settings.redis_url), writes, Keys(database))
    app = FastAPI(
        title="levare",
        version=levare.__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        lifespan=_lifespan,
        dependencies=[Depends(permit)],
        exception_handlers={RequestValidationError: problems.on_invalid, HTTPException: problems.on_http_error},
    )
    app.state.parts = parts
    app.openapi = partial(document.describe, app)
    for module in _MODULES:
        app.include_router(module.router)
    app.state.routes = [route for module in _MODULES for route in module.router.routes]
    app.state.own = own_paths(app.state.routes)
    for router in (live.router, sockets.router):
        app.include_router(router)
    refuse_undeclared([*app.state.routes, *live.router.routes, *sockets.router.routes])
    app.state.desk = Desk(parts)
    app.state.hub = live.Hub(parts, app.state.desk)
    app.state.owners = Owners(database)
    _guard(app, parts)
    return app


def _guard(app: FastAPI, parts: Parts) -> None:
    """The last added is the first asked: Shield, Head, Browser, Door, Auth, Body."""
    app.add_middleware(Body)
    settings = parts.settings
    app.add_middleware(Auth, keys=parts.keys, per_second=settings.rate)
    app.add_middleware(
        Door, names=our_names(settings.host, settings.names), host=settings.host, stopping=parts.writes.stopping
    )
    app.add_middleware(Browser)
    app.add_middleware(Head)
    app.add_middleware(Shield)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    parts: Parts = app.state.parts
    async with create_task_group() as group:
        group.start_soon(parts.keys.keep_notes)
        group.start_soon(app.state.hub.run)
        group.start_soon(parts.writes.run)
        yield
        group.cancel_scope.cancel()
    parts.keys.write_notes()
    app.state.hub.close()
    parts.writes.close()
    parts.pulse.close()
    parts.database.dispose()


def _operation_id(route: APIRoute) -> str:
    return route.name
