"""What channels are to say: written with the alert, sent at least once, and then told how that went."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, literal, select, tuple_, update

from levare.decide.alerts.telling import TEST
from levare.store import audit
from levare.store.audit import Actor
from levare.store.tables_alerts import FAILED, PENDING, SENT, deliveries
from levare.store.types import Json, Utc

Row = Mapping[str, Any]
TOGETHER = timedelta(seconds=60)
"""What comes of one rule within this is said together."""
KEPT = timedelta(days=30)
AT_ONCE = 20


@dataclass(frozen=True)
class Topic:
    """What of one rule a channel is told."""

    channel: str
    rule: str
    news: str

    def id_of(self, number: int) -> str:
        """The same for the same, so that nothing is written twice."""
        return sha256(f"{self.channel} {self.rule} {self.news} {number}".encode()).hexdigest()[:24]


def enqueue(connection: Connection, topic: Topic, numbers: Sequence[int], *, now: datetime) -> None:
    """Have a channel say it: now, or with what else comes of this rule, a minute after it was last told of it."""
    values = {"of_channel": topic.channel, "of_rule": topic.rule, "of_news": topic.news, "since": now - TOGETHER}
    last = connection.execute(_LAST, values).one_or_none()
    if last is not None and last.attempts == 0 and last.state == PENDING:
        joined = {"of_id": last.id, "all": [*last.alerts, *numbers]}
        if connection.execute(_JOIN, joined).rowcount:
            return
    opens_at = now if last is None else max(now, last.opens_at + TOGETHER)
    connection.execute(insert(deliveries), _new(topic.id_of(numbers[0]), topic, numbers, opens_at, now))


def enqueue_test(connection: Connection, channel: str, *, delivery_id: str, actor: Actor, now: datetime) -> Row:
    """Have a channel say that it works."""
    row = _new(delivery_id, Topic(channel, "test", TEST), [], now, now)
    connection.execute(insert(deliveries), row)
    audit.record(connection, actor, "channel.tried", channel, now=now, delivery=delivery_id)
    return row


def _new(name: str, topic: Topic, numbers: Sequence[int], opens_at: datetime, now: datetime) -> dict[str, Any]:
    about = {"id": name, **vars(topic), "alerts": list(numbers)}
    times = {"opens_at": opens_at, "next_at": opens_at, "created_at": now, "sent_at": None}
    return {**about, "state": PENDING, "attempts": 0, "last_error": None, **times}


def due(connection: Connection, busy: Iterable[str], *, now: datetime) -> Sequence[Row]:
    """What is to be sent now by channels that are not busy, the longest due first."""
    values = {"now": now, "busy": sorted(busy), "most": AT_ONCE}
    return [dict(row) for row in connection.execute(_DUE, values).mappings()]


def take(connection: Connection, row: Row, *, again_at: datetime) -> bool:
    """Take it on before it is sent; False if somebody else has. If nobody tells how it went it is sent again then."""
    values = {"of_id": row["id"], "seen": row["attempts"], "again": again_at}
    return bool(connection.execute(_TAKE, values).rowcount)


def sent(connection: Connection, delivery_id: str, *, now: datetime) -> None:
    connection.execute(_SENT, {"of_id": delivery_id, "at": now})


def failed(connection: Connection, delivery_id: str, error: str, *, again_at: datetime | None) -> None:
    """It is tried again then, or, without a time, given up."""
    values = {"of_id": delivery_id, "what": error, "again": again_at}
    connection.execute(_AGAIN if again_at else _GIVE_UP, values if again_at else {"of_id": delivery_id, "what": error})


def one(connection: Connection, delivery_id: str) -> Row | None:
    row = connection.execute(select(deliveries).where(deliveries.c.id == delivery_id)).mappings().one_or_none()
    return dict(row) if row else None


def find(
    connection: Connection, channel: str, *, limit: int, after: tuple[datetime, str] | None = None
) -> Sequence[Row]:
    """What a channel was to say, newest first, those beyond `after` only."""
    place = (deliveries.c.created_at, deliveries.c.id)
    query = select(deliveries).where(deliveries.c.channel == channel).limit(limit)
    if after:
        query = query.where(tuple_(*place) < tuple_(literal(after[0], Utc), literal(after[1])))
    return [dict(row) for row in connection.execute(query.order_by(*(each.desc() for each in place))).mappings()]


def prune(connection: Connection, *, now: datetime) -> None:
    """Forget what was said long ago."""
    connection.execute(_PRUNE, {"before": now - KEPT})


_D = deliveries.c
_OF_ID = _D.id == bindparam("of_id")
_IS_PENDING = _D.state == PENDING
_AGAIN_AT = bindparam("again", type_=Utc)
_LAST = (
    select(_D.id, _D.alerts, _D.attempts, _D.state, _D.opens_at)
    .where(
        _D.channel == bindparam("of_channel"),
        _D.rule == bindparam("of_rule"),
        _D.news == bindparam("of_news"),
        _D.opens_at > bindparam("since", type_=Utc),
    )
    .order_by(_D.opens_at.desc())
    .limit(1)
)
_JOIN = update(deliveries).where(_OF_ID, _IS_PENDING, _D.attempts == 0).values(alerts=bindparam("all", type_=Json))
_DUE = (
    select(deliveries)
    .where(_IS_PENDING, _D.next_at <= bindparam("now", type_=Utc), _D.channel.not_in(bindparam("busy", expanding=True)))
    .order_by(_D.next_at)
    .limit(bindparam("most"))
)
_TAKE = (
    update(deliveries)
    .where(_OF_ID, _IS_PENDING, _D.attempts == bindparam("seen"))
    .values(attempts=_D.attempts + 1, next_at=_AGAIN_AT)
)
_SENT = (
    update(deliveries)
    .where(_OF_ID, _IS_PENDING)
    .values(state=SENT, sent_at=bindparam("at", type_=Utc), last_error=None)
)
_AGAIN = update(deliveries).where(_OF_ID, _IS_PENDING).values(last_error=bindparam("what"), next_at=_AGAIN_AT)
_GIVE_UP = update(deliveries).where(_OF_ID, _IS_PENDING).values(last_error=bindparam("what"), state=FAILED)
_PRUNE = delete(deliveries).where(~_IS_PENDING, _D.created_at < bindparam("before", type_=Utc))
