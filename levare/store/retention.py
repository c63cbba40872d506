"""
What is forgotten by its age: everything that grows for ever without being the history of a job.

A batch is a few hundred rows of one table in a transaction of its own, so that nobody waits for it. What still has
something to decide is never forgotten, however old it is, and of each schedule the last fire is kept.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Delete, bindparam, delete, exists, select, tuple_

from levare.decide.triggers import PENDING
from levare.store import samples
from levare.store.answered import KEPT as ANSWERS_KEPT
from levare.store.tables_answers import answers
from levare.store.tables_news import news
from levare.store.tables_time import fires
from levare.store.tables_triggers import activations, events
from levare.store.types import Utc

BATCH = 500
"""So many rows at most in one transaction, of samples of each tier."""
KEPT: Mapping[str, timedelta] = {
    "events": timedelta(days=30),
    "activations": timedelta(days=90),
    "fires": timedelta(days=400),
    "answers": ANSWERS_KEPT,
    "news": timedelta(days=7),
}
"""How long their rows are kept; of samples each tier has its own time."""
FORGOTTEN = ("samples", *KEPT)


def forget(connection: Connection, table: str, *, now: datetime) -> bool:
    """Forget a batch of what is older than it is kept; return whether there may be more."""
    if table == "samples":
        return samples.prune(connection, now=now, limit=BATCH) >= BATCH
    values = {"before": now - KEPT[table], "most": BATCH}
    return connection.execute(_STATEMENTS[table], values).rowcount >= BATCH


def _oldest(table: Any, age: Any, *guards: Any) -> Delete:
    """Of those rows of which every guard holds."""
    keys = list(table.primary_key.columns)
    is_old = age < bindparam("before", type_=Utc)
    old = select(*keys).where(is_old, *guards).order_by(age).limit(bindparam("most"))
    return delete(table).where(keys[0].in_(old) if len(keys) == 1 else tuple_(*keys).in_(old))


_later = fires.alias("later")
_IS_NOT_THE_LAST = exists().where(_later.c.schedule == fires.c.schedule, _later.c.due_at > fires.c.due_at)
_STATEMENTS: Mapping[str, Delete] = {
    "events": _oldest(events, events.c.received_at, events.c.settled),
    "activations": _oldest(activations, activations.c.decided_at, activations.c.outcome != PENDING),
    "fires": _oldest(fires, fires.c.decided_at, _IS_NOT_THE_LAST),
    "answers": _oldest(answers, answers.c.created_at),
    "news": _oldest(news, news.c.at),
}
