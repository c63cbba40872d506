"""
Work: what a schedule or a trigger submits, a job or a pipeline, kept as the document that declared it.

A document has one key, `job` or `pipeline`, whose value is what a submit takes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from levare.decide.arrays import size_of, text
from levare.model import ALWAYS, SUCCESS, Elements, Parameters
from levare.store.jobs import Intake, Submission, insert_job
from levare.store.pipelines import PipelineWish, insert_pipeline

Document = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Why something is submitted that nobody submits, and what its jobs learn of that."""

    schedule: str | None = None
    trigger: str | None = None
    due_at: datetime | None = None
    parameters: Parameters = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    after: Sequence[str] = ()
    """Jobs that must have ended, in whatever way, before it starts."""

    @property
    def environment(self) -> dict[str, str]:
        given = {f"LEVARE_PARAM_{name.upper()}": text(value) for name, value in self.parameters.items()}
        named = {"LEVARE_SCHEDULE": self.schedule, "LEVARE_TRIGGER": self.trigger}
        return {**given, **{name: value for name, value in named.items() if value}, **self.env}


@dataclass(frozen=True)
class Started:
    jobs: Sequence[str]
    pipeline: str | None = None


def start(intake: Intake, work: Document, cause: Cause, *, new_id: Callable[[], str]) -> Started:
    """
    Submit the work in the transaction of the intake; raises whatever a submit raises.

    Event data and parameters reach it in its environment only: no text of theirs becomes part of a command.
    """
    if "pipeline" in work:
        return _start_pipeline(intake, pipeline_of(work["pipeline"]), cause, new_id)
    job = insert_job(intake, _caused(submission_of(work["job"]), cause), new_id())
    return Started([job["id"]])


def _start_pipeline(intake: Intake, wish: PipelineWish, cause: Cause, new_id: Callable[[], str]) -> Started:
    ids = [new_id() for _ in range(len(wish.steps) + 1)]
    names = {name for name, _ in wish.steps}
    steps = [(name, _caused(step, cause, is_first=not names & step.needs.keys())) for name, step in wish.steps]
    insert_pipeline(intake, replace(wish, steps=steps), ids)
    return Started(ids[1:], ids[0])


def _caused(wish: Submission, cause: Cause, *, is_first: bool = True) -> Submission:
    """What needs nothing of its own pipeline waits for what has to end first."""
    after = dict.fromkeys(cause.after, ALWAYS) if is_first else {}
    return replace(
        wish,
        env={**wish.env, **cause.environment},
        parameters={**cause.parameters},
        needs={**wish.needs, **after},
        schedule=cause.schedule,
        trigger=cause.trigger,
        due_at=cause.due_at,
    )


def submission_of(job: Document) -> Submission:
    """The wish of a document that a submit has taken: what it leaves out is as usual."""
    needs = dict(need_of(each) for each in job.get("needs", ()))
    times: dict[str, Any] = {
        name: datetime.fromisoformat(job[name]) for name in ("deadline", "start_after") if job.get(name)
    }
    array = elements_of(job["array"]) if job.get("array") else None
    fields: dict[str, Any] = {name: value for name, value in job.items() if name not in ("needs", "array", *times)}
    return Submission(**fields, **times, needs=needs, array=array)


def pipeline_of(document: Document) -> PipelineWish:
    """As `submission_of`; its jobs are by the names of their steps."""
    return PipelineWish(
        name=document.get("name", ""), steps=[(job["step"], submission_of(job)) for job in document["jobs"]]
    )


def need_of(each: str | Mapping[str, str]) -> tuple[str, str]:
    return (each, SUCCESS) if isinstance(each, str) else (each["job"], each.get("on", SUCCESS))


def elements_of(array: Document) -> Elements:
    """Of an array that has been checked."""
    cap, grid, rows = (array.get(name) for name in ("cap", "grid", "list"))
    if grid:
        return Elements(size_of(grid), cap, grid=tuple(grid.items()))
    return Elements(len(rows), cap, rows=rows) if rows else Elements(array["size"], cap)
