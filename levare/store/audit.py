"""Who changed what, when, from where: one row for each write, in the transaction of that write."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert

from levare.store.tables import audit


@dataclass(frozen=True)
class Actor:
    """Who asks: the token, its name and role, and the address that the request came from."""

    token_id: str
    name: str
    role: str = "admin"
    source: str = ""


def record(connection: Connection, actor: Actor, action: str, about: str, *, now: datetime, **detail: Any) -> None:
    """Append a row. `action` is `noun.past`; nothing secret belongs into `detail`."""
    row = {"at": now, "actor": actor.name, "action": action, "object": about, "source": actor.source, "detail": detail}
    connection.execute(_INSERT, row)


_INSERT = insert(audit)
