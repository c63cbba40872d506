"""Why a job waits, when it will start, and what became of one that does not wait."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, select

from levare.decide.explain import Explanation, verdict
from levare.decide.explain import explain as explanation
from levare.decide.forecast import Estimate
from levare.decide.pools import Supply, supplied
from levare.model import (
    BLOCKED,
    CANCELLED,
    FINAL,
    PLACED,
    RUNNING,
    WAITING,
    Need,
    Node,
    Reason,
    Rules,
    Sharing,
    Waiting,
)
from levare.store import arrays, leases, pool_workers, promises, views
from levare.store.fleet import load_nodes
from levare.store.movable import needs_of
from levare.store.snapshot import load_sharing
from levare.store.tables import jobs
from levare.store.waiting import HEADS, load_lanes, waiting_of

Row = Mapping[str, Any]

_USUAL = Rules()
_NO_TIME = Estimate(None, None, "It has begun already.")
_WITH_WORKER = Estimate(None, None, "It starts when a pool has started a worker for it.")
_WITH_BEAT = Estimate(None, None, "Nobody decides what starts, so there is no time to tell.")
_BLOCKED = Estimate(None, None, "Before it may start it does not stand in the queue.")


@dataclass(frozen=True)
class Queue:
    """One waiting job and the facts that decide about it."""

    job: Waiting
    lanes: Sequence[Sequence[Waiting]]
    nodes: Sequence[Node]
    sharing: Sharing
    now: datetime
    currency: str = ""
    supplies: Sequence[Supply] = ()
    last_led: datetime | None = None
    """When a beat last decided; None where that is not known."""

    def explain(self) -> Explanation:
        """Pure, and slower than all the reading: call it outside of a transaction."""
        others = [other for lane in self.lanes for other in lane]
        cut = {lane[-1].job_id for lane in self.lanes if len(lane) >= HEADS}
        found = explanation(self.job, others, self.nodes, now=self.now, sharing=self.sharing, cut=cut)
        if self.last_led and self.now - self.last_led >= leases.SILENT:
            return replace(found, reasons=[_silent(self.last_led), *found.reasons], estimate=_WITH_BEAT, change=None)
        reasons = supplied(found.reasons, self.job.request, self.supplies)
        if verdict(reasons) == verdict(found.reasons):
            return replace(found, reasons=reasons)
        return replace(found, reasons=reasons, estimate=_WITH_WORKER, change=None)


@dataclass(frozen=True)
class Case:
    """A job, and all that is to know for saying why it stands where it stands."""

    job: Row
    blockers: Sequence[Reason] = ()
    queue: Queue | None = None

    def tell(self) -> dict[str, Any]:
        """The answer to `why`, whatever the state of the job."""
        if self.queue:
            return self._about | told(self.queue.explain(), self.queue.currency)
        if self.blockers:
            return self._about | _plain(_BLOCKED) | {"verdict": verdict(self.blockers), "reasons": self.blockers}
        return self._about | _plain(_NO_TIME)

    @property
    def _about(self) -> dict[str, Any]:
        return {"job": self.job["id"], "state": self.job["state"], "message": standing(self.job)}


def load(connection: Connection, job_id: str, *, now: datetime, rules: Rules = _USUAL) -> Case:
    """The facts about a job; NotFound without it."""
    job = views.job(connection, job_id)
    if job["state"] == BLOCKED:
        return Case(job, blockers=blockers(connection, [job])[job_id])
    if job["state"] != WAITING or job["cancel_requested_at"]:
        return Case(job)
    row = connection.execute(_JOB, {"id": job_id}).one()
    if arrays.startable(connection, [row]).get(job_id) == 0:
        return Case(job, blockers=arrays.why_capped(row))
    lanes, nodes, sharing = load_queue(connection, now=now, rules=rules)
    [waiting] = promises.remembered([waiting_of(connection, row)], promises.load(connection))
    supplies = pool_workers.load_supplies(connection, now=now)
    mine, last_led = _as_in(lanes, waiting), leases.last_led(connection, leases.BEAT)
    return Case(job, queue=Queue(mine, lanes, nodes, sharing, now, rules.currency, supplies, last_led))


def load_queue(
    connection: Connection, *, now: datetime, rules: Rules = _USUAL
) -> tuple[Sequence[Sequence[Waiting]], Sequence[Node], Sharing]:
    """What decides about all that waits: the lanes, of each the first, with what they were promised, and the fleet."""
    promised = promises.load(connection)
    lanes = [promises.remembered(lane, promised) for lane in load_lanes(connection, most=lambda _: HEADS, now=now)]
    return lanes, load_nodes(connection, now=now), load_sharing(connection, now=now, rules=rules)


def blockers(connection: Connection, rows: Sequence[Row]) -> Mapping[str, Sequence[Reason]]:
    """Why each of these blocked jobs may not start yet."""
    needed = needs_of(connection, [row["id"] for row in rows]) if rows else {}
    return {row["id"]: list(_blockers(needed[row["id"]], row)) for row in rows}


def _as_in(lanes: Sequence[Sequence[Waiting]], job: Waiting) -> Waiting:
    """The job with what the lanes know of it besides its row, if it is among their first."""
    return next((other for lane in lanes for other in lane if other.job_id == job.job_id), job)


def _silent(last_led: datetime) -> Reason:
    since = f"No beat has decided anything since {_told(last_led)}"
    return Reason("beat-silent", "will-wait", f"{since}: nothing starts until one does. `levare doctor` says more.")


def told(found: Explanation, currency: str = "") -> dict[str, Any]:
    """An explanation as the API answers it."""
    return {
        "verdict": verdict(found.reasons),
        "reasons": found.reasons,
        "estimate": found.estimate,
        "change": found.change,
        "ahead": found.ahead,
        "jobs_ahead": found.jobs_ahead,
        "jobs_ahead_is_least": found.is_least,
        "priority": _priority(found),
        "cost": found.cost and {**vars(found.cost), "currency": currency},
    }


def standing(job: Row) -> str:
    """How a job stands, in a sentence; times are UTC."""
    state = job["state"]
    if state in FINAL:
        verb, reason = ("was cancelled" if state == CANCELLED else state), job["reason"]
        return f"It {verb} at {_told(job['finished_at'])}" + (f": {reason}" if reason else ".")
    if job["cancel_requested_at"]:
        return f"It is being cancelled, as was asked for at {_told(job['cancel_requested_at'])}."
    if state in (BLOCKED, WAITING):
        return "It may not start yet." if state == BLOCKED else f"It has waited since {_told(job['created_at'])}."
    return _alive(job)


def _alive(job: Row) -> str:
    if job["array"]:
        return "All its elements have begun."
    if job["state"] == RUNNING:
        waited = (job["started_at"] - job["created_at"]) // timedelta(minutes=1)
        return f"It has run on {job['node']} since {_told(job['started_at'])}; before that it waited for {waited} min."
    doing = "is being told of it" if job["state"] == PLACED else "is starting it"
    return f"It has its place on {job['node']}, which {doing}."


def _plain(estimate: Estimate) -> dict[str, Any]:
    """What is there to say where nothing stands in the queue."""
    nothing = {"verdict": None, "reasons": [], "change": None, "ahead": [], "priority": None, "cost": None}
    return nothing | {"estimate": estimate, "jobs_ahead": 0, "jobs_ahead_is_least": False}


def _priority(found: Explanation) -> dict[str, Any]:
    weight, team = found.weight, found.weight.team
    return {
        "declared": weight.declared,
        "from_age": weight.from_age,
        "from_deadline": weight.from_deadline,
        "team": {
            "name": team.team,
            "entitled_percent": round(100 * team.entitled, 2),
            "used_percent": round(100 * team.used, 2),
            "rank": team.rank,
            "teams": team.teams,
            "why": team.why,
        },
    }


def _blockers(needed: Mapping[str, Need], job: Row) -> Iterator[Reason]:
    for name, need in sorted(needed.items()):
        if not need.is_met:
            yield Reason("needs", "will-wait", f"Needs {name} {need.wish}; it is {need.state}.")
    if job["attempt"] and job["reason"]:
        yield Reason("backoff", "will-wait", job["reason"])
    elif job["start_after"]:
        yield Reason("start-after", "will-wait", f"Starts at {_told(job['start_after'])} at the earliest.")


def _told(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


_JOB = select(jobs).where(jobs.c.id == bindparam("id"))
