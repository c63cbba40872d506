"""
What is to be sent to the nodes, and that it was.

A message is a hint: sending one too many is harmless, and what is lost is sent again. `sent_at` is written
before the sending, so that a beat that dies in between leaves a placed attempt that is sent again in time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, bindparam, or_, select, update

from levare.model import LIVE, PLACED, RUNNING, STARTING
from levare.store.tables import attempts, jobs, nodes
from levare.store.types import Utc, is_one_of

RESEND_AFTER = timedelta(seconds=5)
"""A placed attempt that nobody has claimed for so long is sent again."""


@dataclass(frozen=True)
class Message:
    """Which attempt, to which queue of which node, under which name of the job."""

    attempt_id: str
    queue: str
    node: str
    name: str


def attempts_to_send(connection: Connection, *, now: datetime) -> Sequence[Any]:
    """
    What was placed and never sent or not claimed in time, and what runs on a node whose worker has begun
    a new incarnation since it was sent, so that Celery and Flower know of it again.
    """
    return connection.execute(_TO_SEND, {"sent_before": now - RESEND_AFTER}).all()


def due_messages(connection: Connection, *, now: datetime) -> list[Message]:
    """What is to be sent, marked as sent to the present incarnation of its node."""
    due = attempts_to_send(connection, now=now)
    if due:
        marks = [{"attempt": row.id, "seen_incarnation": row.incarnation, "now": now} for row in due]
        connection.execute(_MARK, marks)
    return [Message(row.id, row.queue, row.node, row.name) for row in due]


def _to_send() -> Any:
    a = attempts.c
    late = or_(a.sent_at.is_(None), a.sent_at < bindparam("sent_before", type_=Utc))
    unclaimed = and_(a.state == PLACED, late)
    moved_on = and_(is_one_of(a.state, (STARTING, RUNNING)), a.sent_to != nodes.c.incarnation)
    return (
        select(a.id, a.queue, a.node, jobs.c.name, nodes.c.incarnation)
        .join(nodes, nodes.c.name == a.node)
        .join(jobs, jobs.c.id == a.job_id)
        .where(is_one_of(a.state, LIVE), or_(unclaimed, moved_on))
        .order_by(a.placed_at, a.id)
    )


_TO_SEND = _to_send()
_MARK = (
    update(attempts)
    .where(attempts.c.id == bindparam("attempt"))
    .values(sent_at=bindparam("now", type_=Utc), sent_to=bindparam("seen_incarnation"))
)
