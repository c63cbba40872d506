"""What a plan would do: read before it and, in a trial that is undone, after it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select

from levare.decide import effect, forecast
from levare.decide.effect import Effect, InFlight, Over, Shift
from levare.decide.placement import place
from levare.decide.plan import Plan
from levare.decide.pools import Facts as Pools
from levare.decide.sharing import Books
from levare.model import Node, Rules, Scaling, Sharing, Waiting
from levare.model.changes import Change
from levare.store import applying, in_flight, pool_workers, promises, sharing
from levare.store.audit import Actor
from levare.store.declared import Made, in_parts
from levare.store.fleet import load_nodes
from levare.store.snapshot import load_sharing
from levare.store.tables import jobs
from levare.store.tables_time import schedules
from levare.store.waiting import HEADS, load_lanes

SHARING = ("team", "window", "pool")
"""What changes who may have what of the fleet, and so when jobs start."""
MOST_FIRES = 1000
"""Of so many schedules fire times are told."""


@dataclass(frozen=True)
class Queue:
    """Who waits, on which fleet, and who shares it."""

    waiting: Sequence[Waiting]
    nodes: Sequence[Node]
    sharing: Sharing
    queued: Mapping[str, int]
    pools: Pools

    def starts(self, now: datetime) -> dict[str, datetime]:
        """As far as can be foreseen, on the workers that pools have once they have followed this queue."""
        nodes = self.pools.foreseen(self.nodes, self._scalings(now))
        return forecast.starts(self.waiting, nodes, now=now, sharing=self.sharing)

    def _scalings(self, now: datetime) -> Sequence[Scaling]:
        if not self.pools.asked:
            return self.pools.decide((), now=now)
        decision = place(self.waiting, self.nodes, now=now, sharing=self.sharing)
        return self.pools.once_placed(decision.placements).decide(decision.without_room, now=now)


@dataclass(frozen=True)
class Facts:
    """What is true before the plan; `names` are of the jobs that wait: id -> name and team."""

    queue: Queue
    names: Mapping[str, tuple[str, str]]
    jobs: Sequence[InFlight]
    settled: Mapping[str, datetime]


def load(connection: Connection, changes: Sequence[Change], *, now: datetime, rules: Rules) -> Facts:
    queue = _queue(connection, [], now, rules)
    names = {
        row.id: (row.name, row.team) for row in in_parts(connection, _JOBS, [each.job_id for each in queue.waiting])
    }
    own = [each.name for each in changes if each.kind == "schedule"][:MOST_FIRES]
    settled = {row.name: row.settled_to for row in in_parts(connection, _SETTLED, own)}
    return Facts(queue, names, in_flight.load(connection, changes, queue.nodes), settled)


def load_after(
    trial: AbstractContextManager[Connection], plan: Plan, *, actor: Actor, now: datetime, rules: Rules
) -> Queue | None:
    """The queue with what the plan declares, from a transaction that is undone; None where it changes nothing there."""
    changes = [each for each in plan.changes if each.kind in SHARING]
    if not changes:
        return None
    with trial as connection:
        applying.write(connection, changes, Made(plan.base + 1, actor, now))
        return _queue(connection, [each.name for each in changes if each.kind == "team"], now, rules)


def effect_of(plan: Plan, before: Facts, after: Queue | None, *, now: datetime) -> Effect:
    """Pure, and slow where many wait: call it outside of a transaction."""
    own = [each for each in plan.changes if each.kind == "schedule"][:MOST_FIRES]
    return Effect(
        effect.fires(own, before.settled, now=now),
        _shifts(before, after, now),
        effect.touched(plan.changes, before.jobs, plan.in_flight, now=now),
        _over(plan, after, now),
    )


def _shifts(before: Facts, after: Queue | None, now: datetime) -> Sequence[Shift]:
    if after is None or not before.queue.waiting:
        return ()
    return effect.shifts(before.names, before.queue.starts(now), after.starts(now))


def _over(plan: Plan, after: Queue | None, now: datetime) -> Sequence[Over]:
    teams = [each.name for each in plan.changes if each.kind == "team"]
    if after is None or not teams:
        return ()
    return effect.over_quota(teams, Books(after.sharing, after.nodes, now=now), after.queued)


def _queue(connection: Connection, teams: Sequence[str], now: datetime, rules: Rules) -> Queue:
    nodes, shared = load_nodes(connection, now=now), load_sharing(connection, now=now, rules=rules)
    lanes = load_lanes(connection, most=lambda _: HEADS, now=now)
    promised = promises.load(connection)
    waiting = [job for lane in lanes for job in promises.remembered(lane, promised)]
    queued = sharing.queued(connection, teams) if teams else {}
    return Queue(waiting, nodes, shared, queued, pool_workers.load(connection, waiting, now=now))


_NAMES = bindparam("names", expanding=True)
_JOBS = select(jobs.c.id, jobs.c.name, jobs.c.team).where(jobs.c.id.in_(_NAMES))
_SETTLED = select(schedules.c.name, schedules.c.settled_to).where(schedules.c.name.in_(_NAMES))
