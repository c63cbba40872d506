"""What the API answers, as it comes over the wire: times are RFC 3339 strings, sizes MiB, durations seconds."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NotRequired, Required, TypedDict


class Need(TypedDict):
    """How a needed job must end: `on` is `success`, `failure` or `always`."""

    job: str
    on: str


class ArrayWish(TypedDict, total=False):
    """Many jobs in one: `size` of them, or one for each combination of `grid`, or one for each row of `list`."""

    size: int
    grid: Mapping[str, Sequence[str | float | bool]]
    list: Sequence[Mapping[str, str | float | bool]]
    cap: int | None


class ArrayProgress(TypedDict):
    """How many elements of an array are in which state; `opened` of them are jobs of their own."""

    size: int
    cap: int | None
    opened: int
    waiting: int
    running: int
    succeeded: int
    failed: int
    cancelled: int


class Wish(TypedDict, total=False):
    """What a submit may say about a job beside its command; what is left out is as the API's documentation says."""

    name: str
    team: str
    project: str
    priority: int
    gpus: int
    gpu_memory_mib: int | None
    cpus: int
    memory_mib: int
    scratch_mib: int
    gpu_model: str | None
    resources: Mapping[str, int]
    require: Mapping[str, str]
    prefer: Mapping[str, str]
    avoid: Mapping[str, str]
    nodes: int
    spread: bool
    needs: Sequence[str | Need]
    retries: int
    retry_on: Sequence[str]
    backoff_seconds: int
    memory_growth: float
    preemptible: bool
    min_runtime_seconds: int
    warning_signal: str | None
    warning_seconds: int
    deadline: str | datetime | None
    only_between: str | None
    timeout_seconds: int | None
    grace_seconds: int
    env: "Mapping[str, str | Secret]"
    cwd: str
    start_after: str | datetime | None
    array: ArrayWish | None
    code: Mapping[str, Any] | None
    on_lost: str


class Secret(TypedDict):
    """A secret by its name; its worker has the value."""

    secret: str


class Job(TypedDict):
    """`attempt` is the number of the latest attempt, 0 before any; `gpu_memory_mib` None means whole GPUs."""

    id: str
    name: str
    team: str
    project: str
    user: str
    state: str
    priority: int
    command: list[str]
    cwd: str
    env: "dict[str, str | Secret]"
    gpus: int
    gpu_memory_mib: int | None
    cpus: int
    memory_mib: int
    scratch_mib: int
    gpu_model: str | None
    resources: dict[str, int]
    require: dict[str, str]
    prefer: dict[str, str]
    avoid: dict[str, str]
    nodes: int
    spread: bool
    needs: list[str | Need]
    timeout_seconds: int | None
    grace_seconds: int
    retries: int
    retry_on: list[str]
    backoff_seconds: int
    memory_growth: float
    preemptible: bool
    min_runtime_seconds: int
    warning_signal: str | None
    warning_seconds: int
    deadline: str | None
    only_between: str | None
    on_lost: str
    start_after: str | None
    attempt: int
    node: str | None
    exit_code: int | None
    reason: str | None
    failure: str | None
    progress: float | None
    progress_from: str | None
    left_seconds: float | None
    left_from: str | None
    cost: float | None
    energy_joules: float | None
    currency: str
    created_at: str
    started_at: str | None
    finished_at: str | None
    cancel_requested_at: str | None
    pipeline: str | None
    step: str | None
    parameters: dict[str, Any]
    schedule: str | None
    due_at: str | None
    rerun: "dict[str, Any] | None"
    array: ArrayProgress | None
    array_id: str | None
    array_index: int | None


class Step(Wish, total=False):
    """A job of a pipeline that is to be; its `needs` may name other steps."""

    step: Required[str]
    command: Required[Sequence[str]]


class StepState(TypedDict):
    """A step of a pipeline; `needs` has steps by name, other jobs by id."""

    step: str
    job: str
    state: str
    needs: list[str | Need]
    reason: str | None
    started_at: str | None
    finished_at: str | None


class Pipeline(TypedDict):
    id: str
    name: str
    user: str
    state: str
    created_at: str
    steps: list[StepState]


class AttemptDevice(TypedDict):
    """A GPU that an attempt holds, and how much of its memory; `index` is None once it has left its node."""

    uuid: str
    index: int | None
    model: str
    memory_mib: int


class Attempt(TypedDict):
    id: str
    job: str
    number: int
    rank: int
    state: str
    node: str
    queue: str
    gpus: list[AttemptDevice]
    price: float | None
    node_share: float | None
    cost: float | None
    placed_at: str
    claimed_at: str | None
    started_at: str | None
    ended_at: str | None
    preempted_at: str | None
    preempted_for: str | None
    safe_at: str | None
    exit_code: int | None
    signal: int | None
    reason: str | None
    failure: str | None
    peak_memory_mib: int | None
    cpu_seconds: float | None
    gpu_memory_mib: int | None
    gpu_utilisation_percent: float | None
    energy_joules: float | None
    log_bytes: int
    points: int
    points_dropped: int


class Log(TypedDict):
    """
    Bytes of a log from `offset` on. `size` counts everything ever written.

    `cut` is the span just before `offset` that is no longer kept; with `complete` nothing more will come.
    """

    data: bytes
    offset: int
    next_offset: int
    size: int
    cut: tuple[int, int] | None
    complete: bool


class News(TypedDict):
    """
    A change of a state, or an event that came, as a CloudEvent: `type` is such as `levare.job.running`, `data` has
    `before` and `after`. `resync` says that some were left out: read anew what you keep.
    """

    specversion: str
    id: str
    source: str
    type: str
    time: str
    subject: NotRequired[str]
    data: NotRequired[Any]


class LogText(TypedDict):
    """A piece of what attempt `attempt` wrote, at its true offset."""

    event: Literal["log"]
    attempt: int
    offset: int
    data: bytes


class LogCut(TypedDict):
    """Bytes [start, end) of the attempt's log are no longer kept."""

    event: Literal["cut"]
    attempt: int
    start: int
    end: int


class LogEnd(TypedDict):
    """Nothing more will come of this attempt; `state` is the attempt's or, once that is final, the job's."""

    event: Literal["end"]
    attempt: int
    state: str
    exit_code: int | None
    reason: str | None


LogEvent = LogText | LogCut | LogEnd


class Point(TypedDict):
    """One line of an attempt's metrics file; infinities and NaN come as strings."""

    offset: int
    at: str
    stage: str | None
    step: int | None
    epoch: float | None
    values: dict[str, float | str]


class Samples(TypedDict):
    """Samples of an attempt, oldest first, and what it used in all; `at` is seconds since 1970, units are in names."""

    items: list[dict[str, Any]]
    usage: dict[str, float | None]


class Device(TypedDict):
    """
    A GPU of a node and the attempts on it.

    `ownership` is `free`, `ours`, `foreign` or `orphan`; of the last two `note` says who uses it.
    """

    uuid: str
    index: int
    model: str
    memory_mib: int
    free_mib: int
    simulated: bool
    excluded_until: str | None
    excluded_reason: str | None
    attempts: list[str]
    ownership: str
    note: str | None


class Orphan(TypedDict):
    """A process that an ended attempt left behind on GPUs of its node; `outcome` once it was to be ended."""

    pid: int
    attempt: str
    user: str
    command: str
    gpus: list[int]
    outcome: NotRequired[str]


class Reap(TypedDict):
    """The orphans of a node; `requested_at` is None once `reaped` tells what became of those that were to end."""

    node: str
    requested_at: str | None
    orphans: list[Orphan]
    reaped: list[Orphan]


class Node(TypedDict):
    """
    `sample` is the last heartbeat, None when none has come lately.

    Until `excluded_until`, where it is set, it takes nothing new, for `excluded_reason`; devices have the same.
    """

    name: str
    state: str
    cpus: int
    memory_mib: int
    cpus_free: int
    memory_free_mib: int
    devices: list[Device]
    version: str
    joined_at: str
    renewed_at: str
    labels: dict[str, str]
    scratch_mib: int
    scratch_free_mib: int
    resources: dict[str, int]
    resources_free: dict[str, int]
    address: str
    price: float | None
    excluded_until: str | None
    excluded_reason: str | None
    attempts: list[str]
    sample: dict[str, Any] | None


class Quota(TypedDict):
    """The most that somebody may use; None bounds nothing."""

    gpus: int | None
    running: int | None
    queued: int | None
    gpu_hours: float | None
    period_seconds: int
    borrow: bool


class Team(TypedDict):
    """A team: what is declared of it, what it uses, and its place in the queue."""

    name: str
    declared: bool
    weight: float
    quota: Quota
    projects: dict[str, Quota]
    users: dict[str, Quota]
    members: dict[str, str]
    entitled_percent: float
    used_percent: float
    used_gpu_hours: float
    period_gpu_hours: float
    gpus: float
    borrowed_gpus: float
    running: int
    queued: int
    rank: int
    why: str
    revision: NotRequired[int]
    """0 where nothing is declared; not told by older servers."""
    updated_at: str | None


class Window(TypedDict):
    """A time for which nodes are kept: for maintenance where `team` is None, else for that team."""

    name: str
    nodes: list[str]
    starts: str
    ends: str
    team: str | None
    user: str | None
    reason: str
    created_by: str
    created_at: str


class Family(TypedDict):
    """Jobs of one team, project and name; `held_until` is None unless it is held back for `held_reason`."""

    name: str
    runs: int
    typical_seconds: float | None
    promised_seconds: float | None
    fast_failures: int
    held_until: str | None
    held_reason: str | None
    updated_at: str


class Turn(TypedDict):
    """A job's turn in a decision: `outcome` is `started`, `no-room`, `borrows`, or the code of a reason."""

    job: str
    outcome: str
    level: int
    team: str
    team_gpu_hours: float
    team_part_percent: float | None
    user: str
    user_gpu_hours: float
    user_part_percent: float | None


class Start(TypedDict):
    """A start of a job: its turn was the `turn`th of `turns`; `before` are the last of those before it."""

    at: str
    node: str
    digest: str
    turn: int
    turns: int
    own: Turn
    before: list[Turn]


class Receipt(TypedDict):
    """Every start of a job that is kept; `compared` says why another job did not start before it, if asked."""

    job: str
    starts: list[Start]
    compared: str | None


class Token(TypedDict):
    """`token` is there only in the answer that creates it."""

    id: str
    name: str
    role: str
    teams: dict[str, str]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    used_at: str | None
    token: NotRequired[str]


class Health(TypedDict):
    """
    `ok`, or what is wrong, for each part behind the API; `ready` tells whether the API can work.

    `skew_seconds` is how far its clock is ahead of ours, to a second; None when it does not tell.
    """

    ready: bool
    skew_seconds: float | None
    database: str
    redis: str
    beat: NotRequired[str]
    """Not told by older servers."""
