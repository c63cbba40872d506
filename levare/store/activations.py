"""What triggers are about has happened, and what became of it: recorded as pending, decided later, then final."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, case, distinct, func, insert, literal, select, tuple_, update

from levare.decide.declared import Trigger
from levare.decide.happenings import Happening
from levare.decide.triggers import HELD, PENDING, RUN, Facts, Occurrence, Verdict, day_of
from levare.model import FINAL
from levare.store.tables import jobs
from levare.store.tables_triggers import activations
from levare.store.types import Utc
from levare.store.work import Started

Row = Mapping[str, Any]
_NEW = "Has just happened."
MOST_PENDING = 1000
"""So many are decided at once; the others wait for the next time."""


@dataclass(frozen=True)
class Pending:
    """An occurrence without a lasting verdict, and what it was last told."""

    occurrence: Occurrence
    reason: str


def record(connection: Connection, trigger: Trigger, happenings: Iterable[Happening], *, now: datetime) -> int:
    """Record what is not known yet by its key, and return how many that were. What is `settled` is held."""
    by_key = {each.key: each for each in happenings}
    known = _known(connection, trigger.name, list(by_key))
    rows = [_row(trigger, each, now) for key, each in by_key.items() if key not in known]
    if rows:
        connection.execute(insert(activations), rows)
    return len(rows)


def _row(trigger: Trigger, happening: Happening, now: datetime) -> dict[str, Any]:
    occurrence, is_settled = happening.occurrence(trigger), happening.settled is not None
    return {
        "trigger": trigger.name,
        "key": occurrence.key,
        "same": occurrence.same,
        "at": min(occurrence.at, now),  # another machine's clock may be ahead
        "event": dict(happening.event),
        "size": occurrence.size,
        "outcome": HELD if is_settled else PENDING,
        "reason": happening.settled or _NEW,
        "decided_at": now if is_settled else None,
    }


def pending(connection: Connection, trigger: str) -> list[Pending]:
    """What has no lasting verdict yet, oldest first."""
    rows = connection.execute(_PENDING, {"of_trigger": trigger, "most": MOST_PENDING})
    return [Pending(Occurrence(row.key, row.at, row.same, row.size), row.reason) for row in rows]


def events_of(connection: Connection, trigger: str, keys: Sequence[str]) -> list[Mapping[str, Any]]:
    """The events of these occurrences, in this order."""
    rows = connection.execute(_EVENTS, {"of_trigger": trigger, "keys": list(keys)})
    found = {row.key: row.event for row in rows}
    return [found[key] for key in keys]


def facts(connection: Connection, trigger: Any, waiting: Sequence[Pending], *, now: datetime) -> Facts:
    """What decides about a trigger besides what waits."""
    name = trigger.name
    runs = connection.execute(_RUNS, {"of_trigger": name, "today": day_of(now)}).one()
    same = sorted({each.occurrence.same for each in waiting if each.occurrence.same is not None})
    seen = connection.execute(_SEEN, {"of_trigger": name, "same": same}).all() if same else []
    why = f": {trigger.paused_reason.rstrip('.')}" if trigger.paused_reason else ""
    return Facts(
        paused=f"Paused by {trigger.paused_by}{why}." if trigger.paused_at else None,
        in_flight=connection.execute(_IN_FLIGHT, {"of_trigger": name}).scalar_one(),
        last_run_at=runs.last_at,
        runs_today=runs.today,
        seen={row.same: row.last_at for row in seen},
    )


def settle(
    connection: Connection, trigger: str, verdict: Verdict, started: Started | None, *, epoch: int, now: datetime
) -> None:
    """Write a verdict over what is still pending."""
    is_pending = verdict.outcome == PENDING
    values = {
        "new_outcome": verdict.outcome,
        "new_reason": verdict.reason,
        "job": started.jobs[0] if started else None,
        "of_pipeline": started.pipeline if started else None,
        "when": None if is_pending else now,
        "in_epoch": None if is_pending else epoch,
    }
    rows = [{"of_trigger": trigger, "of_key": key, **values} for key in verdict.keys]
    connection.execute(_SETTLE, rows)


def hold_pending(connection: Connection, triggers: Sequence[str], reason: str, *, now: datetime) -> None:
    """Whatever waits of these triggers is held for this reason."""
    connection.execute(_HOLD, [{"of_trigger": each, "new_reason": reason, "when": now} for each in triggers])


def find(
    connection: Connection,
    trigger: str,
    *,
    limit: int,
    outcome: str | None = None,
    after: tuple[datetime, int] | None = None,
) -> Sequence[Row]:
    """What happened to a trigger, newest first, what is beyond `after` only."""
    place = (activations.c.at, activations.c.number)
    query = select(activations).where(activations.c.trigger == trigger).limit(limit)
    query = query.where(activations.c.outcome == outcome) if outcome is not None else query
    if after:
        query = query.where(tuple_(*place) < tuple_(literal(after[0], Utc), literal(after[1])))
    rows = connection.execute(query.order_by(*(column.desc() for column in place))).mappings()
    return [dict(row) for row in rows]


def since(connection: Connection, trigger: str, begin: datetime, *, limit: int) -> Sequence[Row]:
    """What happened to a trigger from then on, oldest first; at most so many, the newest."""
    found = connection.execute(_SINCE, {"of_trigger": trigger, "begin": begin, "most": limit}).mappings()
    return [dict(row) for row in found][::-1]


def near(connection: Connection, trigger: str, at: datetime) -> tuple[Row | None, Row | None]:
    """The last thing that happened to it until then, and the first one after."""
    values = {"of_trigger": trigger, "when": at}
    found = [connection.execute(query, values).mappings().first() for query in (_UNTIL, _AFTER)]
    before, behind = (dict(row) if row else None for row in found)
    return before, behind


def counts(connection: Connection, names: Sequence[str], *, now: datetime) -> dict[str, Row]:
    """Trigger -> how many runs it has in flight and has begun today, how many occurrences wait, when it last ran."""
    if not names:
        return {}
    values = {"names": list(names), "today": day_of(now)}
    found: dict[str, dict[str, Any]] = {
        name: {"in_flight": 0, "runs_today": 0, "pending": 0, "last_run_at": None} for name in names
    }
    for row in connection.execute(_COUNTS, values):
        found[row.trigger] |= {"runs_today": row.today, "pending": row.pending, "last_run_at": row.last_at}
    for row in connection.execute(_FLIGHTS, values):
        found[row.trigger]["in_flight"] = row.flights
    return dict(found)


def _known(connection: Connection, trigger: str, keys: list[str]) -> set[str]:
    found = connection.execute(_KNOWN, {"of_trigger": trigger, "keys": keys}) if keys else None
    return set(found.scalars()) if found else set()


_OF_TRIGGER = activations.c.trigger == bindparam("of_trigger")
_IS_RUN = activations.c.outcome == RUN
_IS_PENDING = activations.c.outcome == PENDING
_TODAY = activations.c.decided_at >= bindparam("today", type_=Utc)
_RUN_TODAY = func.count(distinct(case((_IS_RUN & _TODAY, activations.c.job_id)))).label("today")
_KNOWN = select(activations.c.key).where(_OF_TRIGGER, activations.c.key.in_(bindparam("keys", expanding=True)))
_PENDING = (
    select(*(activations.c[name] for name in ("key", "at", "same", "size", "reason")))
    .where(_OF_TRIGGER, _IS_PENDING)
    .order_by(activations.c.at, activations.c.key)
    .limit(bindparam("most"))
)
_EVENTS = select(activations.c.key, activations.c.event).where(
    _OF_TRIGGER, activations.c.key.in_(bindparam("keys", expanding=True))
)
_RUNS = select(func.max(activations.c.decided_at).label("last_at"), _RUN_TODAY).where(_OF_TRIGGER, _IS_RUN)
_SEEN = (
    select(activations.c.same, func.max(activations.c.at).label("last_at"))
    .where(_OF_TRIGGER, _IS_RUN, activations.c.same.in_(bindparam("same", expanding=True)))
    .group_by(activations.c.same)
)
_FLIGHT = func.count(distinct(func.coalesce(jobs.c.pipeline, jobs.c.id)))
_IN_THE_AIR = (jobs.c.state.not_in(FINAL), jobs.c.array_id.is_(None))
_IN_FLIGHT = select(_FLIGHT).where(jobs.c.trigger == bindparam("of_trigger"), *_IN_THE_AIR)
_SETTLE = (
    update(activations)
    .where(_OF_TRIGGER, activations.c.key == bindparam("of_key"), _IS_PENDING)
    .values(
        outcome=bindparam("new_outcome"),
        reason=bindparam("new_reason"),
        job_id=bindparam("job"),
        pipeline=bindparam("of_pipeline"),
        decided_at=bindparam("when", type_=Utc),
        epoch=bindparam("in_epoch"),
    )
)
_HOLD = (
    update(activations)
    .where(_OF_TRIGGER, _IS_PENDING)
    .values(outcome=HELD, reason=bindparam("new_reason"), decided_at=bindparam("when", type_=Utc))
)
_OF_IT = select(activations).where(_OF_TRIGGER)
_SINCE = (
    _OF_IT.where(activations.c.at >= bindparam("begin", type_=Utc))
    .order_by(activations.c.at.desc(), activations.c.number.desc())
    .limit(bindparam("most"))
)
_UNTIL = (
    _OF_IT.where(activations.c.at <= bindparam("when", type_=Utc))
    .order_by(activations.c.at.desc(), activations.c.number.desc())
    .limit(1)
)
_AFTER = (
    _OF_IT.where(activations.c.at > bindparam("when", type_=Utc))
    .order_by(activations.c.at, activations.c.number)
    .limit(1)
)
_NAMED = activations.c.trigger.in_(bindparam("names", expanding=True))
_COUNTS = (
    select(
        activations.c.trigger,
        _RUN_TODAY,
        func.count(case((_IS_PENDING, 1))).label("pending"),
        func.max(case((_IS_RUN, activations.c.decided_at))).label("last_at"),
    )
    .where(_NAMED)
    .group_by(activations.c.trigger)
)
_FLIGHTS = (
    select(jobs.c.trigger, _FLIGHT.label("flights"))
    .where(jobs.c.trigger.in_(bindparam("names", expanding=True)), *_IN_THE_AIR)
    .group_by(jobs.c.trigger)
)
