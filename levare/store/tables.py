"""
The tables. Times are aware and UTC, sizes are MiB, durations are whole seconds.

SQLModel gives schema and reads; transitions are guarded UPDATEs in Core. A table class does
not validate, so requests are validated before they come here and CHECKs hold the line.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, LargeBinary, String, Text, text
from sqlmodel import Field

from levare.model import ATTEMPT_STATES, FREE, JOB_STATES, OWNERSHIPS
from levare.store.columns import Table, document, instant, json_column, json_list, metadata, one_of
from levare.store.types import Json

_IS_ARRAY = text("array_size IS NOT NULL")
_IS_UNWANTED = text("cancel_requested_at IS NOT NULL")
_IS_OPEN = text("hash IS NULL")


class JobRow(Table, table=True):
    """A wish to run a command, and what became of it. `attempt` is the number of the latest attempt, 0 before any."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(one_of("state", JOB_STATES), name="state"),
        CheckConstraint("priority BETWEEN 0 AND 9", name="priority"),
        CheckConstraint(
            "gpus >= 0 AND cpus >= 1 AND memory_mib >= 0 AND retries >= 0 AND attempt >= 0", name="amounts"
        ),
        CheckConstraint("on_lost IN ('keep', 'requeue')", name="on_lost"),
        Index("ix_jobs_queue", "state", "lane", "created_at", "id"),
        Index("ix_jobs_array", "array_id", "array_index", unique=True),
        Index("ix_jobs_elements", "array_id", "state"),
        Index("ix_jobs_arrays", "state", sqlite_where=_IS_ARRAY, postgresql_where=_IS_ARRAY),
        Index("ix_jobs_unwanted", "state", sqlite_where=_IS_UNWANTED, postgresql_where=_IS_UNWANTED),
        Index("ix_jobs_created", "created_at", "id"),
        Index("ix_jobs_team", "team", "created_at", "id"),
        Index("ix_jobs_schedule", "schedule", "state"),
        Index("ix_jobs_trigger", "trigger", "state"),
    )

    id: str = Field(primary_key=True)
    name: str
    team: str
    project: str
    user: str
    """The name of the token that submitted it."""
    state: str
    priority: int
    command: list[str] = Field(sa_column=json_column())
    cwd: str
    env: dict[str, Any] = Field(sa_column=json_column())
    """Values, or `{"secret": NAME}`; never a secret."""
    gpus: int
    gpu_memory_mib: int | None
    """Of each GPU; None asks for whole GPUs."""
    cpus: int
    memory_mib: int
    scratch_mib: int
    gpu_model: str | None
    resources: dict[str, int] = Field(sa_column=json_column())
    require: dict[str, str] = Field(sa_column=json_column())
    prefer: dict[str, str] = Field(sa_column=json_column())
    avoid: dict[str, str] = Field(sa_column=json_column())
    nodes: int
    """How many nodes it runs on at once; what it asks for is of each."""
    spread: bool
    family: str = Field(index=True)
    """Jobs of one family are runs of the same work: their history tells how long the next one takes."""
    lane: str
    """Jobs of one lane differ in little but their age, so one answer of the scheduler serves them all."""
    timeout_seconds: int | None
    grace_seconds: int
    retries: int
    retry_on: list[str] = Field(sa_column=json_column())
    """The kinds of ending after which it is tried again; empty means all that a retry can cure."""
    backoff_seconds: int
    """Until the first retry; doubled for each one more."""
    memory_growth: float
    """What its memory is multiplied with after it ran out of it."""
    preemptible: bool
    min_runtime_seconds: int
    """So long it is not preempted."""
    warning_signal: str | None
    """Sent `warning_seconds` before it is told to end, to make room or at its limit."""
    warning_seconds: int
    deadline: datetime | None = Field(sa_column=instant())
    only_between: str | None
    """Hours of the day in UTC in which it may start, such as `22:00-06:00`."""
    shunned: list[str] = Field(sa_column=json_column())
    """Nodes on which it failed in a way that another node might cure."""
    on_lost: str
    start_after: datetime | None = Field(sa_column=instant())
    attempt: int
    losses: int
    """How often an attempt was lost through no fault of its own; bounded, and not counted as a retry."""
    exit_code: int | None
    reason: str | None = Field(sa_column=Column(Text))
    """How it ended, in a sentence."""
    progress: float | None
    """From 0 to 1, as the training told it."""
    cost: float | None
    """What its attempts have cost that have ended, of an array those of its elements; NULL while nothing is known."""
    energy_joules: float | None
    """What GPUs consumed for them."""
    created_at: datetime = Field(sa_column=instant(nullable=False))
    started_at: datetime | None = Field(sa_column=instant())
    finished_at: datetime | None = Field(sa_column=instant())
    cancel_requested_at: datetime | None = Field(sa_column=instant())
    cancelled_by: str | None
    pipeline: str | None = Field(index=True)
    """The pipeline that it was submitted with, and the step of it."""
    step: str | None
    parameters: dict[str, Any] = Field(sa_column=json_column())
    """What makes it different from the others of its sweep; it finds them in its environment."""
    array: dict[str, Any] | None = Field(sa_column=json_column(nullable=True))
    """Of an array: its grid or list. Its elements become jobs of their own when they start."""
    array_size: int | None
    array_cap: int | None
    """The most elements of an array that are open and not final."""
    array_next: int
    """How many elements of an array have become jobs."""
    array_id: str | None
    array_index: int | None
    schedule: str | None
    """The schedule that submitted it, for `due_at` or because somebody asked."""
    trigger: str | None
    due_at: datetime | None = Field(sa_column=instant())
    code: dict[str, Any] | None = Field(sa_column=json_column(nullable=True))
    """What the checkout held from which it was submitted: commit, branch, whether it was dirty, a digest of that."""
    rerun: dict[str, Any] | None = Field(sa_column=json_column(nullable=True))
    """Of a job that repeats a run: the `attempt`, whether its `code` is restored, and whether that is `strict`."""


class NeedRow(Table, table=True):
    """`job` starts only when `needed` has ended in the way that `outcome` says: success, failure or always."""

    __tablename__ = "needs"

    job_id: str = Field(sa_column=Column(ForeignKey("jobs.id"), primary_key=True))
    needed_id: str = Field(sa_column=Column(ForeignKey("jobs.id"), primary_key=True, index=True))
    outcome: str


class PipelineRow(Table, table=True):
    """Jobs that were submitted together, as steps of one thing."""

    __tablename__ = "pipelines"
    __table_args__ = (Index("ix_pipelines_created", "created_at", "id"),)

    id: str = Field(primary_key=True)
    name: str
    user: str
    created_at: datetime = Field(sa_column=instant(nullable=False))


class AttemptRow(Table, table=True):
    """
    One try of a job on one node; a gang has one on each, told apart by `rank`. Its id is the Celery task id.

    It holds `devices`, `cpus`, `memory_mib` and so on of its node while its state is live, and nothing after.
    """

    __tablename__ = "attempts"
    __table_args__ = (
        CheckConstraint(one_of("state", ATTEMPT_STATES), name="state"),
        Index("ix_attempts_job", "job_id", "number", "rank", unique=True),
        Index("ix_attempts_live", "state", "node"),
        Index("ix_attempts_settled", "settled", "node"),
        Index("ix_attempts_preempted", "preempted_at"),
        Index("ix_attempts_ended", "node", "ended_at"),
        Index("ix_attempts_ended_at", "ended_at"),
    )

    id: str = Field(primary_key=True)
    job_id: str = Field(sa_column=Column(ForeignKey("jobs.id"), nullable=False))
    number: int
    rank: int
    state: str
    node: str
    queue: str
    devices: dict[str, int] = Field(sa_column=json_column())
    """Device UUID -> MiB of it that this attempt holds."""
    cpus: int
    memory_mib: int
    scratch_mib: int
    resources: dict[str, int] = Field(sa_column=json_column())
    price: float | None
    """Of an hour of the whole node when it was placed, and the part of the node that it holds; from these its cost."""
    node_share: float | None
    cost: float | None
    placed_at: datetime = Field(sa_column=instant(nullable=False))
    sent_at: datetime | None = Field(sa_column=instant())
    sent_to: str | None
    """The incarnation of the node that the last message was meant for."""
    incarnation: str | None
    """The incarnation of the node that claimed or adopted it."""
    claimed_at: datetime | None = Field(sa_column=instant())
    started_at: datetime | None = Field(sa_column=instant())
    ended_at: datetime | None = Field(sa_column=instant())
    preempted_at: datetime | None = Field(sa_column=instant())
    """When it was told to end, to make room for the job `preempted_for`."""
    preempted_for: str | None
    peer_ended_at: datetime | None = Field(sa_column=instant())
    """When it was told to end because another part of its gang had ended."""
    safe_at: datetime | None = Field(sa_column=instant())
    """When it last saved a checkpoint."""
    settled: bool
    """Whether beat has drawn the consequence of its ending for the job."""
    exit_code: int | None
    signal: int | None
    reason: str | None = Field(sa_column=Column(Text))
    peak_memory_mib: int | None
    cpu_seconds: float | None
    gpu_memory_mib: int | None
    gpu_utilisation_percent: float | None
    energy_joules: float | None
    """What its GPUs consumed for it, where they count that."""
    log_bytes: int = Field(sa_type=BigInteger)
    """How much the process has written, cuts included."""
    metrics_offset: int = Field(sa_type=BigInteger)
    """How many bytes of its metrics file are in SQL."""
    points: int
    points_dropped: int
    failure: str | None
    """The class of its failure; NULL while it lives, and where it succeeded or was cancelled."""


class LogRow(Table, table=True):
    """A piece of what an attempt wrote, at its true offset. Between pieces that do not touch lies a cut."""

    __tablename__ = "logs"

    attempt_id: str = Field(sa_column=Column(ForeignKey("attempts.id"), primary_key=True))
    offset: int = Field(primary_key=True, sa_type=BigInteger)
    data: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class MetricRow(Table, table=True):
    """One line of an attempt's metrics file; `offset` is where the line begins, so a line can come only once."""

    __tablename__ = "metrics"

    attempt_id: str = Field(sa_column=Column(ForeignKey("attempts.id"), primary_key=True))
    offset: int = Field(primary_key=True, sa_type=BigInteger)
    at: datetime = Field(sa_column=instant(nullable=False))
    stage: str | None
    step: int | None
    epoch: float | None
    values: dict[str, float | str] = Field(sa_column=json_column())
    """Name -> number; NaN and infinities as the strings `NaN`, `Infinity` and `-Infinity`."""


class NodeRow(Table, table=True):
    """A machine with a worker. `renewals` grows with every renewal of its lease by its `incarnation`."""

    __tablename__ = "nodes"
    __table_args__ = (CheckConstraint(one_of("state", ("ready", "draining", "lost")), name="state"),)

    name: str = Field(primary_key=True)
    state: str
    incarnation: str
    boot_id: str
    renewals: int
    renewed_at: datetime = Field(sa_column=instant(nullable=False))
    joined_at: datetime = Field(sa_column=instant(nullable=False))
    cpus: int
    memory_mib: int
    version: str
    labels: dict[str, str] = Field(sa_column=json_column())
    scratch_mib: int
    resources: dict[str, int] = Field(sa_column=json_column())
    address: str
    """Where the other nodes of a gang reach it."""
    price: float | None
    """Of an hour of all of it, in LEVARE_CURRENCY."""
    excluded_until: datetime | None = Field(sa_column=instant())
    """It takes nothing new until then, for `excluded_reason`."""
    excluded_reason: str | None = Field(sa_column=Column(Text))
    orphans: list[dict[str, Any]] = Field(sa_column=json_list())
    """Processes on its GPUs that ended attempts left behind, each proven."""
    reap_requested_at: datetime | None = Field(sa_column=instant())
    """When somebody asked to end them; NULL once that is done."""
    reaped: list[dict[str, Any]] = Field(sa_column=json_list())
    """What became of each when it was last done."""


class DeviceRow(Table, table=True):
    """A GPU of a node, real or simulated, and whose it is."""

    __tablename__ = "devices"
    __table_args__ = (CheckConstraint(one_of("ownership", OWNERSHIPS), name="ownership"),)

    uuid: str = Field(primary_key=True)
    node: str = Field(sa_column=Column(ForeignKey("nodes.name"), index=True, nullable=False))
    index: int
    model: str
    memory_mib: int
    simulated: bool
    excluded_until: datetime | None = Field(sa_column=instant())
    excluded_reason: str | None = Field(sa_column=Column(Text))
    ownership: str = Field(sa_column=Column(String, nullable=False, server_default=FREE))
    note: str | None = Field(sa_column=Column(Text))
    """Who uses it besides levare, in a sentence; NULL where nobody does."""


class FamilyRow(Table, table=True):
    """What is known of a family of jobs: how long its last runs took, and whether it fails at once."""

    __tablename__ = "families"

    name: str = Field(primary_key=True)
    seconds: list[float] = Field(sa_column=json_column())
    """Of its last successful runs, newest last; a bounded number of them."""
    fast_failures: int
    """How many runs in a row have failed soon after their start."""
    held_until: datetime | None = Field(sa_column=instant(index=True))
    """None of it starts until then, for `held_reason`."""
    held_reason: str | None = Field(sa_column=Column(Text))
    updated_at: datetime = Field(sa_column=instant(nullable=False))


class TeamRow(Table, table=True):
    """A team's weight and quota, and the quotas of its projects and users; a team without a row weighs 1."""

    __tablename__ = "teams"
    __table_args__ = (CheckConstraint("weight > 0", name="weight"),)

    name: str = Field(primary_key=True)
    weight: float
    quota: dict[str, Any] = Field(sa_column=json_column())
    projects: dict[str, Any] = Field(sa_column=json_column())
    """Name -> quota."""
    users: dict[str, Any] = Field(sa_column=json_column())
    """Name -> quota."""
    definition: dict[str, Any] = Field(sa_column=document())
    """As it was declared; the columns above are what it means."""
    revision: int
    owner: str
    changed_at: datetime = Field(sa_column=instant(nullable=False))


class UseRow(Table, table=True):
    """What somebody has used: `use` is decayed, as of `as_of`. Added to when an attempt ends, in the same write."""

    __tablename__ = "use"

    team: str = Field(primary_key=True)
    project: str = Field(primary_key=True)
    user: str = Field(primary_key=True)
    use: float
    """Weighted GPU-seconds."""
    as_of: datetime = Field(sa_column=instant(nullable=False))


class UseDayRow(Table, table=True):
    """What somebody has used on one day (UTC), for quotas per period and for reports."""

    __tablename__ = "use_days"

    team: str = Field(primary_key=True)
    project: str = Field(primary_key=True)
    user: str = Field(primary_key=True)
    day: str = Field(primary_key=True, index=True)
    """Such as 2030-01-31."""
    gpu_seconds: float
    cpu_seconds: float
    attempts: int


class WindowRow(Table, table=True):
    """A time for which nodes are kept: for maintenance, or for a team."""

    __tablename__ = "windows"

    name: str = Field(primary_key=True)
    nodes: list[str] = Field(sa_column=json_column())
    starts: datetime = Field(sa_column=instant(nullable=False))
    ends: datetime = Field(sa_column=instant(nullable=False, index=True))
    team: str | None
    user: str | None
    reason: str
    created_by: str
    created_at: datetime = Field(sa_column=instant(nullable=False))
    definition: dict[str, Any] = Field(sa_column=document())
    revision: int
    owner: str
    changed_at: datetime = Field(sa_column=instant(nullable=False))


class DecisionRow(Table, table=True):
    """Why a job started, or had to make room, when it did; `digest` is of all that was decided upon."""

    __tablename__ = "decisions"

    id: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(sa_column=instant(nullable=False, index=True))
    job_id: str = Field(index=True)
    kind: str
    node: str
    digest: str
    detail: dict[str, Any] = Field(sa_column=json_column())


class PromiseRow(Table, table=True):
    """The time by which a job that does not fit was first promised to start; there are few of these."""

    __tablename__ = "promises"

    job_id: str = Field(primary_key=True, foreign_key="jobs.id")
    at: datetime = Field(sa_column=instant(nullable=False))


class LeaseRow(Table, table=True):
    """Who leads a role. `epoch` grows with each new owner, `renewals` with each renewal."""

    __tablename__ = "leases"

    role: str = Field(primary_key=True)
    owner: str | None
    epoch: int
    renewals: int
    renewed_at: datetime = Field(sa_column=instant(nullable=False))


class TokenRow(Table, table=True):
    """A token; only its SHA-256 is kept. What it may is told by `levare.model.access`."""

    __tablename__ = "tokens"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    digest: str = Field(unique=True)
    role: str
    teams: dict[str, str] = Field(sa_column=Column(Json, nullable=False, server_default="{}"))
    """Team -> role in it."""
    created_at: datetime = Field(sa_column=instant(nullable=False))
    expires_at: datetime | None = Field(sa_column=instant())
    revoked_at: datetime | None = Field(sa_column=instant())
    used_at: datetime | None = Field(sa_column=instant())
    """When it last opened something, to within half a minute."""


class AuditRow(Table, table=True):
    """Who changed what, when, from where. `place` and `hash` seal it: see `levare.store.seal`."""

    __tablename__ = "audit"
    __table_args__ = (
        Index("ix_audit_place", "place", unique=True),
        Index("ix_audit_open", "id", sqlite_where=_IS_OPEN, postgresql_where=_IS_OPEN),
    )

    id: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(sa_column=instant(nullable=False, index=True))
    actor: str
    action: str
    object: str = Field(index=True)
    source: str
    detail: dict[str, Any] = Field(sa_column=json_column())
    place: int | None = Field(sa_type=BigInteger)
    """In the chain; NULL until it is sealed."""
    hash: str | None


jobs = metadata.tables["jobs"]
pipelines = metadata.tables["pipelines"]
needs = metadata.tables["needs"]
attempts = metadata.tables["attempts"]
logs = metadata.tables["logs"]
metrics = metadata.tables["metrics"]
nodes = metadata.tables["nodes"]
devices = metadata.tables["devices"]
leases = metadata.tables["leases"]
families = metadata.tables["families"]
teams = metadata.tables["teams"]
use = metadata.tables["use"]
use_days = metadata.tables["use_days"]
windows = metadata.tables["windows"]
decisions = metadata.tables["decisions"]
promises = metadata.tables["promises"]
tokens = metadata.tables["tokens"]
audit = metadata.tables["audit"]
