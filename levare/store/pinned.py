"""What a run was pinned to, and what differs between two of them."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, select

from levare.decide.differences import differences
from levare.errors import NotFound
from levare.store import curves, provenance, views
from levare.store.again import missing_of
from levare.store.dossiers import ran
from levare.store.tables import jobs

Row = Mapping[Any, Any]

_FOUND = (
    *("code", "locks", "script", "packages", "python", "python_version", "environment", "data", "driver", "kernel"),
    "editable",
)
_EMPTY: Mapping[str, Any] = {"locks": {}, "packages": [], "environment": {}, "data": {}, "editable": []}
_JOB = ("command", "cwd", "env", "parameters", "rerun")


def of_job(connection: Connection, job_id: str, number: int | None, *, with_patch: bool = False) -> Row:
    """All that an attempt was pinned to, the latest unless another is named; raise NotFound before any."""
    job, attempt = _run(connection, job_id, number)
    found = provenance.of_attempt(connection, attempt["id"])
    patch = provenance.patch_of(connection, attempt["id"]) if with_patch else None
    return {
        **_named(job, attempt),
        **{name: job[name] for name in _JOB},
        "gpu_models": views.models_of(connection, attempt["devices"]),
        **{name: found.get(name) or _EMPTY.get(name) for name in _FOUND},
        "seed": job["env"].get("LEVARE_SEED"),
        "data_id": job["env"].get("LEVARE_DATA"),
        "patch": None if patch is None else patch.decode("utf-8", "replace"),
        "missing": [asdict(each) for each in missing_of(job, found, attempt["id"])],
    }


def between(connection: Connection, one: tuple[str, int | None], other: tuple[str, int | None]) -> Row:
    """What differs, as far as both are known, and what is not known of either."""
    pairs = [_run(connection, job_id, number) for job_id, number in (one, other)]
    found = [provenance.of_attempt(connection, attempt["id"]) for _, attempt in pairs]
    both = [
        ran(job, attempt["node"], attempt["devices"], told, connection)
        for (job, attempt), told in zip(pairs, found, strict=True)
    ]
    missing = [
        [asdict(each) for each in missing_of(job, told, attempt["id"])]
        for (job, attempt), told in zip(pairs, found, strict=True)
    ]
    runs = [{**_named(*pair), "missing": each} for pair, each in zip(pairs, missing, strict=True)]
    return {
        "before": runs[0],
        "after": runs[1],
        "changes": [asdict(each) for each in differences(both[0], both[1])],
        "metrics": _metrics(connection, [attempt["id"] for _, attempt in pairs]),
    }


def _run(connection: Connection, job_id: str, number: int | None) -> tuple[Row, Row]:
    views.job(connection, job_id)
    job = {**connection.execute(select(jobs).where(jobs.c.id == job_id)).mappings().one()}
    attempt = views.attempt(connection, job_id, number)
    if attempt is None:
        of = f"attempt {number}" if number else "attempt"
        raise NotFound(
            f"Job {job_id} has no {of}, so nothing is pinned.", f"GET /v1/jobs/{job_id}/attempts lists them."
        )
    return job, attempt


def _named(job: Row, attempt: Row) -> dict[str, Any]:
    begun, ended = attempt["started_at"], attempt["ended_at"]
    return {
        "job": job["id"],
        "name": job["name"],
        "attempt": attempt["id"],
        **{name: attempt[name] for name in ("number", "state", "node", "started_at", "exit_code")},
        "seconds": (ended - begun).total_seconds() if begun and ended else None,
    }


def _metrics(connection: Connection, attempts: list[str]) -> list[Row]:
    """The last value of each that either has told."""
    told = curves.summaries_of(connection, attempts)
    before, after = (told.get(each, {}) for each in attempts)
    return [
        {"stage": stage, "name": name, "before": _last(before, stage, name), "after": _last(after, stage, name)}
        for stage, name in sorted({*before, *after})
    ]


def _last(told: Mapping[tuple[str, str], Any], stage: str, name: str) -> float | None:
    found = told.get((stage, name))
    return found.last if found else None
