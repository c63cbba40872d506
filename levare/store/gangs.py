"""The parts of one job that run on several nodes at once: where they meet."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, bindparam, select

from levare.store.tables import attempts, nodes

_FIRST_PORT, _PORTS = 20_000, 10_000


@dataclass(frozen=True)
class Gang:
    """The gang of an attempt as that attempt sees it: the nodes by rank, and where rank 0 is met."""

    rank: int
    nodes: tuple[str, ...]
    address: str
    port: int


def gang_of(connection: Connection, attempt_id: str) -> Gang:
    """
    The gang that an attempt is part of.

    Rank 0 is met at the address of its node, and where that gave none, at its name; workers that all run on one
    machine meet on it. The port is one of 20000 to 29999, the same for all of the gang, another for the next attempt.
    """
    rows = connection.execute(_MEMBERS, {"attempt": attempt_id}).all()
    rank = next(row.rank for row in rows if row.id == attempt_id)
    return Gang(rank, tuple(row.node for row in rows), _address(rows), _port(rows[0].id))


def _address(rows: Any) -> str:
    first = rows[0]
    if first.address:
        return first.address
    return "127.0.0.1" if all(row.boot_id == first.boot_id for row in rows) else first.node


def _port(first_attempt: str) -> int:
    return _FIRST_PORT + int(sha256(first_attempt.encode()).hexdigest(), 16) % _PORTS


_one = attempts.alias("one")
_MEMBERS = (
    select(attempts.c.id, attempts.c.rank, attempts.c.node, nodes.c.address, nodes.c.boot_id)
    .join(_one, (_one.c.job_id == attempts.c.job_id) & (_one.c.number == attempts.c.number))
    .join(nodes, nodes.c.name == attempts.c.node)
    .where(_one.c.id == bindparam("attempt"))
    .order_by(attempts.c.rank)
)
