"""The wishes of people: a job to run, a job to cancel. What becomes of them is decided elsewhere."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import PurePath
from typing import Any, TypeVar

from sqlalchemy import Connection, insert, select, update

from levare.decide import arrays as decide
from levare.decide.contradictions import refuse_contradictions
from levare.errors import CanNeverRun, Conflict, Fault, Forbidden, InvalidArray, UnknownNeeds
from levare.model import (
    BLOCKED,
    CANCELLED,
    FINAL,
    WAITING,
    Elements,
    Need,
    Parameters,
    Reason,
    Request,
    Rules,
    scale_of,
)
from levare.model.access import MEMBER, VIEWER
from levare.store import arrays, audit, views
from levare.store.audit import Actor
from levare.store.fitting import Fitting
from levare.store.tables import jobs, needs
from levare.store.teams import refuse_beyond_queue

Value = TypeVar("Value")

_INSERT = insert(jobs)
_USUAL = Rules()
_LONGEST_NAME = 200
_NAME_ANOTHER = "Name one that there is, or add a node that has it; `levare nodes` shows what there is."
_ASK_LESS = "Ask for less, or add a node that has it; `levare nodes` shows what there is."


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A wish to run a command, already validated. Sizes are MiB, durations whole seconds, times aware."""

    command: Sequence[str]
    name: str = ""
    team: str = "default"
    project: str = "default"
    priority: int = 5
    gpus: int = 0
    gpu_memory_mib: int | None = None
    cpus: int = 1
    memory_mib: int = 0
    scratch_mib: int = 0
    gpu_model: str | None = None
    resources: Mapping[str, int] = field(default_factory=dict)
    require: Mapping[str, str] = field(default_factory=dict)
    prefer: Mapping[str, str] = field(default_factory=dict)
    avoid: Mapping[str, str] = field(default_factory=dict)
    nodes: int = 1
    spread: bool = False
    needs: Mapping[str, str] = field(default_factory=dict)
    """Id of a job -> how it has to end."""
    retries: int = 0
    retry_on: Sequence[str] = ()
    backoff_seconds: int = 0
    memory_growth: float = 1.0
    preemptible: bool = True
    min_runtime_seconds: int = 300
    warning_signal: str | None = None
    warning_seconds: int = 0
    deadline: datetime | None = None
    only_between: str | None = None
    timeout_seconds: int | None = None
    grace_seconds: int = 10
    env: Mapping[str, Any] = field(default_factory=dict)
    """Values, or `{"secret": NAME}`."""
    cwd: str = ""
    start_after: datetime | None = None
    on_lost: str = "keep"
    array: Elements | None = None
    pipeline: str | None = None
    step: str | None = None
    parameters: Parameters = field(default_factory=dict)
    schedule: str | None = None
    trigger: str | None = None
    due_at: datetime | None = None
    code: Mapping[str, Any] | None = None
    """What the checkout held from which it was submitted."""
    rerun: Mapping[str, Any] | None = None
    """The `attempt` that it repeats, whether its `code` is restored, and whether that is `strict`."""

    @property
    def request(self) -> Request:
        """Memory or a model of a GPU without a number of GPUs means one GPU."""
        gpus = self.gpus or int((self.gpu_memory_mib or self.gpu_model) is not None)
        return Request(
            gpus,
            self.gpu_memory_mib,
            self.cpus,
            self.memory_mib,
            self.scratch_mib,
            self.gpu_model,
            _sorted(self.resources),
            _sorted(self.require),
            _sorted(self.prefer),
            _sorted(self.avoid),
            self.nodes,
            self.spread,
        )


class Intake:
    """Who submits, when and under which rules, in one transaction; the fleet is looked at once at most."""

    def __init__(self, connection: Connection, actor: Actor, *, now: datetime, rules: Rules) -> None:
        self.connection, self.actor, self.now, self.rules = connection, actor, now, rules
        self._fitting = Fitting(connection, rules.licences, now=now)

    def refuse_unfit(self, request: Request) -> None:
        """Raise CanNeverRun for what no node could ever run."""
        reason = self._fitting.why_never(request)
        if reason:
            fault = Fault(_field(reason.code, request), reason.message, reason.asked, reason.available)
            next_step = _NAME_ANOTHER if _is_unknown(reason, request) else _ASK_LESS
            raise CanNeverRun(reason.message, next_step, [fault])


def submit(
    connection: Connection,
    wish: Submission,
    *,
    job_id: str,
    actor: Actor,
    now: datetime,
    rules: Rules = _USUAL,
) -> Mapping[str, Any]:
    """
    Record the job and return it as `views.job` would.

    Raises Contradiction, UnknownNeeds, Conflict or CanNeverRun for a job that could never start, and
    QuotaQueued where too many wait.
    """
    return insert_job(Intake(connection, actor, now=now, rules=rules), wish, job_id)


def wish_cancel(connection: Connection, job_id: str, *, actor: Actor, now: datetime) -> Mapping[str, Any]:
    """Record that a job is to be cancelled and return it. A final job, or one already so wished, stays as it is."""
    wish = (
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.cancel_requested_at.is_(None), jobs.c.state.not_in(FINAL))
        .values(cancel_requested_at=now, cancelled_by=actor.name)
    )
    if connection.execute(wish).rowcount:
        arrays.wish_cancel(connection, job_id, by=actor.name, now=now)
        job = views.job(connection, job_id)
        audit.record(connection, actor, "job.cancel_requested", job_id, now=now, before=job["state"], after=CANCELLED)
        return job
    return views.job(connection, job_id)


def insert_job(intake: Intake, wish: Submission, job_id: str) -> Mapping[str, Any]:
    """As `submit`, for one of several."""
    connection, actor, now = intake.connection, intake.actor, intake.now
    refuse_foreign(actor, wish.team)
    _check_array(wish)
    refuse_contradictions(wish, now=now)
    intake.refuse_unfit(wish.request)
    adding = wish.array.size if wish.array else 1
    refuse_beyond_queue(connection, team=wish.team, project=wish.project, user=actor.name, adding=adding)
    needs_unmet = _unmet(connection, wish, actor)
    too_early = wish.start_after is not None and wish.start_after > now
    state = BLOCKED if needs_unmet or too_early else WAITING
    row = new_row(wish, job_id, state, actor, now)
    connection.execute(_INSERT, row)
    if wish.needs:
        connection.execute(
            insert(needs),
            [{"job_id": job_id, "needed_id": needed, "outcome": outcome} for needed, outcome in wish.needs.items()],
        )
    audit.record(connection, actor, "job.submitted", job_id, now=now, name=wish.name, team=wish.team)
    return views.new_job(row, wish.needs)


def refuse_foreign(actor: Actor, team: str) -> None:
    """Raise Forbidden if this is no team for which the actor may submit."""
    if not actor.access.has(MEMBER, team):
        own = ", ".join(actor.access.teams_with(MEMBER) or ()) or "none"
        fault = Fault("team", "is none for which this token may submit", team, own)
        raise Forbidden(
            f"Token {actor.name!r} may not submit for team {team!r}.", "Name a team of which it is a member.", [fault]
        )


def _check_array(wish: Submission) -> None:
    """Every brace in an argument must name a parameter, for no element could start otherwise."""
    if wish.array is None:
        return
    known = decide.names(wish.array)
    wrong = decide.wrong_placeholders(wish.command, known)
    if wrong:
        named = ", ".join(f"{{{name}}}" for name in known)
        faults = [Fault(f"command.{number}", "is no parameter of the array", found, named) for number, found in wrong]
        raise InvalidArray(
            f"{wrong[0][1]} in the command is no parameter of the array.",
            f"There are {named}; write {{{{ and }}}} for braces that are meant as they are.",
            faults,
        )
    count = decide.count_placeholders(wish.command)
    if count > decide.MOST_PLACEHOLDERS:
        fault = Fault("command", "has too many parameters in braces", count, decide.MOST_PLACEHOLDERS)
        raise InvalidArray(f"The command names parameters {count} times.", "Read them from the environment.", [fault])


def _is_unknown(reason: Reason, request: Request) -> bool:
    """Whether less of it would not help, for it is a name that no node has."""
    custom = reason.code.removeprefix("too-much-")
    return reason.code == "no-such-node" or (custom in dict(request.resources) and not reason.available)


def _field(code: str, request: Request) -> str:
    """The field of a submission that a reason of placement speaks of."""
    custom = code.removeprefix("too-much-")
    if custom in dict(request.resources):
        return f"resources.{custom}"
    if code == "no-such-node":
        return next(name for name in ("require", "gpu_model", "avoid") if getattr(request, name))
    return _FIELDS.get(code, "gpus")


def _unmet(connection: Connection, wish: Submission, actor: Actor) -> bool:
    """Whether a need is still to end as it has to; raise if one is unknown or can no longer end so."""
    needs = wish.needs
    if not needs:
        return False
    found_jobs = connection.execute(select(jobs.c.id, jobs.c.state, jobs.c.team).where(jobs.c.id.in_(needs)))
    states = {row.id: row.state for row in found_jobs if actor.access.has(VIEWER, row.team)}
    unknown = [needed for needed in needs if needed not in states]
    if unknown:
        raise _unknown_needs(unknown, is_step=wish.step is not None)
    found = {needed: Need(states[needed], outcome) for needed, outcome in needs.items()}
    hopeless = {needed: need for needed, need in found.items() if need.is_hopeless}
    if hopeless:
        faults = [
            Fault("needs", f"{need.fate} already", needed, f"a job {need.wish}") for needed, need in hopeless.items()
        ]
        fates = ", ".join(f"{needed} has {need.wish}, but {need.fate}" for needed, need in hopeless.items())
        raise Conflict(f"A need cannot be met any more: {fates}.", "Run it again and need the new job.", faults)
    return not all(need.is_met for need in found.values())


def _unknown_needs(names: Sequence[str], *, is_step: bool) -> UnknownNeeds:
    what, and_steps = ("step or job", "steps of the pipeline, or ") if is_step else ("job", "")
    faults = [Fault("needs", f"is no {what}", name, f"{and_steps}ids of existing jobs") for name in names]
    return UnknownNeeds(
        f"No such {what}: {', '.join(names)}.", f"Name {and_steps}jobs that `levare jobs` lists.", faults
    )


def name_of(command: Sequence[str]) -> str:
    """What people call a command that they gave no name: its script, or else its program."""
    scripts = (word for word in command if word.endswith((".py", ".sh")) and not word.startswith("-"))
    return PurePath(next(scripts, command[0])).name[:_LONGEST_NAME]


def new_row(wish: Submission, job_id: str, state: str, actor: Actor, now: datetime) -> dict[str, Any]:
    """Every column of a job that nothing has happened to yet."""
    name = wish.name or name_of(wish.command)
    row = {name: getattr(wish, name) for name in _WISHED} | {
        "id": job_id,
        "name": name,
        "user": actor.name,
        "state": state,
        "command": list(wish.command),
        "env": dict(wish.env),
        "gpus": wish.request.gpus,
        "retry_on": list(wish.retry_on),
        "family": f"{wish.team}/{wish.project}/{name}",
        "shunned": [],
        "parameters": dict(wish.parameters),
        **arrays.stored(wish.array),
        "array_next": 0,
        "array_id": None,
        "array_index": None,
        "attempt": 0,
        "losses": 0,
        "exit_code": None,
        "reason": None,
        "progress": None,
        "cost": None,
        "energy_joules": None,
        "created_at": now,
        "started_at": None,
        "finished_at": None,
        "cancel_requested_at": None,
        "cancelled_by": None,
    }
    return row | {"lane": lane_of(row)}


def lane_of(row: Mapping[str, Any]) -> str:
    """The name of the lane of a job: all that decides when it starts, but its age."""
    limit = row["timeout_seconds"]
    scale = limit and scale_of(timedelta(seconds=limit))
    text = json.dumps([scale, *(row[name] for name in _LANE)], sort_keys=True, default=str)
    return sha256(text.encode()).hexdigest()[:16]


def _sorted(values: Mapping[str, Value]) -> tuple[tuple[str, Value], ...]:
    return tuple(sorted(values.items()))


_REQUESTED = (
    *("gpus", "gpu_memory_mib", "cpus", "memory_mib", "scratch_mib", "gpu_model", "resources"),
    *("require", "prefer", "avoid", "nodes", "spread"),
)
_WISHED = (
    *("team", "project", "priority", "cwd", *_REQUESTED, "timeout_seconds", "grace_seconds", "retries"),
    *("backoff_seconds", "memory_growth", "preemptible", "min_runtime_seconds", "warning_signal", "warning_seconds"),
    *("deadline", "only_between", "on_lost", "start_after", "pipeline", "step"),
    *("schedule", "trigger", "due_at", "code", "rerun"),
)
_FIELDS = {
    "too-many-gpus": "gpus",
    "too-much-cpus": "cpus",
    "too-much-memory": "memory_mib",
    "too-much-scratch": "scratch_mib",
    "too-few-nodes": "nodes",
    "licence-busy": "resources",
}
_LANE = (
    *_REQUESTED,
    *("team", "project", "user", "priority", "deadline", "only_between", "shunned"),
)
