"""A plan becomes what is declared: in one transaction, while the revision that it rests on is in force, or never."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from levare.decide import effect
from levare.decide.plan import Plan, counts
from levare.errors import Fault, StalePlan
from levare.model.changes import Change
from levare.store import audit, in_flight, locks, revisions
from levare.store.audit import Actor
from levare.store.declared import Made
from levare.store.fleet import load_nodes
from levare.store.kinds import KINDS
from levare.store.revisions import Cause, Head

Row = Mapping[str, Any]

_MOST_TOLD = 10
_NEXT = "Plan again and look at what it says now: `levare plan`."


def apply(connection: Connection, plan: Plan, cause: Cause, *, lock_id: str | None, actor: Actor, now: datetime) -> Row:
    """
    Make exactly the changes of the plan, as one revision, and return that; the lock of this id is given back.

    The same plan again, right after it was applied, gives the revision that it has made. Raise StalePlan if anything
    was declared since it was made, and Locked if somebody else holds the lock.
    """
    head = revisions.turn(connection)
    made = revisions.by_plan(connection, plan.digest)
    if made is not None and made["number"] == head.revision:
        return made
    locks.refuse_others(head, lock_id, now)
    if head.revision != plan.base:
        raise stale(connection, plan, head, made)
    _refuse_strangers(connection, plan)
    if not plan.changes:
        return {"number": head.revision, **dict.fromkeys(counts(()), 0), "digest": head.digest, "plan": plan.digest}
    number = revisions.record(connection, plan.changes, actor=actor, now=now, cause=replace(cause, plan=plan.digest))
    write(connection, plan.changes, Made(number, actor, now, cause.reason))
    _settle(connection, plan, number, actor, now)
    if lock_id:
        locks.release(connection, actor=actor, now=now)
    told = {"plan": plan.digest, "commit": cause.commit, "dirty": cause.dirty, "reason": cause.reason}
    audit.record(connection, actor, "revision.applied", str(number), now=now, **told, **counts(plan.changes))
    return revisions.one(connection, number)


def write(connection: Connection, changes: Iterable[Change], made: Made) -> None:
    """Have every table say what these changes say."""
    changes = list(changes)
    for key, kind in KINDS.items():
        own = [each for each in changes if each.kind == key]
        if own:
            kind.write(connection, own, made)


def stale(connection: Connection, plan: Plan, head: Head, made: Row | None = None) -> StalePlan:
    """Why a plan cannot be applied any more: what came after its base, and by whom."""
    later = revisions.after(connection, made["number"] if made else plan.base, limit=_MOST_TOLD)
    told = [_told(row, revisions.changes_of(connection, row["number"])) for row in later]
    what = f"was applied as revision {made['number']}" if made else f"rests on revision {plan.base}"
    since = told[0] if len(told) == 1 else f"{len(told)} came after" if told else f"there are only {head.revision}"
    faults = [Fault("base", each) for each in told]
    return StalePlan(f"The plan {what}, and revision {head.revision} is in force: {since}.", _NEXT, faults)


def _told(row: Row, changes: Sequence[Change]) -> str:
    names = [f"{each.kind} {each.name}" for each in changes]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""  # noqa: PLR2004  # so many are named
    return f"revision {row['number']} by {row['by']} changed {', '.join(names[:3])}{more}"


def _refuse_strangers(connection: Connection, plan: Plan) -> None:
    """Raise StalePlan if an object is not as the plan says that it is."""
    for key, kind in KINDS.items():
        own = [each for each in plan.changes if each.kind == key]
        known = kind.documents(connection, [each.name for each in own]) if own else {}
        for each in own:
            if known.get(each.name) != each.before:
                fault = Fault(f"{key}.{each.name}", "is not as the plan says", None, f"revision {plan.base}")
                raise StalePlan(f"{kind.noun} {each.name} is not as the plan says that it is.", _NEXT, [fault])


def _settle(connection: Connection, plan: Plan, number: int, actor: Actor, now: datetime) -> None:
    """What becomes of the work in flight, as it is by now."""
    nodes = load_nodes(connection, now=now)
    touched = effect.touched(plan.changes, in_flight.load(connection, plan.changes, nodes), plan.in_flight, now=now)
    in_flight.carry_out(connection, touched, f"Revision {number}", actor=actor, now=now)
