"""One job: how it stands and why, its attempts, its failure, what it told, what it wrote, and what was asked for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from app import veil
from app.dashboard import words
from app.dashboard.desk import View
from app.receipts import start_told
from levare.decide.lastwords import lines_of
from levare.errors import NotFound
from levare.model import BLOCKED, FINAL, WAITING
from levare.store import comparing, decisions, dossiers, explain, logs, trends, views

Row = Mapping[str, Any]

_TAIL_BYTES = 32 * 1024
_TAIL_LINES = 200
_MOST_KIN = 8
_SPECIFICATION: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "gpus": ("GPUs", str),
    "gpu_memory_mib": ("Of each", words.mib),
    "gpu_model": ("Model", str),
    "cpus": ("CPUs", str),
    "memory_mib": ("Memory", words.mib),
    "scratch_mib": ("Scratch", words.mib),
    "nodes": ("Nodes", str),
    "resources": ("Resources", dict),
    "require": ("Requires", dict),
    "prefer": ("Prefers", dict),
    "avoid": ("Avoids", dict),
    "needs": ("Needs", list),
    "retries": ("Retries", str),
    "retry_on": ("After", list),
    "timeout_seconds": ("Time limit", words.span),
    "grace_seconds": ("Grace", lambda seconds: f"{seconds} s"),
    "deadline": ("Deadline", words.clock),
    "only_between": ("Hours", str),
    "start_after": ("Not before", words.clock),
    "schedule": ("Schedule", str),
    "trigger": ("Trigger", str),
    "pipeline": ("Pipeline", str),
    "array_id": ("Array", str),
    "parameters": ("Parameters", dict),
}
"""What was asked for, where it was: its name for people, and how it is said."""


def load(view: View) -> dict[str, Any]:
    call, job_id = view.call, view.names["job_id"]
    with call.database.reading() as connection:
        [job] = trends.with_left(connection, [views.job(connection, job_id)], now=call.now)
        rows = veil.attempts(connection, views.job_attempts(connection, job_id), call.seen)
        chosen = _chosen(rows, view.params.get("attempt", ""))
        told = trends.summary(connection, chosen["id"]) if chosen else {}
        given = trends.params(connection, chosen["id"]) if chosen else {}
        log = _tail(connection, chosen)
        failure = _failure(connection, view, chosen)
        starts = decisions.of_job(connection, job_id)
        kin = comparing.of_work(connection, schedule=None, family=_family(job), most=_MOST_KIN, seen=call.seen)
        case = explain.load(connection, job_id, now=call.now, rules=call.rules)
    return {
        "title": job["name"],
        "job": job,
        "attempts": rows,
        "chosen": chosen,
        "summary": told,
        "params": given,
        "log": log,
        "failure": failure,
        "why": veil.why(call.database, view.desk.kept(f"why {job_id} {job['state']}", case.tell), call.seen),
        "specification": [(name, said(job[key])) for key, (name, said) in _SPECIFICATION.items() if job[key]],
        "waits": job["state"] in (WAITING, BLOCKED),
        "is_final": job["state"] in FINAL,
        "mine": view.may_act(job["team"]),
        "may_change_priority": view.may_act(job["team"])
        and job["state"] in (WAITING, BLOCKED)
        and not job["cancel_requested_at"],
        "receipt": start_told(starts[-1], call.actor) if starts else None,
        "family": _family(job),
        "kin": kin[::-1],
    }


def _family(job: Row) -> str:
    return f"{job['team']}/{job['project']}/{job['name']}"


def _chosen(rows: Sequence[Row], wanted: str) -> Row | None:
    """The attempt that was asked for by its number, or the latest."""
    numbered = [row for row in rows if row["rank"] == 0]
    return next((row for row in numbered if str(row["number"]) == wanted), numbered[-1] if numbered else None)


def _tail(connection: Connection, attempt: Row | None) -> list[str]:
    """Its last lines as plain text, for who has no JavaScript."""
    if attempt is None:
        return []
    stretch = logs.read(connection, attempt["id"], offset=-_TAIL_BYTES, limit=_TAIL_BYTES)
    return [line.text for line in lines_of(stretch.data, stretch.offset)[-_TAIL_LINES:]]


def _failure(connection: Connection, view: View, attempt: Row | None) -> Row | None:
    if attempt is None or not attempt["failure"]:
        return None
    try:
        return dossiers.load(connection, view.names["job_id"], number=attempt["number"], rank=None, now=view.call.now)
    except NotFound:
        return None
