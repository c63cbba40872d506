"""What an answer about one team's things must not tell of those of others."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from levare.model import Reason
from levare.store import ownership
from levare.store.engine import Database

Row = Mapping[str, Any]
Seen = Collection[str] | None

_ANOTHER = "of another team"


def why(database: Database, told: dict[str, Any], seen: Seen) -> dict[str, Any]:
    """
    How many come first is told, and which of them only of those that are seen.

    The sentences of the scheduler name other jobs by their ids at most, never by their names.
    """
    if seen is None or not told["ahead"]:
        return told
    with database.reading() as connection:
        hidden = ownership.hidden_jobs(connection, [each.job for each in told["ahead"]], seen)
    return told | {
        "ahead": [each for each in told["ahead"] if each.job not in hidden],
        "reasons": [_without_names(reason, hidden) for reason in told["reasons"]],
    }


def _without_names(reason: Reason, hidden: Iterable[str]) -> Reason:
    return replace(reason, message=without(reason.message, hidden))


def without(text: str, hidden: Iterable[str]) -> str:
    """A sentence that names none of these jobs."""
    for job_id in hidden:
        text = text.replace(job_id, _ANOTHER)
    return text


def attempts(connection: Connection, rows: Sequence[Row], seen: Seen) -> Sequence[Row]:
    """For which job one had to make room is told only where that is seen."""
    made_room_for = {row["preempted_for"] for row in rows if row["preempted_for"]}
    hidden = ownership.hidden_jobs(connection, made_room_for, seen)
    if not hidden:
        return rows
    return [
        {
            **row,
            "preempted_for": None if row["preempted_for"] in hidden else row["preempted_for"],
            "reason": row["reason"] and without(row["reason"], hidden),
        }
        for row in rows
    ]


def nodes(connection: Connection, rows: Sequence[Row], seen: Seen) -> Sequence[Row]:
    """What is free is told to all, and which attempts hold the rest only of those that are seen."""
    hidden = ownership.hidden_attempts(connection, (each for row in rows for each in row["attempts"]), seen)
    if not hidden:
        return rows
    return [
        {
            **row,
            "attempts": _but(row["attempts"], hidden),
            "devices": [{**card, "attempts": _but(card["attempts"], hidden)} for card in row["devices"]],
        }
        for row in rows
    ]


def _but(names: Iterable[str], hidden: set[str]) -> list[str]:
    return [name for name in names if name not in hidden]
