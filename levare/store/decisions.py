"""
Why a job started when it did: each start with what was decided upon, so that it can be told apart from favour.

A row is written in the transaction of the start. `digest` is of all facts of the decision: two starts with one
digest come from one reading of the same queue, fleet and use.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select

from levare.decide.once import once
from levare.errors import NotFound
from levare.model import Node, Sharing, Turn, Waiting
from levare.store.messages import Message
from levare.store.tables import decisions, jobs
from levare.store.types import Utc

Row = Mapping[str, Any]

KEPT = timedelta(days=30)
MOST_TURNS = 20
"""So many of the turns before that of a job are kept with its start, the latest of them."""


def record(
    connection: Connection, started: Iterable[Message], turns: Sequence[Turn], *, digest: str, now: datetime
) -> None:
    """Keep why these attempts were placed just now."""
    at = {turn.job_id: place for place, turn in enumerate(turns) if turn.outcome == "started"}
    rows = [_row(message, at, turns, digest, now) for message in started]
    if rows:
        connection.execute(_RECORD, rows)


def of_job(connection: Connection, job_id: str) -> list[Row]:
    """Every start of a job that is kept, first to last."""
    return [dict(row) for row in connection.execute(_OF_JOB, {"job": job_id}).mappings()]


def of_team(connection: Connection, team: str, *, limit: int) -> list[Row]:
    """The last starts of the jobs of a team, newest first, with the names of the jobs."""
    return [dict(row) for row in connection.execute(_OF_TEAM, {"team": team, "most": limit}).mappings()]


def compared(connection: Connection, job_id: str, other_id: str) -> str:
    """In a sentence, what became of `other_id` when `job_id` started last; NotFound if no start of it is kept."""
    starts = of_job(connection, job_id)
    if not starts:
        raise NotFound(f"No start of job {job_id!r} is kept.", f"Starts are kept for {KEPT.days} days.")
    detail = starts[-1]["detail"]
    earlier = [start["at"] for start in of_job(connection, other_id) if start["at"] < starts[-1]["at"]]
    if earlier:
        return f"{other_id} did start before {job_id}, at {earlier[-1]:%Y-%m-%d %H:%M:%S} UTC."
    theirs = next((turn for turn in reversed(detail["before"]) if turn["job_id"] == other_id), None)
    if theirs and theirs["outcome"] == "started":
        return f"{other_id} had its turn before {job_id}, and both started with the same decision."
    if theirs:
        return f"{other_id} had its turn before {job_id} and did not start: {theirs['outcome']}."
    ours = detail["own"]
    return (
        f"{other_id} had no turn before {job_id}, which came with priority {ours['level']}, its age included; its team"
        f" had used {ours['team_use'] / 3600:.1f} GPU-hours for its weight, its user {ours['user_use'] / 3600:.1f},"
        " up to an hour of each start counted at once;"
        f" it held {ours.get('team_part', 1.0):.0%} of its share, its user {ours.get('user_part', 1.0):.0%}."
    )


def prune(connection: Connection, *, now: datetime) -> None:
    """Forget what is older than is kept."""
    connection.execute(_PRUNE, {"before": now - KEPT})


def digest_of(waiting: Iterable[Waiting], nodes: Iterable[Node], sharing: Sharing) -> str:
    """Of what a decision is made from."""
    facts = [
        sorted(f"{job.job_id} {job.count}" for job in waiting),
        sorted(_facts_of(node) for node in nodes),
        sorted(f"{account.name} {account.weight} {account.use:.3f}" for account in sharing.accounts.values()),
    ]
    return sha256(json.dumps(facts).encode()).hexdigest()[:16]


@once
def _facts_of(node: Node) -> str:
    return " ".join([node.name, node.state, repr(node.note), *sorted(held.attempt_id for held in node.held)])


def _row(message: Message, at: Mapping[str, int], turns: Sequence[Turn], digest: str, now: datetime) -> dict[str, Any]:
    job_id = message.attempt_id.rpartition("-")[0]
    place = at.get(job_id, at.get(job_id.rpartition("_")[0], 0))  # the turn of an element is that of its array
    before = [vars(turn) for turn in turns[max(0, place - MOST_TURNS) : place]]
    detail = {"turn": place + 1, "turns": len(turns), "own": vars(turns[place]), "before": before}
    named = {"at": now, "job_id": job_id, "kind": "started", "node": message.node}
    return {**named, "digest": digest, "detail": detail}


# The statements are built once: building one costs more than running it.

_RECORD = insert(decisions)
_OF_JOB = select(decisions).where(decisions.c.job_id == bindparam("job")).order_by(decisions.c.id)
_OF_TEAM = (
    select(decisions, jobs.c.name)
    .join_from(decisions, jobs, jobs.c.id == decisions.c.job_id)
    .where(jobs.c.team == bindparam("team"))
    .order_by(decisions.c.id.desc())
    .limit(bindparam("most"))
)
_PRUNE = delete(decisions).where(decisions.c.at < bindparam("before", type_=Utc))
