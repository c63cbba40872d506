"""Whether this process lives, and whether what it needs answers."""

from http import HTTPStatus

import structlog
from fastapi import APIRouter, Request
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from app.answers import Health, Readiness, answer
from app.call import Parts
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
    """200 when requests can be served. Redis costs only latency and samples, so without it levare is still ready."""
    parts: Parts = request.app.state.parts
    is_ready = _answers(parts.database)
    content = {
        "database": "ok" if is_ready else "does not answer",
        "redis": "ok" if parts.pulse.ping() else "does not answer",
    }
    return answer(content, HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE)


def _answers(database: Database) -> bool:
    try:
        with database.reading() as connection:
            connection.execute(text("SELECT 1 FROM jobs LIMIT 1"))
    except (SQLAlchemyError, OSError) as error:
        log.warning("database.silent", error=str(error))
        return False
    return True
