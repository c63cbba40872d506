"""What a rule would have done with what is recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, select

from levare.decide.alerts.facts import Job
from levare.decide.alerts.replay import Firing, Past, Replay, score
from levare.decide.alerts.rules import (
    DEGRADED,
    FAILURE,
    HANG,
    LOG,
    METRIC,
    NOT_FINITE,
    QUEUE,
    SLOW,
    Log,
    Queue,
    Rule,
    concerns,
    declared,
)
from levare.decide.alerts.words import span
from levare.decide.patterns import first_match
from levare.model import FAILED, SUCCEEDED
from levare.store import alert_facts, alert_rules, alerts
from levare.store.tables import attempts, jobs
from levare.store.types import Utc, is_one_of

MOST_JOBS = 2000
"""So many of the past are looked at, the newest."""
_MOST_POINTS = 2000
_EVERY = timedelta(seconds=10)
_MOST_LOOKS = 400
_SOURCES: Mapping[str, str] = {
    FAILURE: "jobs",
    QUEUE: "jobs",
    SLOW: "metrics",
    DEGRADED: "metrics",
    METRIC: "metrics",
    NOT_FINITE: "metrics",
    HANG: "metrics",
    LOG: "logs",
}
_NOTES: Mapping[str, str] = {
    HANG: (
        "Nobody records what processes do and when logs grow: only jobs that tell steps are looked at, and each "
        "silence counts as one in which nothing happened."
    ),
    DEGRADED: "A worse model is no failure of its job, so precision and recall say little here.",
    QUEUE: "That a job waits says nothing of how it ends.",
}
_OF_ALERTS = "What this rule reads is not recorded, so these are the alerts that it has had."


@dataclass(frozen=True)
class Result:
    rule: Rule
    since: datetime
    until: datetime
    source: str
    items: Sequence[Mapping[str, Any]]
    jobs: int = 0
    failures: int = 0
    foreseen: int = 0

    def told(self, most: int) -> dict[str, Any]:
        known = [item for item in self.items if item["preceded_failure"] is not None]
        true = sum(item["preceded_failure"] for item in known)
        return {
            "rule": self.rule.name,
            "since": self.since,
            "until": self.until,
            "source": self.source,
            "jobs": self.jobs,
            "failures": self.failures,
            "firings": len(self.items),
            "true_firings": true,
            "precision": round(true / len(known), 4) if known else None,
            "recall": round(self.foreseen / self.failures, 4) if self.failures else None,
            "note": _OF_ALERTS if self.source == "alerts" else _NOTES.get(self.rule.kind, ""),
            "items": list(self.items[-most:]),
        }


def replay(connection: Connection, name: str, *, since: datetime, until: datetime) -> Result:
    """What this rule, as it is now, would have done in this time. Raise NotFound if there is none."""
    rule = declared(name, alert_rules.one(connection, name)["definition"])
    source = _SOURCES.get(rule.kind, "alerts")
    if source == "alerts":
        return _of_alerts(connection, rule, since, until)
    of: Any = rule.when
    rows = [row for row in _rows(connection, since, until) if concerns(of.of, _job(row))]
    if rule.kind == QUEUE:
        return _of_queue(rule, rows, since, until)
    machine, runs, found = Replay([rule], every=_EVERY, most_looks=_MOST_LOOKS), list[Past](), list[Firing]()
    for row in rows:
        past = _past(connection, rule, row, with_points=source == "metrics")
        runs.append(past)
        if rule.kind != HANG or past.points:
            found += machine.run(past)
    scored = score(found, runs)
    items = [_item(firing, is_telling=rule.kind != DEGRADED) for firing in found]
    return Result(rule, since, until, source, items, scored.jobs, scored.failures, scored.foreseen)


def _item(firing: Firing, *, is_telling: bool) -> dict[str, Any]:
    return {
        "at": firing.at,
        "ended_at": firing.ended_at,
        "subject": firing.subject,
        "job": firing.past.job.id,
        "message": firing.message,
        "preceded_failure": firing.preceded_failure if is_telling else None,
    }


def _rows(connection: Connection, since: datetime, until: datetime) -> list[Any]:
    """Jobs that ended in this time, with their last attempt, oldest first; the newest of them."""
    return list(connection.execute(_ENDED, {"since": since, "until": until, "most": MOST_JOBS}))[::-1]


def _past(connection: Connection, rule: Rule, row: Any, *, with_points: bool) -> Past:
    found = alert_facts.points(connection, row.attempt_id, after=-1, most=_MOST_POINTS) if with_points else []
    points = sorted((point for _, point in found), key=lambda point: point.at)
    return Past(
        job=_job(row),
        started_at=row.started_at,
        ended_at=max(row.ended_at, row.started_at),
        state=row.state,
        reason=row.reason or "",
        node=row.node,
        points=points,
        unread_before=points[0].at if len(points) == _MOST_POINTS else None,
        lines=_lines(connection, rule, row) if isinstance(rule.when, Log) else {},
    )


def _lines(connection: Connection, rule: Rule, row: Any) -> dict[str, str]:
    """The first line of what is kept of its log that the pattern matches."""
    when, after = rule.when, -1
    while isinstance(when, Log) and (pieces := alert_facts.log_pieces(connection, row.attempt_id, after=after)):
        after = pieces[-1][0]
        text = b"".join(data for _, data in pieces).decode(errors="replace")
        line = first_match(when.pattern, text.splitlines())
        if line is not None:
            return {rule.name: line}
    return {}


def _of_queue(rule: Rule, rows: Sequence[Any], since: datetime, until: datetime) -> Result:
    when, items = rule.when, list[dict[str, Any]]()
    for row in rows:
        waited = row.placed_at - row.created_at
        if isinstance(when, Queue) and waited >= when.lasts:
            message = f"{_job(row).title} waited for {span(waited)}, and {span(when.lasts)} is the limit."
            item = {"at": row.created_at + when.lasts, "ended_at": row.placed_at, "subject": f"job:{row.id}"}
            items.append({**item, "job": row.id, "message": message, "preceded_failure": None})
    failures = sum(row.state == FAILED for row in rows)
    return Result(rule, since, until, "jobs", items, len(rows), failures)


def _of_alerts(connection: Connection, rule: Rule, since: datetime, until: datetime) -> Result:
    rows = alerts.of_rule(connection, rule.name, since, limit=MOST_JOBS)
    ends = _states(connection, {row["job"] for row in rows if row["job"]})
    items = [
        {
            "at": row["begun_at"],
            "ended_at": row["ended_at"],
            "subject": row["subject"],
            "job": row["job"],
            "message": row["message"],
            "preceded_failure": ends[row["job"]] == FAILED if row["job"] in ends else None,
        }
        for row in rows
    ]
    return Result(rule, since, until, "alerts", items)


def _states(connection: Connection, job_ids: set[str]) -> dict[str, str]:
    """Of these jobs those that are over."""
    found = connection.execute(_STATES, {"ids": sorted(job_ids)}) if job_ids else ()
    return {row.id: row.state for row in found}


def _job(row: Any) -> Job:
    names = ("id", "name", "team", "project", "family", "user", "schedule", "trigger")
    return Job(**{name: getattr(row, name) for name in names}, array=row.array_id)


_J, _A = jobs.c, attempts.c
_IS_OVER = is_one_of(_J.state, (SUCCEEDED, FAILED))
_OF_JOB = ("id", "name", "team", "project", "family", "user", "schedule", "trigger", "array_id", "state", "reason")
_ENDED = (
    select(
        *(_J[name] for name in _OF_JOB),
        _J.created_at,
        _A.id.label("attempt_id"),
        *(_A[name] for name in ("node", "placed_at", "started_at", "ended_at")),
    )
    .select_from(jobs.join(attempts, (_A.job_id == _J.id) & (_A.number == _J.attempt) & (_A.rank == 0)))
    .where(
        _IS_OVER,
        _A.started_at.is_not(None),
        _A.ended_at.is_not(None),
        _J.finished_at >= bindparam("since", type_=Utc),
        _J.finished_at < bindparam("until", type_=Utc),
    )
    .order_by(_J.finished_at.desc(), _J.id.desc())
    .limit(bindparam("most"))
)
_STATES = select(_J.id, _J.state).where(_J.id.in_(bindparam("ids", expanding=True)), _IS_OVER)
