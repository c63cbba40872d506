"""Pipelines: jobs that are submitted together, each a step that may need others of them."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, exists, insert, literal, select, tuple_, update

from levare.decide.pipelines import cycle, in_order, state_of
from levare.errors import Fault, InvalidPipeline, LevareError, NotFound
from levare.model import BLOCKED, WAITING, Move, Rules, input_variable
from levare.store import audit, jobs, views
from levare.store.audit import Actor
from levare.store.jobs import Intake, Submission, insert_job, lane_of
from levare.store.tables import attempts, needs, pipelines
from levare.store.tables import jobs as jobs_table
from levare.store.types import Json, Utc

Row = Mapping[str, Any]

_USUAL = Rules()


@dataclass(frozen=True, kw_only=True)
class PipelineWish:
    """Steps by name, each a wish whose needs are names of steps or ids of jobs that exist."""

    name: str
    steps: Sequence[tuple[str, Submission]]


def submit(
    connection: Connection,
    wish: PipelineWish,
    *,
    ids: Sequence[str],
    actor: Actor,
    now: datetime,
    rules: Rules = _USUAL,
) -> Row:
    """
    Record the pipeline under the first id and its steps under the others; all of it or nothing.

    Raises InvalidPipeline for a cycle or a name that is used twice, and whatever a submit of a job raises.
    """
    insert_pipeline(Intake(connection, actor, now=now, rules=rules), wish, ids)
    return pipeline(connection, ids[0])


def pipeline(connection: Connection, pipeline_id: str) -> Row:
    """The pipeline with its steps as they stand."""
    row = connection.execute(_BY_ID, {"pipeline_id": pipeline_id}).mappings().first()
    if row is None:
        raise unknown(pipeline_id)
    return _with_steps(connection, [dict(row)])[0]


def unknown(pipeline_id: str) -> NotFound:
    return NotFound(f"There is no pipeline {pipeline_id!r}.", "`levare pipelines` lists them.")


def find(
    connection: Connection,
    *,
    limit: int,
    after: tuple[datetime, str] | None = None,
    seen: Collection[str] | None = None,
) -> list[Row]:
    """Pipelines, newest first, those beyond `after` only; with `seen` those all of whose steps are of these teams."""
    place = (pipelines.c.created_at, pipelines.c.id)
    query = select(pipelines).order_by(*(column.desc() for column in place)).limit(limit)
    if seen is not None:
        foreign = exists().where(jobs_table.c.pipeline == pipelines.c.id, jobs_table.c.team.not_in(seen))
        query = query.where(~foreign.correlate(pipelines))
    if after:
        query = query.where(tuple_(*place) < tuple_(literal(after[0], Utc), literal(after[1])))
    return _with_steps(connection, [dict(row) for row in connection.execute(query).mappings()])


def wish_cancel(connection: Connection, pipeline_id: str, *, actor: Actor, now: datetime) -> Row:
    """Record that every step that is not over is to be cancelled."""
    for step in pipeline(connection, pipeline_id)["steps"]:
        jobs.wish_cancel(connection, step["job"], actor=actor, now=now)
    return pipeline(connection, pipeline_id)


def insert_pipeline(intake: Intake, wish: PipelineWish, ids: Sequence[str]) -> None:
    """Each step after all that it needs, so that every need is a job by then."""
    connection, actor, now = intake.connection, intake.actor, intake.now
    steps = dict(wish.steps)
    _check_names(wish)
    own = {step: [needed for needed in each.needs if needed in steps] for step, each in steps.items()}
    order = in_order(own)
    if order is None:
        way = cycle(own)
        fault = Fault(f"jobs.{list(steps).index(way[0])}.needs", "leads back to itself", " -> ".join(way), "no cycle")
        raise InvalidPipeline(f"The steps need each other: {' -> '.join(way)}.", "Break the cycle.", [fault])
    row = {"id": ids[0], "name": wish.name, "user": actor.name, "created_at": now}
    connection.execute(insert(pipelines), row)
    audit.record(connection, actor, "pipeline.submitted", ids[0], now=now, name=wish.name)
    job_ids = dict(zip(steps, ids[1:], strict=True))
    for step in order:
        needed = {job_ids.get(name, name): outcome for name, outcome in steps[step].needs.items()}
        named = replace(steps[step], name=steps[step].name or step, needs=needed, pipeline=ids[0], step=step)
        with _naming(f"jobs.{list(steps).index(step)}", step):
            insert_job(intake, named, job_ids[step])


@contextmanager
def _naming(place: str, step: str) -> Iterator[None]:
    """What is wrong with a job is said of its step."""
    try:
        yield
    except LevareError as error:
        error.detail = f"Step {step}: {error.detail}"
        error.faults = [replace(fault, field=f"{place}.{fault.field}") for fault in error.faults]
        raise


def _check_names(wish: PipelineWish) -> None:
    """Two steps need two names, and two variables of their outputs."""
    names = [input_variable(step) for step, _ in wish.steps]
    for number, (step, _) in enumerate(wish.steps):
        first = names.index(names[number])
        if first < number:
            other = wish.steps[first][0]
            fault = Fault(
                f"jobs.{number}.step", f"is too like {other!r}, the name of step {first}", step, "its own name"
            )
            raise InvalidPipeline(f"Two steps are called {step!r} and {other!r}.", "Rename one of them.", [fault])


def _with_steps(connection: Connection, rows: Iterable[Row]) -> list[Row]:
    found = {row["id"]: {**row, "steps": list[Row]()} for row in rows}
    steps = connection.execute(_STEPS, {"pipelines": list(found)}).mappings().all() if found else []
    needed = _needs(connection, {step["id"]: step["step"] for step in steps})
    for step in steps:
        shown = {name: step[name] for name in ("step", "state", "reason", "started_at", "finished_at")}
        found[step["pipeline"]]["steps"].append({**shown, "job": step["id"], "needs": needed.get(step["id"], [])})
    for row in found.values():
        row["steps"] = _by_needs(row["steps"])
    wished = {row["id"]: row["cancel_requested_at"] is not None for row in steps}
    return [{**row, "state": state_of((s["state"], wished[s["job"]]) for s in row["steps"])} for row in found.values()]


def _by_needs(steps: Sequence[Row]) -> list[Row]:
    """The steps of one pipeline, each after those that it needs."""
    known = {step["step"]: step for step in steps}
    needed = {step["step"]: map(_name_of, step["needs"]) for step in steps}
    order = in_order({name: [other for other in others if other in known] for name, others in needed.items()})
    return [known[name] for name in order or known]


def _name_of(need: Any) -> str:
    return need if isinstance(need, str) else need["job"]


def stay_close(connection: Connection, moves: Iterable[Move]) -> None:
    """Let steps that begin to wait prefer the node where most of what they need has run: its output is there."""
    begun = [move.job_id for move in moves if move.expected == (BLOCKED,) and move.state == WAITING]
    rows = connection.execute(_SOURCES, {"jobs": begun}).all() if begun else []
    nodes: dict[str, Counter[str]] = {}
    for row in rows:
        nodes.setdefault(row.job_id, Counter())[row.node] += 1
    for job_id, counts in nodes.items():
        _prefer(connection, job_id, max(sorted(counts), key=counts.__getitem__))


def _prefer(connection: Connection, job_id: str, node: str) -> None:
    row = dict(connection.execute(_JOB, {"job": job_id}).mappings().one())
    closer = row | {"prefer": {"node": node} | row["prefer"]}
    connection.execute(_CLOSER, {"job": job_id, "closer": closer["prefer"], "new_lane": lane_of(closer)})


def _needs(connection: Connection, steps: Mapping[str, str]) -> dict[str, list[Any]]:
    """Job id -> what it needs, steps by their names."""
    found: dict[str, dict[str, str]] = {}
    for row in connection.execute(_NEEDS, {"jobs": list(steps)}) if steps else ():
        found.setdefault(row.job_id, {})[steps.get(row.needed_id, row.needed_id)] = row.outcome
    return {job_id: views.shown_needs(needed) for job_id, needed in found.items()}


_BY_ID = select(pipelines).where(pipelines.c.id == bindparam("pipeline_id"))
_STEPS = (
    select(jobs_table)
    .where(jobs_table.c.pipeline.in_(bindparam("pipelines", expanding=True)), jobs_table.c.array_id.is_(None))
    .order_by(jobs_table.c.created_at, jobs_table.c.step)
)
_SOURCES = (
    select(needs.c.job_id, attempts.c.node)
    .join(jobs_table, jobs_table.c.id == needs.c.needed_id)
    .join(attempts, and_(attempts.c.job_id == jobs_table.c.id, attempts.c.number == jobs_table.c.attempt))
    .where(needs.c.job_id.in_(bindparam("jobs", expanding=True)), jobs_table.c.pipeline.is_not(None))
)
_JOB = select(jobs_table).where(jobs_table.c.id == bindparam("job"))
_CLOSER = (
    update(jobs_table)
    .where(jobs_table.c.id == bindparam("job"), jobs_table.c.state == WAITING)
    .values(prefer=bindparam("closer", type_=Json), lane=bindparam("new_lane"))
)
_NEEDS = select(needs).where(needs.c.job_id.in_(bindparam("jobs", expanding=True)))
