"""Why a schedule ran at a time, or why it did not."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import Connection
from starlette.responses import Response

from app.answers import answer
from app.call import Asked
from app.pages import picked
from app.schedule_answers import Fire, WhyFire
from app.schedules import ScheduleName
from levare.decide.due import stamp, words
from levare.decide.instants import Instant, look
from levare.decide.timing import timing_of
from levare.manifest.values import Time
from levare.store import history, schedules

router = APIRouter(prefix="/v1/schedules", tags=["schedules"])

Row = Mapping[str, Any]
When = Annotated[Time, Query(description="The time to explain; its minute counts.")]
_FIRE = tuple(Fire.model_fields)
_MOST_REVISIONS = 1000


@router.get("/{name}/why", response_model=WhyFire)
def explain_fire(name: ScheduleName, call: Asked, at: When) -> Response:
    """
    Why a schedule ran at a time, or why it did not.

    What was declared at that time is looked at. Where nothing was due it says what excludes the time, and what was
    due before and after it.
    """
    with call.database.reading() as connection:
        revisions = history.of_schedule(connection, name, limit=_MOST_REVISIONS)
        told = _Case(connection, name, revisions, at, call.now).tell()
    return answer(told)


class _Case:
    """One question, with what is known about it."""

    def __init__(
        self, connection: Connection, name: str, revisions: Sequence[Row], at: datetime, now: datetime
    ) -> None:
        self.name, self.at, self.now, self.revisions = name, at, now, revisions
        self.in_force = next((each for each in revisions if each["at"] <= at), None)
        self.definition = self.in_force and self.in_force["after"]
        self.instant = look(timing_of(self.definition), at) if self.definition else Instant(None, (), None, None)
        self.fire = history.fire_at(connection, name, self.due_at or at)
        if self.due_at is None and self.fire and self.fire["due_at"] != at:
            self.fire = None
        self.row = schedules.get(connection, name)

    @property
    def due_at(self) -> datetime | None:
        return self.instant.due_at

    def tell(self) -> dict[str, Any]:
        verdict, message = self._verdict()
        instant = self.instant
        return {
            "schedule": self.name,
            "at": self.at,
            "verdict": verdict,
            "message": message,
            "due_at": self.fire["due_at"] if self.fire else instant.due_at,
            "fire": self.fire and picked(self.fire, _FIRE),
            "excluded": [vars(each) for each in instant.excluded] if not self.fire else [],
            "before": instant.before,
            "after": instant.after,
            "revision": self.in_force and self.in_force["number"],
        }

    def _verdict(self) -> tuple[str, str]:
        if self.fire:
            return self.fire["outcome"], _of_fire(self.fire, self.due_at or self.at)
        if self.definition is None:
            return "not-declared", self._not_declared()
        if self.due_at is None:
            return "not-due", " ".join(["Nothing was due then.", *(each.message for each in self.instant.excluded)])
        return self._undecided(self.due_at)

    def _not_declared(self) -> str:
        if self.in_force:
            return f"It was removed at {_who(self.in_force)}."
        return f"It was declared first at {_who(self.revisions[-1])}."

    def _undecided(self, due_at: datetime) -> tuple[str, str]:
        """It is due, and no row says what became of it."""
        changed = self._changed_since()
        if changed and (self.row is None or due_at <= self.row["settled_to"]):
            how = "its times were changed" if changed["after"] else "it was removed"
            return "edited", f"It was due at {stamp(due_at)}, but before it started {how}, at {_who(changed)}."
        fires_at = timing_of(self.definition or {}).fires_at(self.name, due_at)
        if fires_at > self.now:
            later = f" and starts at {stamp(fires_at)}" if fires_at > due_at else ""
            return "future", f"It {self._wording()} at {stamp(due_at)}{later}{self._paused()}."
        late = words(self.now - fires_at)
        return "pending", f"It was due at {stamp(due_at)}, {late} ago; beat has not decided yet. Is it running?"

    def _wording(self) -> str:
        return "is due" if self.at > self.now else "was due"

    def _paused(self) -> str:
        return ", unless it is paused then, as it is now" if self.row and self.row["paused_at"] else ""

    def _changed_since(self) -> Row | None:
        """The first revision after the one that was in force."""
        later = [each for each in self.revisions if self.in_force and each["number"] > self.in_force["number"]]
        return later[-1] if later else None


def _of_fire(fire: Row, due_at: datetime) -> str:
    reason = fire["reason"] or ""
    if fire["outcome"] == "skipped":
        return f"It was due at {stamp(due_at)} and was skipped: {reason}"
    what = f"pipeline {fire['pipeline']}" if fire["pipeline"] else f"job {fire['job']}"
    return f"It was due at {stamp(due_at)} and ran as {what}, which is {fire['state']}. {reason}".strip()


def _who(revision: Row) -> str:
    return f"{stamp(revision['at'])} by {revision['by']} (revision {revision['number']})"
