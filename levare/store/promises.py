"""The times by which jobs that do not fit were first promised to start, as the leader of beat keeps them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from levare.model import Waiting
from levare.store.tables import promises

Promised = Mapping[str, datetime]


def load(connection: Connection) -> dict[str, datetime]:
    return {row.job_id: row.at for row in connection.execute(_ALL)}


def keep(connection: Connection, promised: Promised) -> None:
    """Keep exactly these. There are few at any time, so all are written anew."""
    connection.execute(_FORGET)
    if promised:
        connection.execute(_KEEP, [{"job_id": job_id, "at": at} for job_id, at in promised.items()])


def remembered(waiting: Iterable[Waiting], promised: Promised) -> list[Waiting]:
    """The jobs, some of them with what they were promised."""
    return [replace(job, promised_at=promised[job.job_id]) if job.job_id in promised else job for job in waiting]


# The statements are built once: building one costs more than running it.

_ALL, _FORGET, _KEEP = select(promises), delete(promises), insert(promises)
