"""Plans, revisions and the lock: all that is declared, changed at once."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from sqlalchemy import Connection
from starlette.responses import Response

from app.answers import answer
from app.call import Asked, Call, DryRun
from app.declarations import checked, normal
from app.document import refusals
from app.once import OnceOnly
from app.pages import Limit, NumberCursor, by, page, picked, picking
from app.plan_answers import (
    Applied,
    DeclaredAnswer,
    LockAnswer,
    PlanAnswer,
    RevisionAnswer,
    RevisionsAnswer,
    RevisionWithChanges,
)
from app.plan_bodies import ApplyRequest, LockRequest, PlanRequest
from levare.decide.plan import Differences, Plan, counts, differences, digest_after, fields, outright
from levare.errors import Contradiction, Fault, InvalidDeclaration, Locked, NotFound, StalePlan
from levare.model import Declared
from levare.model.changes import UPDATE, Change
from levare.pulse import beat_bell
from levare.store import applying, kinds, locks, planning, revisions, versions, windows
from levare.store.revisions import Cause, Head
from levare.store.tables_declared import APPLY, ROLLBACK
from levare.store.windows import Wish

router = APIRouter(prefix="/v1", tags=["plans"])

RevisionNumber = Annotated[int, Path(ge=1, le=1 << 31, description="The number of a revision.", examples=[12])]
AtRevision = Annotated[
    int | None, Query(ge=1, le=1 << 31, description="As it was then; as it is now by default.", examples=[11])
]
Origin = Annotated[bool, Query(description="Only the last one that a plan has made.", examples=[True])]
_REVISION = tuple(RevisionAnswer.model_fields)
_REFUSALS = refusals(StalePlan, Locked, Contradiction, InvalidDeclaration)
_APPLIED = ("digest", "created", "updated", "removed")


@router.post("/plan", response_model=PlanAnswer, responses=refusals(Contradiction, InvalidDeclaration, NotFound))
def make_plan(body: PlanRequest, call: Asked) -> Response:
    """
    Say what has to change so that what is declared becomes what is wanted, and what that does. Nothing is changed.

    Whatever is not among the objects is removed, and listed so. What is paused stays so, unless `paused` is false.
    """
    return answer(planned(body, call))


@router.post(
    "/revisions", response_model=Applied, responses=refusals(StalePlan, Locked, Contradiction, InvalidDeclaration)
)
def apply_plan(body: ApplyRequest, call: Asked, once: OnceOnly, dry_run: DryRun = False) -> Response:
    """
    Apply a plan exactly as it is, as one revision, or refuse it: nothing may have been declared since it was made.

    The same plan again, right after it was applied, gives the same answer. The lock, if its id is given, is given back.
    """
    plan = body.plan.plan()
    if plan.digest != body.plan.digest:
        fault = Fault("plan.digest", "is not the digest of this plan", body.plan.digest, plan.digest)
        raise Contradiction("The plan is not as it was made.", "Plan again, and apply that as it is.", [fault])
    checked((each.kind, each.name, each.after) for each in plan.changes if each.after is not None)
    code = body.code
    cause = Cause(
        APPLY if plan.rollback_to is None else ROLLBACK,
        body.reason,
        commit=code and code.commit,
        dirty=code and code.dirty,
    )

    def applied(connection: Connection) -> Response:
        made = applying.apply(connection, plan, cause, lock_id=body.lock, actor=call.actor, now=call.now)
        return answer({"revision": made["number"], **picked(made, _APPLIED)})

    response = once.answer(applied, dry_run=dry_run)
    if not dry_run:
        call.pulse.ring(beat_bell())
    return response


@router.get("/revisions", response_model=RevisionsAnswer)
def list_all_revisions(
    call: Asked, cursor: NumberCursor = None, limit: Limit = 50, applied: Origin = False
) -> Response:
    """List the revisions of all that is declared, newest first."""
    with call.database.reading() as connection:
        if applied:
            found = revisions.last_applied(connection)
            rows = [found] if found else []
        else:
            rows = revisions.find(connection, limit=limit + 1, behind=int(cursor) if cursor else None)
    return page(rows, limit, by("number"), picking(_REVISION))


@router.get("/revisions/{number}", response_model=RevisionWithChanges)
def read_revision_of_all(number: RevisionNumber, call: Asked) -> Response:
    """Look at a revision with all that it changed."""
    with call.database.reading() as connection:
        row = revisions.one(connection, number)
        changes = revisions.changes_of(connection, number)
    return answer({**picked(row, _REVISION), "changes": [change_told(each) for each in changes]})


@router.get("/declared", response_model=DeclaredAnswer, responses=refusals(NotFound))
def read_declared(call: Asked, revision: AtRevision = None) -> Response:
    """Read all that is declared, or was when a revision was the last."""
    with call.database.reading() as connection:
        if revision is None:
            head = revisions.read(connection)
            found, number, digest = kinds.every(connection), head.revision, head.digest
        else:
            row = revisions.one(connection, revision)
            found, number, digest = revisions.state_at(connection, revision), revision, row["digest"]
    return answer({"revision": number, "digest": digest, "objects": [vars(each) for each in kinds.in_order(found)]})


@router.get("/lock", response_model=LockAnswer)
def read_lock(call: Asked) -> Response:
    """Say who has the lock."""
    with call.database.reading() as connection:
        row, version = revisions.read(connection), versions.of(connection, versions.LOCK, "")
    return call.conditions.told(_lock(row, call), version or versions.UNDECLARED)


@router.put("/lock", response_model=LockAnswer, responses=refusals(Locked))
def take_lock(body: LockRequest, call: Asked, dry_run: DryRun = False) -> Response:
    """Take the lock for a time, or keep it for longer: meanwhile nobody else applies a plan."""
    lasts = timedelta(seconds=body.seconds)
    with call.writing(dry_run=dry_run) as connection:
        head = locks.take(connection, body.id, lasts, reason=body.reason, actor=call.actor, now=call.now)
    return answer(_lock(head, call))


@router.delete("/lock", response_model=LockAnswer)
def release_lock(call: Asked, dry_run: DryRun = False) -> Response:
    """Give the lock back, or take it away from whoever has it; the answer says who had it."""
    with call.writing(dry_run=dry_run) as connection:
        head = locks.release(connection, actor=call.actor, now=call.now)
    return answer(_lock(head, call))


def planned(body: PlanRequest, call: Call) -> dict[str, Any]:
    """A plan as it is answered."""
    wanted = None if body.objects is None else checked((each.kind, each.name, each.document) for each in body.objects)
    with call.database.reading() as connection:
        head = revisions.read(connection)
        asked = _wanted(connection, body, wanted, head)
        found = differences(kinds.every(connection), asked, prune=body.prune, normal=normal)
        plan = Plan(head.revision, found.changes, body.in_flight, body.rollback_to)
        facts = planning.load(connection, plan.changes, now=call.now, rules=call.rules) if body.effect else None
        last = revisions.last_of(connection, [(each.kind, each.name) for each in plan.changes])
        warnings = _warnings(connection, plan.changes)
    told = None
    if facts is not None:
        trial = call.writing(dry_run=True)
        after = planning.load_after(trial, plan, actor=call.actor, now=call.now, rules=call.rules)
        told = planning.effect_of(plan, facts, after, now=call.now)
    return {**_document(plan, found, head, last, call), "warnings": warnings, "effect": told and _effect(told)}


def _wanted(
    connection: Connection, body: PlanRequest, wanted: Sequence[Declared] | None, head: Head
) -> Sequence[Declared]:
    if (wanted is None) == (body.rollback_to is None):
        both = None if wanted is None else "objects, rollback_to"
        fault = Fault("objects", "must be given, or rollback_to, and not both", both, "one of them")
        raise Contradiction("A plan is for objects, or to go back to a revision.", "Give one of them.", [fault])
    if wanted is not None:
        return wanted
    number = body.rollback_to or 0
    if number > head.revision:
        revisions.one(connection, number)
    return outright(revisions.state_at(connection, number))


def _warnings(connection: Connection, changes: Sequence[Change]) -> list[str]:
    """What is no error, for it may be otherwise by then."""
    kept = {each.name: Wish.of(each.after) for each in changes if each.kind == "window" and each.after}
    strange = windows.unknown_nodes(connection, kept.values())
    return [
        f"window {name}: {', '.join(found)} has never joined"
        for name, wish in kept.items()
        if (found := sorted(strange & set(wish.nodes)))
    ]


def _document(plan: Plan, found: Differences, head: Head, last: Any, call: Call) -> dict[str, Any]:
    return {
        "version": 1,
        "base": plan.base,
        "digest": plan.digest,
        "in_flight": plan.in_flight,
        "rollback_to": plan.rollback_to,
        "declared_before": head.digest,
        "declared_after": digest_after(head.digest, plan.changes),
        "made_at": call.now,
        "made_by": call.actor.name,
        "counts": counts(plan.changes),
        "changes": [{**change_told(each), "last": _origin(last.get((each.kind, each.name)))} for each in plan.changes],
        "left_paused": [{"kind": kind, "name": name} for kind, name in found.left_paused],
    }


def change_told(change: Change) -> dict[str, Any]:
    inner = [vars(each) for each in fields(change, normal)] if change.action == UPDATE else []
    return {**vars(change), "action": change.action, "fields": inner}


def _origin(row: Any) -> dict[str, Any] | None:
    return row and {"revision": row["number"], "by": row["by"], "at": row["at"]}


def _effect(found: Any) -> dict[str, Any]:
    touched = [{name: value for name, value in vars(each).items() if name != "attempt"} for each in found.touched]
    return {
        "fires": [vars(each) for each in found.fires],
        "shifts": [vars(each) for each in found.shifts],
        "touched": touched,
        "over_quota": [vars(each) for each in found.over_quota],
    }


def _lock(head: Head, call: Call) -> dict[str, Any]:
    if not head.is_locked(call.now):
        return dict.fromkeys(LockAnswer.model_fields)
    return {
        "id": head.lock_id,
        "owner": head.lock_owner,
        "reason": head.lock_reason,
        "since": head.locked_at,
        "until": head.locked_until,
    }
