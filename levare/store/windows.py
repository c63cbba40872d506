"""Windows: times for which nodes are kept, for maintenance or for a team. Nothing else may run into them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, select

from levare.errors import Fault, InvalidRequest
from levare.model import Window
from levare.model.changes import Change
from levare.store.audit import Actor
from levare.store.declared import Kind, Made, in_parts
from levare.store.tables import nodes, windows
from levare.store.types import Utc

Row = Mapping[str, Any]

_WHOM = ("team", "user", "reason")
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

    @classmethod
    def of(cls, document: Row) -> "Wish":
        """What a document declares; `document` is its inverse."""
        times = {name: datetime.fromisoformat(document[name]) for name in ("starts", "ends")}
        return cls(document["nodes"], **times, **{name: document[name] for name in _WHOM if name in document})

    @property
    def document(self) -> dict[str, Any]:
        """As it is kept: nodes in their order, times in UTC, without what is as usual."""
        times = {"starts": _in_utc(self.starts), "ends": _in_utc(self.ends)}
        whom = {name: getattr(self, name) for name in _WHOM if getattr(self, name)}
        return {"nodes": sorted(set(self.nodes)), **times, **whom}


def put(connection: Connection, name: str, wish: Wish, *, actor: Actor, now: datetime) -> Row:
    """
    Keep nodes, or change a window; the same again changes nothing.

    Raise InvalidRequest for an unknown node, an end before the start, a window that is over, or one too far away.
    """
    faults = [*_wrong_nodes(connection, wish), *_wrong_times(wish, now), *_wrong_owner(wish)]
    if faults:
        raise InvalidRequest(f"Window {name}: {faults[0].message}.", "Correct it and send it again.", faults)
    DECLARED.declare(connection, name, wish.document, actor=actor, now=now)
    return one(connection, name)


def remove(connection: Connection, name: str, *, actor: Actor, now: datetime) -> Row:
    """Give the nodes back; raise NotFound if there is no such window."""
    return DECLARED.remove(connection, name, actor=actor, now=now)


def unknown_nodes(connection: Connection, wishes: Iterable[Wish]) -> set[str]:
    """The nodes that they name and that have never joined."""
    named = {node for wish in wishes for node in wish.nodes}
    return named - {row.name for row in in_parts(connection, _KNOWN, named)}


def find(connection: Connection, *, now: datetime) -> list[Row]:
    """All that are not over, by their start."""
    return [dict(row) for row in connection.execute(_NOT_OVER, {"now": now}).mappings()]


def one(connection: Connection, name: str) -> Row:
    """This window, even if it is over."""
    return DECLARED.one(connection, name)


def by_node(connection: Connection, *, now: datetime) -> Mapping[str, Sequence[Window]]:
    """The windows of each node that are not over, by their start."""
    kept: dict[str, list[Window]] = defaultdict(list)
    for row in connection.execute(_NOT_OVER, {"now": now}):
        for node in row.nodes:
            kept[node].append(Window(row.name, node, row.starts, row.ends, row.team, row.user))
    return kept


def _columns(_connection: Connection, changed: Sequence[Change], made: Made) -> Mapping[str, Row]:
    return {each.name: _kept(each, made) for each in changed if each.after is not None}


def _kept(change: Change, made: Made) -> Row:
    is_new, kept = change.before is None, vars(Wish.of(change.after or {}))
    return {**kept, **({"created_by": made.actor.name, "created_at": made.now} if is_new else {})}


def _wrong_nodes(connection: Connection, wish: Wish) -> list[Fault]:
    return [
        Fault("nodes", f"{node} is no node", node, "a name that `levare nodes` lists")
        for node in sorted(unknown_nodes(connection, [wish]))
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


def _in_utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"


def _in_seconds(moment: datetime) -> str:
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


_NOT_OVER = (
    select(windows).where(windows.c.ends > bindparam("now", type_=Utc)).order_by(windows.c.starts, windows.c.name)
)
_KNOWN = select(nodes.c.name).where(nodes.c.name.in_(bindparam("names", expanding=True)))
DECLARED = Kind("window", windows, columns=_columns, tells=True)
get, unknown = DECLARED.get, DECLARED.unknown
