"""
What ended attempts have left behind on the GPUs of a node, and the wish to end it.

The worker writes what it has proven; somebody wishes; the worker proves it again, ends it, and writes what came of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, case, select, update

from levare.errors import Conflict
from levare.model import LIVE
from levare.store import audit, views
from levare.store.audit import Actor
from levare.store.tables import attempts, nodes
from levare.store.types import Json, Utc


@dataclass(frozen=True)
class Orphan:
    """A process of an attempt that is over, on a GPU; with its start, in clock ticks since boot, its pid names one."""

    pid: int
    start: int
    attempt: str
    user: str
    command: str
    gpus: tuple[int, ...] = ()
    """Their numbers on the node."""


@dataclass(frozen=True)
class Reaped:
    """What became of an orphan: `ended` by TERM, `killed`, `gone` before, `spared` for lack of proof, `remains`."""

    orphan: Orphan
    outcome: str


def orphans(connection: Connection, node: str) -> list[Orphan]:
    """What is written of a node's orphans."""
    found = connection.execute(_ORPHANS, {"of_node": node}).scalar_one_or_none() or []
    return [Orphan(**{**each, "gpus": tuple(each["gpus"])}) for each in found]


def set_orphans(connection: Connection, node: str, found: Iterable[Orphan], *, incarnation: str) -> bool:
    """Replace what is written of a node's orphans. False if the node is not, or no longer, this incarnation's."""
    values = {"of_node": node, "by": incarnation, "found": [asdict(orphan) for orphan in found]}
    return bool(connection.execute(_SET_ORPHANS, values).rowcount)


def standings(connection: Connection, node: str, attempt_ids: Iterable[str]) -> dict[str, bool]:
    """Which of these attempts of a node are alive in SQL; one that is not there was never this node's."""
    rows = connection.execute(_STANDINGS, {"of_node": node, "ids": list(attempt_ids)})
    return {row.id: row.state in LIVE for row in rows}


def wish(connection: Connection, node: str, *, actor: Actor, now: datetime) -> Mapping[str, Any]:
    """
    Ask that the orphans of a node be ended; return the node.

    Without orphans nothing is asked for, and a wish that is still open stands. A node that is lost hears no wish.
    """
    before = views.node(connection, node)
    if before["state"] == "lost":
        raise Conflict(f"Node {node} is lost.", "Start its worker again; it then looks for orphans by itself.")
    if not before["orphans"] or not connection.execute(_WISH, {"of_node": node, "at": now}).rowcount:
        return before
    audit.record(
        connection, actor, "node.reap_requested", node, now=now, pids=[each["pid"] for each in before["orphans"]]
    )
    return views.node(connection, node)


def wished_at(connection: Connection, node: str) -> datetime | None:
    """When somebody asked for the orphans of a node to be ended, if that is not done."""
    return connection.execute(_WISHED_AT, {"of_node": node}).scalar_one_or_none()


def done(
    connection: Connection,
    node: str,
    reaped: Sequence[Reaped],
    *,
    wished: datetime | None,
    incarnation: str,
    actor: Actor,
    now: datetime,
) -> None:
    """Write what became of each orphan and audit it; the wish that was carried out is none any more."""
    written = [{**asdict(each.orphan), "outcome": each.outcome} for each in reaped]
    connection.execute(_DONE, {"of_node": node, "by": incarnation, "became": written, "seen": wished})
    for each in reaped:
        orphan = each.orphan
        detail = {"pid": orphan.pid, "attempt": orphan.attempt, "command": orphan.command, "outcome": each.outcome}
        audit.record(connection, actor, "orphan.reaped", node, now=now, **detail)


_NODE = nodes.c.name == bindparam("of_node")
_OURS = and_(_NODE, nodes.c.incarnation == bindparam("by"))
_SEEN = bindparam("seen", type_=Utc)

_ORPHANS = select(nodes.c.orphans).where(_NODE)
_SET_ORPHANS = update(nodes).where(_OURS).values(orphans=bindparam("found", type_=Json))
_STANDINGS = select(attempts.c.id, attempts.c.state).where(
    attempts.c.node == bindparam("of_node"), attempts.c.id.in_(bindparam("ids", expanding=True))
)
_WISH = (
    update(nodes)
    .where(_NODE, nodes.c.state != "lost", nodes.c.reap_requested_at.is_(None))
    .values(reap_requested_at=bindparam("at", type_=Utc), reaped=[])
)
_WISHED_AT = select(nodes.c.reap_requested_at).where(_NODE)
_DONE = (
    update(nodes)
    .where(_OURS)
    .values(
        reaped=bindparam("became", type_=Json),
        reap_requested_at=case((nodes.c.reap_requested_at == _SEEN, None), else_=nodes.c.reap_requested_at),
    )
)
