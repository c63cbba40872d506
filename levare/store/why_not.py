"""Why a trigger did or did not start something at a time: what happened around it, and what it was not about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from levare.decide.declared import declared
from levare.decide.events import EventFilter
from levare.store import activations, events, triggers

Row = Mapping[str, Any]

AROUND = timedelta(minutes=10)
_MOST_EVENTS = 50


@dataclass(frozen=True)
class WhyNot:
    """A sentence, what happened last until then and first after, and events around it that the trigger is not about."""

    message: str
    before: Row | None
    after: Row | None
    strangers: Sequence[tuple[Row, str]]
    """Each with why the trigger is not about it."""


def why(connection: Connection, name: str, at: datetime) -> WhyNot:
    row = triggers.one(connection, name)
    before, after = activations.near(connection, name, at)
    strangers = _strangers(connection, name, row, at)
    return WhyNot(_message(row, before, after, strangers, at), before, after, strangers)


def _strangers(connection: Connection, name: str, row: Row, at: datetime) -> list[tuple[Row, str]]:
    when = declared(name, row["definition"]).when
    if not isinstance(when, EventFilter):
        return []
    around = events.between(connection, at - AROUND, at + AROUND, limit=_MOST_EVENTS)
    told = ((event, _why_not(when, event, row["begun_at"])) for event in around)
    return [(event, reason) for event, reason in told if reason]


def _why_not(when: EventFilter, event: Row, begun_at: datetime) -> str | None:
    if event["received_at"] < begun_at:
        return f"It came before the trigger looked for such, from {_clock(begun_at)} on."
    return when.mismatch(event["event"])


def _message(row: Row, before: Row | None, after: Row | None, strangers: Sequence[object], at: datetime) -> str:
    parts = [_of_begin(row, at), _of_pause(row, at), _of_last(before, after, at)]
    if strangers:
        parts.append(f"{len(strangers)} events within {AROUND.seconds // 60} minutes of then were not for it.")
    if row["problem"]:
        parts.append(f"It has a problem since {_clock(row['problem_at'])}: {row['problem']}")
    return " ".join(filter(None, parts))


def _of_begin(row: Row, at: datetime) -> str:
    return f"It looks for this only since {_clock(row['begun_at'])}." if at < row["begun_at"] else ""


def _of_pause(row: Row, at: datetime) -> str:
    since = row["paused_at"]
    return f"It has been paused since {_clock(since)} by {row['paused_by']}." if since and since <= at else ""


def _of_last(before: Row | None, after: Row | None, at: datetime) -> str:
    if before is not None:
        what = {"run": "started a run", "held": "was held", "pending": "waits"}[before["outcome"]]
        ago = f"{max(0, (at - before['at']).total_seconds()):.0f} s before"
        return f"The last that had happened by then, {ago} ({before['key']}), {what}: {before['reason']}"
    later = f" The first after that was at {_clock(after['at'])}." if after else ""
    return f"Nothing that it is about had happened by then.{later}"


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
