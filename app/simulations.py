"""What would have been: the jobs of the past, played again as things are declared, and as they might be."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from app.answers import At, answer
from app.apart import one_at_a_time, side_by_side
from app.call import Asked, Call
from app.declarations import checked, normal
from app.document import refusals
from app.plan_bodies import ObjectRequest
from levare.decide.plan import differences, fields, written
from levare.decide.tally import Tallies, Tally, play, tallies
from levare.errors import Contradiction, Fault, InvalidDeclaration, NotFound, TooManyRequests
from levare.manifest.values import WHOLE, Body, Time
from levare.model.changes import Change
from levare.store import kinds, past, revisions, simulating
from levare.store.past import Past
from levare.store.simulating import PLAYED, World

router = APIRouter(prefix="/v1", tags=["reports"])

USUAL = timedelta(days=30)
LONGEST = timedelta(days=366)
WITHIN = timedelta(minutes=2)
_MOST_NODES = 1000
NodeName = Annotated[str, Field(min_length=1, max_length=63)]
Count = Annotated[int, Field(ge=0, le=_MOST_NODES), WHOLE]


class SimulationRequest(Body):
    """Which time is played again, and what is otherwise in it."""

    since: Time | None = Field(None, description="30 days ago by default.", examples=["2030-01-01T00:00:00Z"])
    until: Time | None = Field(None, description="Now by default.", examples=["2030-01-31T00:00:00Z"])
    objects: list[ObjectRequest] = Field(
        [],
        max_length=_MOST_NODES,
        description="Teams and pools that are declared otherwise, or besides; what is not named stays as it is.",
        examples=[[{"kind": "team", "name": "vision", "document": {"quota": {"gpus": 6}}}]],
    )
    nodes: dict[NodeName, Count] = Field(
        {},
        max_length=_MOST_NODES,
        description="Node -> how many like it there are: 2 for one more, 0 for none.",
        examples=[{"node-a": 2}],
    )


class SimulatedTally(BaseModel):
    """Of jobs that came in this time. A job that still waited at its end counts with the wait up to then."""

    jobs: int = Field(description="That came.", examples=[812])
    waiting: int = Field(description="Of those, how many had not started by the end.", examples=[3])
    wait_p50_seconds: float | None = Field(description="Half of the jobs waited no longer.", examples=[41.0])
    wait_p95_seconds: float | None = Field(description="95 of 100 waited no longer.", examples=[5400.0])
    preemptions: int = Field(description="Attempts that had to make room.", examples=[12])
    gpu_hours: float = Field(description="That were held, a part of a GPU as such.", examples=[4100.5])
    cost: float | None = Field(description="At today's prices; null without any.", examples=[5125.0])


class SimulatedTallies(BaseModel):
    all: SimulatedTally
    teams: dict[str, SimulatedTally] = Field(description="By the names of the teams.")
    used_percent: float | None = Field(
        description="Of the GPU-hours that the nodes of this replay have; null without GPUs.", examples=[71.5]
    )


class SimulationAnswer(BaseModel):
    """The same jobs three times: as it really went, played again as things are declared, and with the changes."""

    since: At
    until: At
    played_from: At
    jobs: int = Field(description="That were played, those from before `since` among them.", examples=[1021])
    untold: int = Field(description="Jobs left out, because nothing tells how long they take.", examples=[2])
    currency: str = Field(examples=["EUR"])
    changes: list[str] = Field(description="What is otherwise.", examples=[["team vision: quota.gpus 8 -> 6"]])
    actual: SimulatedTallies
    declared: SimulatedTallies
    changed: SimulatedTallies


@router.post(
    "/simulations",
    response_model=SimulationAnswer,
    responses=refusals(Contradiction, InvalidDeclaration, NotFound, TooManyRequests),
)
def simulate_past(body: SimulationRequest, call: Asked) -> Response:
    """
    Play the jobs of the past again, by the decisions that beat takes, under other quotas, weights, pools or nodes.

    Nothing is changed. Jobs come when they came and take as long as they took; the replay begins a half-life of use
    earlier, so that the fleet is as busy, and each team has used as much, as was usual. One runs at a time.
    """
    until = min(body.until or call.now, call.now)
    since = body.since or until - USUAL
    _refuse_odd_times(since, until)
    wanted = checked((each.kind, each.name, each.document) for each in body.objects)
    _refuse_unplayed(wanted)
    with one_at_a_time("A simulation"):
        return answer(_simulated(body, wanted, call, since, until))


def _simulated(
    body: SimulationRequest, wanted: Sequence[Any], call: Call, since: datetime, until: datetime
) -> dict[str, Any]:
    begin = since - call.rules.half_life
    with call.database.reading() as connection:
        head = revisions.read(connection)
        changes = differences(kinds.every(connection), wanted, prune=False, normal=normal).changes
        before = simulating.as_declared(connection, now=call.now, rules=call.rules)
        found = past.load(connection, begin=begin, until=until)
    after = before
    if changes:
        after = simulating.with_changes(
            call.writing(dry_run=True),
            changes,
            revision=head.revision + 1,
            actor=call.actor,
            now=call.now,
            rules=call.rules,
        )
    after = simulating.with_nodes(after, body.nodes)
    declared, changed = _played(found, before, after, since, until)
    really = tallies(found.course, found.jobs, before.nodes, since=since)
    return {
        "since": since,
        "until": until,
        "played_from": begin,
        "jobs": len(found.jobs),
        "untold": found.untold,
        "currency": call.rules.currency,
        "changes": list(_said(changes, body.nodes)),
        "actual": _told(really),
        "declared": _told(declared),
        "changed": _told(changed),
    }


def _played(found: Past, before: World, after: World, since: datetime, until: datetime) -> tuple[Tallies, Tallies]:
    asked = [(found.jobs, world.nodes, world.sharing, since, until) for world in (before, after)]
    try:
        first, second = side_by_side(play, asked, within=WITHIN)
    except TimeoutError:
        fault = Fault(
            "since", "brings too many jobs", len(found.jobs), f"what is played in {WITHIN.total_seconds():g} s"
        )
        raise Contradiction("The simulation took too long.", "Give a later `since`.", [fault]) from None
    return first, second


def _refuse_odd_times(since: datetime, until: datetime) -> None:
    if since >= until:
        fault = Fault("since", "is not before until", since.isoformat(), until.isoformat())
        raise Contradiction("The time to be played is empty.", "Give a `since` that is before `until`.", [fault])
    if until - since > LONGEST:
        fault = Fault("since", "is too long before until", (until - since).days, f"at most {LONGEST.days} days")
        raise Contradiction("The time to be played is too long.", "Give a later `since`.", [fault])


def _refuse_unplayed(wanted: Sequence[Any]) -> None:
    faults = [
        Fault(f"{each.kind}.{each.name}", "makes no difference to a simulation", each.kind, ", ".join(PLAYED))
        for each in wanted
        if each.kind not in PLAYED
    ]
    if faults:
        raise Contradiction("Only teams and pools are played otherwise.", "Leave out the others.", faults)


def _said(changes: Sequence[Change], nodes: Mapping[str, int]) -> Iterator[str]:
    for change in changes:
        for each in fields(change, normal):
            yield f"{change.kind} {change.name}: {each.path} {_in_words(each.before)} -> {_in_words(each.after)}"
    for name, count in sorted(nodes.items()):
        yield f"nodes like {name}: 1 -> {count}"


def _in_words(value: Any) -> str:
    return "(none)" if value is None else written(value)


def _told(found: Tallies) -> dict[str, Any]:
    return {
        "all": _tally(found.all),
        "teams": {name: _tally(each) for name, each in found.teams.items()},
        "used_percent": None if found.used is None else 100 * found.used,
    }


def _tally(found: Tally) -> Mapping[str, Any]:
    told = asdict(found)
    for name in ("wait_p50", "wait_p95"):
        wait: timedelta | None = told.pop(name)
        told[f"{name}_seconds"] = None if wait is None else wait.total_seconds()
    return told
