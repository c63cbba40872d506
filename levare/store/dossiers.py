"""All that is known of a failure: its class, what speaks for it, its end, and what differs from the last good run."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, case, func, select

from levare.decide.differences import Ran, differences
from levare.decide.lastwords import lines_of
from levare.errors import NotFound
from levare.model import SUCCEEDED
from levare.model.failures import FAILURE_CLASSES
from levare.store import failures, logs, provenance, views
from levare.store.tables import attempts, jobs, metrics
from levare.store.types import Utc

Row = Mapping[str, Any]

LAST_LINES = 20
LAST_POINTS = 10
LOOK_BACK = timedelta(days=30)
_LOG_BYTES = 8192
_LONGEST = 400


def load(connection: Connection, job_id: str, *, number: int | None, rank: int | None, now: datetime) -> Row:
    """The dossier of an attempt that has failed, the last one by default; of a gang of the part that failed first."""
    job, attempt = _job(connection, job_id), _attempt(connection, job_id, number, rank)
    good = _last_good(connection, job, attempt)
    kind = FAILURE_CLASSES[attempt["failure"]]
    exception, evidence = failures.evidence_of(connection, attempt["id"])
    return {
        **_of_attempt(attempt, job),
        "failure": kind.name,
        "title": kind.title,
        "exception": exception,
        "evidence": evidence or [{"source": "ending", "text": attempt["reason"] or kind.title, "offset": None}],
        "next_step": kind.next_step,
        "last_lines": _last_lines(connection, attempt),
        "metrics": _last_points(connection, attempt["id"]),
        "last_good": good and _good(good),
        "changes": _changes(connection, job, attempt, good) if good else [],
        "provenance": provenance.of_attempt(connection, attempt["id"]),
        "submitted_code": job["code"],
        "same_failures": _same(connection, job["family"], attempt, now),
    }


def _job(connection: Connection, job_id: str) -> Row:
    views.job(connection, job_id)
    return _row(connection.execute(_JOB, {"job": job_id})) or {}


def _row(found: Any) -> Row | None:
    row = found.mappings().first()
    return dict(row) if row else None


def _last_good(connection: Connection, job: Row, attempt: Row) -> Row | None:
    begun_at = attempt["started_at"] or attempt["placed_at"]
    return _row(connection.execute(_LAST_GOOD, {"family": job["family"], "before": begun_at}))


def _attempt(connection: Connection, job_id: str, number: int | None, rank: int | None) -> Row:
    if number is None and rank is None:
        found = _row(connection.execute(_FAILED, {"job": job_id}))
        if found is None:
            step = f"`levare show {job_id}` says how it stands."
            raise NotFound(f"No attempt of job {job_id} has failed.", step)
        return found
    asked = views.attempt(connection, job_id, number, rank=rank or 0)
    if asked is None or not asked["failure"]:
        how = "has no attempt yet" if asked is None else f"attempt {asked['number']} is {asked['state']}"
        raise NotFound(f"Job {job_id}: {how}, so there is no failure.", f"GET /v1/jobs/{job_id}/attempts.")
    return asked


def _of_attempt(attempt: Row, job: Row) -> Row:
    names = ("number", "rank", "state", "node", "reason", "exit_code", "signal", "started_at", "ended_at")
    used = ("peak_memory_mib", "gpu_memory_mib", "gpu_utilisation_percent")
    told = {name: attempt[name] for name in (*names, *used)}
    return {"job": job["id"], "name": job["name"], "family": job["family"], "attempt": attempt["id"], **told}


def _last_lines(connection: Connection, attempt: Row) -> list[Row]:
    stretch = logs.read(connection, attempt["id"], offset=-_LOG_BYTES, limit=_LOG_BYTES)
    lines = lines_of(stretch.data, stretch.offset)[-LAST_LINES:]
    return [{"offset": line.offset, "text": line.text[:_LONGEST]} for line in lines]


def _last_points(connection: Connection, attempt_id: str) -> list[Row]:
    rows = connection.execute(_POINTS, {"attempt": attempt_id, "most": LAST_POINTS}).mappings().all()
    return [{**row} for row in reversed(rows)]


def _good(row: Row) -> Row:
    return {name: row[name] for name in ("job", "attempt", "node", "ended_at")} | {"number": row["number"]}


def _changes(connection: Connection, job: Row, attempt: Row, good: Row) -> list[Row]:
    before = ran(good, good["node"], good["devices"], provenance.of_attempt(connection, good["attempt"]), connection)
    found = provenance.of_attempt(connection, attempt["id"])
    after = ran(job, attempt["node"], attempt["devices"], found, connection)
    return [asdict(each) for each in differences(before, after)]


def ran(job: Row, node: str, held: Mapping[str, int], found: Mapping[str, Any], connection: Connection) -> Ran:
    """Where the node found no checkout, what was submitted tells of the code."""
    code = found.get("code") or job["code"]
    return Ran(
        node,
        command=job["command"],
        env=job["env"],
        parameters=job["parameters"],
        request={name: job[name] for name in REQUESTED},
        cwd=job["cwd"],
        gpu_models=views.models_of(connection, held),
        found={**found, **({"code": code} if code else {})},
    )


def _same(connection: Connection, family: str, attempt: Row, now: datetime) -> Row:
    """How often the family has failed so lately, of all its endings."""
    asked = {"family": family, "failure": attempt["failure"], "since": now - LOOK_BACK}
    row = connection.execute(_SAME, asked).one()
    return {"days": LOOK_BACK.days, "failures": row.same or 0, "attempts": row.ended or 0}


REQUESTED = (
    *("gpus", "gpu_memory_mib", "gpu_model", "cpus", "memory_mib", "scratch_mib", "resources", "nodes"),
    *("timeout_seconds", "priority"),
)
_A, _J = attempts.c, jobs.c
_JOB = select(jobs).where(_J.id == bindparam("job"))
_FAILED = (
    select(attempts)
    .where(_A.job_id == bindparam("job"), _A.failure.is_not(None))
    .order_by(_A.number.desc(), _A.ended_at, _A.rank)
    .limit(1)
)
_LAST_GOOD = (
    select(
        _J.id.label("job"),
        _A.id.label("attempt"),
        *(_A.number, _A.node, _A.devices, _A.ended_at),
        *(_J[name] for name in ("command", "env", "parameters", "cwd", "code", *REQUESTED)),
    )
    .join_from(attempts, jobs, _J.id == _A.job_id)
    .where(
        _J.family == bindparam("family"),
        _A.state == SUCCEEDED,
        _A.rank == 0,
        _A.ended_at <= bindparam("before", type_=Utc),
    )
    .order_by(_A.ended_at.desc())
    .limit(1)
)
_POINTS = (
    select(metrics)
    .where(metrics.c.attempt_id == bindparam("attempt"))
    .order_by(metrics.c.offset.desc())
    .limit(bindparam("most"))
)
_SAME = (
    select(func.count().label("ended"), func.sum(case((_A.failure == bindparam("failure"), 1), else_=0)).label("same"))
    .join_from(attempts, jobs, _J.id == _A.job_id)
    .where(_J.family == bindparam("family"), _A.ended_at >= bindparam("since", type_=Utc))
)
