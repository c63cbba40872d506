"""
What the least of an API costs: one FastAPI route that reads a job by its id, without access, errors or documents.

    python -m benchmarks.api.bare DATABASE_URL FILE

Served as levare's API is, over the same engine; the address is written to FILE.
"""

import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from sqlalchemy import bindparam, select

from app.__main__ import listen, url_of
from levare.settings import load
from levare.store.engine import Database
from levare.store.tables import jobs

_BY_ID = select(jobs).where(jobs.c.id == bindparam("job_id"))


def application(database: Database) -> FastAPI:
    app = FastAPI()

    @app.get("/v1/jobs/{job_id}")
    def read_job(job_id: str) -> dict[str, Any]:
        with database.reading() as connection:
            return dict(connection.execute(_BY_ID, {"job_id": job_id}).mappings().one())

    return app


def main() -> None:
    url, place = sys.argv[1:]
    listener = listen(load({"LEVARE_PORT": "0"}))
    Path(place).write_text(url_of(listener))
    config = uvicorn.Config(application(Database(url)), log_level="warning", access_log=False, http="httptools")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
