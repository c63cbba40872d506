"""What was declared when and by whom, what that changed, and the way back, shown before it is gone."""

from collections.abc import Mapping
from typing import Any

from app.dashboard.desk import View
from app.plan_bodies import PlanRequest
from app.plans import change_told, planned
from levare.errors import NotFound
from levare.store import revisions

Row = Mapping[str, Any]

_MOST, _MOST_DIGITS = 60, 9
FATES = {
    "keep": "leave jobs in flight as they are",
    "finish": "let what runs finish, cancel what has not begun",
    "requeue": "stop what runs, and let it wait again",
}


def load(view: View) -> dict[str, Any]:
    before = view.params.get("before", "")
    behind = _number_in(before)
    with view.call.database.reading() as connection:
        rows = revisions.find(connection, limit=_MOST + 1, behind=behind)
        head = revisions.read(connection)
    following = rows[_MOST - 1]["number"] if len(rows) > _MOST else None
    return {"revisions": rows[:_MOST], "following": following, "head": head, "is_locked": head.is_locked(view.call.now)}


def load_one(view: View) -> dict[str, Any]:
    number = _number(view)
    with view.call.database.reading() as connection:
        row = revisions.one(connection, number)
        changes = revisions.changes_of(connection, number)
        head = revisions.read(connection)
    return {
        "title": f"Revision {number}",
        "revision": row,
        "changes": [change_told(each) for each in changes],
        "head": head.revision,
    }


def load_rollback(view: View) -> dict[str, Any]:
    """The plan of going back, as `POST /v1/plan` makes it."""
    number, fate = _number(view), view.params.get("in_flight", "keep")
    fate = fate if fate in FATES else "keep"
    plan = planned(PlanRequest.model_validate({"rollback_to": number, "in_flight": fate}), view.call)
    return {"title": f"Go back to revision {number}", "number": number, "plan": plan, "fate": fate, "fates": FATES}


def _number(view: View) -> int:
    number = _number_in(view.names["number"])
    if number is None:
        raise NotFound(f"There is no revision {view.names['number']!r}.", "The page of revisions lists them.")
    return number


def _number_in(said: str) -> int | None:
    return int(said) if said.isascii() and said.isdecimal() and len(said) <= _MOST_DIGITS else None
