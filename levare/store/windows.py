"""Windows: times for which nodes are kept, for maintenance or for a team. Nothing else may run into them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select

from levare.errors import Fault, InvalidRequest, NotFound
from levare.model import Window
from levare.store import audit
from levare.store.audit import Actor
from levare.store.tables import nodes, windows
from levare.store.types import Utc
from levare.store.upsert import upsert

Row = Mapping[str, Any]

FURTHEST = timedelta(days=366)
"""No window ends later than this from now, so that nobody keeps a node by a slip in the year."""


@dataclass(frozen=True)
class Wish:
    """What somebody wants of a window; without a team nobody may use its nodes."""

    nodes: Sequence[str]
    starts: datetime
    ends: datetime
    team: str | None = None
    user: str | None = None
    reason: str = ""


def put(connection: Connection, name: str, wish: Wish, *, actor: Actor, now: datetime) -> Row:
    """
    Keep nodes, or change a window; the same again changes nothing.

    Raise InvalidRequest for an unknown node, an end before the start, a window that is over, or one too far away.
    """
    faults = [*_wrong_nodes(connection, wish), *_wrong_times(wish, now), *_wrong_owner(wish)]
    if faults:
        raise InvalidRequest(f"Window {name}: {faults[0].message}.", "Correct it and send it again.", faults)
    before = get(connection, name)
    changed = vars(wish) | {"nodes": sorted(set(wish.nodes))}
    if before is None or any(before[key] != value for key, value in changed.items()):
        made = {"created_by": actor.name, "created_at": now}
        _PUT.run(connection, [{"name": name, **changed, **made}])
        audit.record(connection, actor, "window.set", name, now=now, before=_told(before), after=_told(changed))
    return one(connection, name)


def remove(connection: Connection, name: str, *, actor: Actor, now: datetime) -> Row:
    """Give the nodes back; raise NotFound if there is no such window."""
    row = one(connection, name)
    connection.execute(_REMOVE, {"name": name})
    audit.record(connection, actor, "window.removed", name, now=now, before=_told(row))
    return row


def find(connection: Connection, *, now: datetime) -> list[Row]:
    """All that are not over, by their start."""
    return [dict(row) for row in connection.execute(_NOT_OVER, {"now": now}).mappings()]


def one(connection: Connection, name: str) -> Row:
    """This window, even if it is over."""
    row = get(connection, name)
    if row is None:
        raise unknown(name)
    return row


def unknown(name: str) -> NotFound:
    return NotFound(f"There is no window {name!r}.", "`levare windows` lists them.")


def by_node(connection: Connection, *, now: datetime) -> Mapping[str, Sequence[Window]]:
    """The windows of each node that are not over, by their start."""
    kept: dict[str, list[Window]] = defaultdict(list)
    for row in connection.execute(_NOT_OVER, {"now": now}):
        for node in row.nodes:
            kept[node].append(Window(row.name, node, row.starts, row.ends, row.team, row.user))
    return kept


def get(connection: Connection, name: str) -> Row | None:
    """None if there is none of this name."""
    row = connection.execute(_BY_NAME, {"name": name}).mappings().one_or_none()
    return dict(row) if row else None


def _wrong_nodes(connection: Connection, wish: Wish) -> list[Fault]:
    known = set(connection.execute(_KNOWN, {"names": list(wish.nodes)}).scalars())
    return [
        Fault("nodes", f"{node} is no node", node, "a name that `levare nodes` lists")
        for node in sorted(set(wish.nodes))
        if node not in known
    ]


def _wrong_times(wish: Wish, now: datetime) -> list[Fault]:
    if wish.ends <= wish.starts:
        return [Fault("ends", "it ends before it starts", _in_seconds(wish.ends), f"after {_in_seconds(wish.starts)}")]
    if wish.ends <= now:
        return [Fault("ends", "it is over already", _in_seconds(wish.ends), f"after {_in_seconds(now)}")]
    if wish.ends > now + FURTHEST:
        return [
            Fault(
                "ends",
                "it ends more than a year from now",
                _in_seconds(wish.ends),
                f"before {_in_seconds(now + FURTHEST)}",
            )
        ]
    return []


def _wrong_owner(wish: Wish) -> list[Fault]:
    if wish.user is not None and wish.team is None:
        return [Fault("user", "it is for a user of no team", wish.user, "a user with a team")]
    return []


def _told(row: Row | None) -> dict[str, Any] | None:
    """As the audit keeps it."""
    names = ("nodes", "starts", "ends", "team", "user", "reason")
    return {name: _text(row[name]) for name in names} if row else None


def _text(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _in_seconds(moment: datetime) -> str:
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


_OF_NAME = windows.c.name == bindparam("name")
_BY_NAME = select(windows).where(_OF_NAME)
_NOT_OVER = (
    select(windows).where(windows.c.ends > bindparam("now", type_=Utc)).order_by(windows.c.starts, windows.c.name)
)
_KNOWN = select(nodes.c.name).where(nodes.c.name.in_(bindparam("names", expanding=True)))
_PUT = upsert(windows, replacing=("nodes", "starts", "ends", "team", "user", "reason"))
_REMOVE = delete(windows).where(_OF_NAME)
