"""Whether this process lives, and whether what it needs answers."""

from datetime import UTC, datetime
from http import HTTPStatus

import structlog
from fastapi import APIRouter, Request
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from app.answers import Health, Readiness, answer
from app.call import Parts
from levare.store import leases
from levare.store.engine import Database

router = APIRouter(tags=["health"])
log = structlog.get_logger()


@router.get("/healthz", response_model=Health)
async def check_health() -> Response:
    """200 while the process answers."""
    return answer({"status": "ok"})


@router.get(
    "/readyz",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "The database does not answer."}},
)
def check_readiness(request: Request) -> Response:
    """200 when requests can be served. Without Redis or beat they can be: that costs latency, and nothing starts."""
    parts: Parts = request.app.state.parts
    content = {
        **_behind(parts.database, datetime.now(UTC)),
        "redis": "ok" if parts.pulse.ping() else "does not answer",
    }
    is_ready = content["database"] == "ok"
    return answer(content, HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE)


def _behind(database: Database, now: datetime) -> dict[str, str]:
    """The database, and what it tells of beat: without one requests are served, but nothing starts."""
    try:
        with database.reading() as connection:
            connection.execute(text("SELECT 1 FROM jobs LIMIT 1"))
            last_led = leases.last_led(connection, leases.BEAT)
    except (SQLAlchemyError, OSError) as error:
        log.warning("database.silent", error=str(error))
        return {"database": "does not answer", "beat": "is not known without the database"}
    return {"database": "ok", "beat": _of_beat(last_led, now)}


def _of_beat(last_led: datetime | None, now: datetime) -> str:
    if last_led is None:
        return "has never decided"
    away = now - last_led
    return "ok" if away < leases.SILENT else f"has decided nothing for {away.total_seconds():.0f} s"
