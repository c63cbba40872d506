"""Alerts: written once by the beat that leads, read, acknowledged and silenced by people."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, literal, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from levare.decide.alerts.deciding import End, Open, Start
from levare.decide.alerts.telling import BEGIN, RECOVERY, About, Channel, Silence, recipients
from levare.errors import Conflict, NotFound
from levare.store import audit, channels, deliveries, silences
from levare.store.audit import Actor
from levare.store.deliveries import Topic
from levare.store.tables_alerts import alert_looks, alerts
from levare.store.types import Utc

Row = Mapping[str, Any]
KEPT = timedelta(days=400)


@dataclass(frozen=True)
class AlertFilter:
    """Which alerts to list; what is empty filters nothing."""

    is_open: bool | None = None
    rule: str | None = None
    severity: str | None = None
    job: str | None = None
    node: str | None = None
    team: str | None = None
    seen: Collection[str] | None = None
    """Only those about jobs of these teams, and those about nodes alone."""

    def conditions(self) -> list[Any]:
        equal = {"rule": self.rule, "severity": self.severity, "job_id": self.job, "node": self.node, "team": self.team}
        found = [alerts.c[name] == value for name, value in equal.items() if value is not None]
        if self.seen is not None:
            of_node = and_(alerts.c.team.is_(None), alerts.c.job_id.is_(None), alerts.c.node.is_not(None))
            found.append(or_(alerts.c.team.in_(self.seen), of_node))
        if self.is_open is not None:
            found.append(alerts.c.ended_at.is_(None) if self.is_open else alerts.c.ended_at.is_not(None))
        return found


def opened(connection: Connection) -> list[Open]:
    """Those that have not ended."""
    return [Open(*row) for row in connection.execute(_OPENED)]


def write(
    connection: Connection, starts: Sequence[Start], ends: Sequence[End], *, epoch: int, now: datetime
) -> tuple[list[Row], list[Row]]:
    """
    Write what has begun and what has ended, and what channels are to say of it; return the rows of both.

    What another beat has written already is left as it is, and told by nobody twice.
    """
    routes, quiet = channels.routes(connection), silences.in_force(connection, now=now)
    over = [row for end in ends if (row := _end(connection, end, now=now))]
    begun = [row for start in starts if (row := _begin(connection, start, routes, quiet, epoch=epoch, now=now))]
    _tell(connection, BEGIN, [row for row in begun if not row["is_silenced"]], now=now)
    well = {end.alert.number for end in ends if end.is_recovery}
    _tell(connection, RECOVERY, [row for row in over if row["number"] in well], now=now)
    return begun, over


def _begin(
    connection: Connection,
    start: Start,
    routes: Sequence[Channel],
    quiet: Sequence[Silence],
    *,
    epoch: int,
    now: datetime,
) -> Row | None:
    rule, sight, job = start.rule, start.sight, start.sight.job
    about = About(rule.name, job.id if job else None, job.team if job else None, sight.node)
    is_silenced = any(silence.covers(about, now=now) for silence in quiet)
    to = recipients(rule.channels, routes, rule.severity, about.team)
    row = {
        "rule": rule.name,
        "kind": rule.kind,
        "subject": sight.subject,
        "scope": sight.scope,
        "severity": rule.severity,
        "message": sight.message,
        "detail": dict(sight.detail),
        "job_id": about.job,
        "node": sight.node,
        "team": about.team,
        "family": job.family if job else None,
        "begun_at": start.begun_at,
        "seen_at": now,
        "epoch": epoch,
        "is_silenced": is_silenced,
        "told": [] if is_silenced else to,
    }
    found = connection.execute(_INSERTS[connection.dialect.name], row).mappings().one_or_none()
    return dict(found) if found else None


def _end(connection: Connection, end: End, *, now: datetime) -> Row | None:
    values = {"of_number": end.alert.number, "at": now, "why": end.reason}
    found = connection.execute(_END, values).mappings().one_or_none()
    return dict(found) if found else None


def _tell(connection: Connection, news: str, rows: Sequence[Row], *, now: datetime) -> None:
    """Of each rule each of its channels at once."""
    together: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        for channel in row["told"]:
            together.setdefault((channel, row["rule"]), []).append(row["number"])
    for (channel, rule), numbers in together.items():
        deliveries.enqueue(connection, Topic(channel, rule, news), numbers, now=now)


def one(connection: Connection, number: int) -> Row:
    row = connection.execute(_ONE, {"of_number": number}).mappings().one_or_none()
    if row is None:
        raise unknown(number)
    return _shown(dict(row))


def unknown(number: object) -> NotFound:
    return NotFound(f"There is no alert {number}.", "`levare alerts` lists those that are open.")


def several(connection: Connection, numbers: Sequence[int]) -> list[Row]:
    """Of these those that there are, in their order."""
    found = connection.execute(_SEVERAL, {"numbers": list(numbers)}).mappings() if numbers else ()
    return [_shown(dict(row)) for row in found]


def find(
    connection: Connection, wanted: AlertFilter, *, limit: int, after: tuple[datetime, int] | None = None
) -> list[Row]:
    """Alerts, newest first, those beyond `after` only."""
    place = (alerts.c.begun_at, alerts.c.number)
    query = select(alerts).where(*wanted.conditions()).limit(limit)
    if after:
        query = query.where(tuple_(*place) < tuple_(literal(after[0], Utc), literal(after[1])))
    query = query.order_by(*(column.desc() for column in place))
    return [_shown(dict(row)) for row in connection.execute(query).mappings()]


def of_rule(connection: Connection, rule: str, since: datetime, *, limit: int) -> list[Row]:
    """Those of a rule from then on, oldest first; the newest of them."""
    found = find(connection, AlertFilter(rule=rule), limit=limit)
    return [row for row in found if row["begun_at"] >= since][::-1]


def acknowledge(connection: Connection, number: int, *, note: str, actor: Actor, now: datetime) -> Row:
    """Say that somebody looks after it; of one that was acknowledged before, the first stays."""
    row = one(connection, number)
    if row["ended_at"] is not None:
        raise Conflict(f"Alert {number} has ended: {row['ended_reason']}", "There is nothing left to look after.")
    values = {"of_number": number, "at": now, "by": actor.name, "what": note}
    if connection.execute(_ACKNOWLEDGE, values).rowcount:
        audit.record(connection, actor, "alert.acknowledged", str(number), now=now, note=note)
    return one(connection, number)


def looked_at(connection: Connection) -> datetime | None:
    """When rules were last looked at, by whomever."""
    return connection.execute(_LOOKED).scalar()


def look(connection: Connection, *, now: datetime) -> None:
    """Write down that they are looked at now."""
    if not connection.execute(_LOOK, {"at": now}).rowcount:
        connection.execute(insert(alert_looks), {"id": 1, "looked_at": now})


def prune(connection: Connection, *, now: datetime) -> None:
    """Forget what ended long ago, and what was said long ago."""
    connection.execute(_PRUNE, {"before": now - KEPT})
    deliveries.prune(connection, now=now)


def count_open(connection: Connection) -> Mapping[str, int]:
    """Severity -> how many."""
    return {row.severity: row.number for row in connection.execute(_COUNTS)}


def _shown(row: Row) -> Row:
    return {**row, "job": row["job_id"], "state": "open" if row["ended_at"] is None else "ended"}


_OF_NUMBER = alerts.c.number == bindparam("of_number")
_IS_OPEN = alerts.c.ended_at.is_(None)
_AT = bindparam("at", type_=Utc)
_OPENED = (
    select(*(alerts.c[name] for name in ("number", "rule", "subject", "begun_at", "scope")))
    .where(_IS_OPEN)
    .order_by(alerts.c.number)
)
_INSERTS: Mapping[str, Any] = {
    "sqlite": sqlite.insert(alerts).on_conflict_do_nothing().returning(alerts),
    "postgresql": postgresql.insert(alerts).on_conflict_do_nothing().returning(alerts),
}
_END = update(alerts).where(_OF_NUMBER, _IS_OPEN).values(ended_at=_AT, ended_reason=bindparam("why")).returning(alerts)
_ONE = select(alerts).where(_OF_NUMBER)
_SEVERAL = select(alerts).where(alerts.c.number.in_(bindparam("numbers", expanding=True))).order_by(alerts.c.number)
_ACKNOWLEDGE = (
    update(alerts)
    .where(_OF_NUMBER, _IS_OPEN, alerts.c.acknowledged_at.is_(None))
    .values(acknowledged_at=_AT, acknowledged_by=bindparam("by"), acknowledged_note=bindparam("what"))
)
_LOOKED = select(alert_looks.c.looked_at)
_LOOK = update(alert_looks).where(alert_looks.c.id == 1).values(looked_at=_AT)
_PRUNE = delete(alerts).where(alerts.c.ended_at < bindparam("before", type_=Utc))
_COUNTS = select(alerts.c.severity, func.count().label("number")).where(_IS_OPEN).group_by(alerts.c.severity)
