"""
What is to be sent to the nodes, and that it was.

A message is a hint: sending one too many is harmless, and what is lost is sent again. `sent_at` is written
before the sending, so that a beat that dies in between leaves a placed attempt that is sent again in time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from levare.model import PLACED
from levare.store.tables import attempts, jobs
from levare.store.types import Utc

RESEND_AFTER = timedelta(seconds=5)
"""A placed attempt that nobody has claimed for so long is sent again."""


@dataclass(frozen=True)
class Message:
    """Which attempt, to which queue of which node, under which name of the job."""

    attempt_id: str
    queue: str
    node: str
    name: str


def messages_due(
    connection: Connection, live: Iterable[Any], incarnations: Mapping[str, str], *, now: datetime
) -> list[Message]:
    """
    Of the live attempts: what was placed and not claimed in time, and what runs on a node whose worker has begun
    a new incarnation since it was sent, so that Celery and Flower know of it again.
    """
    late = now - RESEND_AFTER
    due = [
        row.id
        for row in live
        if (row.sent_at <= late if row.state == PLACED else row.sent_to != incarnations.get(row.node))
    ]
    return [Message(*row) for row in connection.execute(_OF, {"ids": due})] if due else []


def mark_sent(
    connection: Connection, messages: Iterable[Message], incarnations: Mapping[str, str], *, now: datetime
) -> None:
    """They are about to be sent, to the present incarnation of their nodes."""
    marks = [{"attempt": m.attempt_id, "to": incarnations.get(m.node), "now": now} for m in messages]
    if marks:
        connection.execute(_MARK, marks)


_OF = (
    select(attempts.c.id, attempts.c.queue, attempts.c.node, jobs.c.name)
    .join(jobs, jobs.c.id == attempts.c.job_id)
    .where(attempts.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(attempts.c.placed_at, attempts.c.id)
)
_MARK = (
    update(attempts)
    .where(attempts.c.id == bindparam("attempt"))
    .values(sent_at=bindparam("now", type_=Utc), sent_to=bindparam("to"))
)
