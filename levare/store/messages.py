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
    unclaimed = and_(
        attempts.c.state == PLACED,
        or_(attempts.c.sent_at.is_(None), attempts.c.sent_at < now - RESEND_AFTER),
    )
    moved_on = and_(attempts.c.state.in_((STARTING, RUNNING)), attempts.c.sent_to != nodes.c.incarnation)
    return connection.execute(
        select(attempts.c.id, attempts.c.queue, attempts.c.node, jobs.c.name, nodes.c.incarnation)
        .join(nodes, nodes.c.name == attempts.c.node)
        .join(jobs, jobs.c.id == attempts.c.job_id)
        .where(attempts.c.state.in_(LIVE), or_(unclaimed, moved_on))
        .order_by(attempts.c.placed_at, attempts.c.id)
    ).all()


def due_messages(connection: Connection, *, now: datetime) -> list[Message]:
    """What is to be sent, marked as sent to the present incarnation of its node."""
    due = attempts_to_send(connection, now=now)
    if due:
        connection.execute(
            update(attempts)
            .where(attempts.c.id == bindparam("attempt"))
            .values(sent_at=now, sent_to=bindparam("seen_incarnation")),
            [{"attempt": row.id, "seen_incarnation": row.incarnation} for row in due],
        )
    return [Message(row.id, row.queue, row.node, row.name) for row in due]
