"""What the API answers, described for its readers, and how it becomes JSON."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, Field
from pydantic_core import PydanticSerializationError, to_json
from starlette.responses import Response

from levare.manifest.values import FailureName

JobState = Literal["blocked", "waiting", "placed", "starting", "running", "succeeded", "failed", "cancelled"]
AttemptState = Literal[
    "placed",
    "starting",
    "running",
    "succeeded",
    "failed",
    "timed_out",
    "out_of_memory",
    "cancelled",
    "preempted",
    "lost",
]
NextCursor = Annotated[str | None, Field(description="The `cursor` of the next page; null on the last.")]
At = Annotated[AwareDatetime, Field(examples=["2030-01-01T12:00:00.250000Z"])]


class Need(BaseModel):
    """How a needed job must end, where it is not its success."""

    job: str = Field(examples=["a1b2c3d4e5"])
    on: Literal["success", "failure", "always"] = Field(examples=["failure"])


Grid = dict[str, list[str | bool | int | float]]
ListOfRows = list[dict[str, str | bool | int | float]]
"""Here, for in a model with a field `list` the name means that field from Python 3.14 on."""


class ArrayProgress(BaseModel):
    """How many elements of an array are in which state; they add up to its size."""

    size: int = Field(examples=[200])
    cap: int | None = Field(description="The most that are begun and not ended; null for no limit.", examples=[8])
    opened: int = Field(description="How many have become jobs, with ids like k3v9x2m1qa_0.", examples=[45])
    waiting: int = Field(examples=[155])
    running: int = Field(description="Placed, starting or running.", examples=[8])
    succeeded: int = Field(examples=[36])
    failed: int = Field(examples=[1])
    cancelled: int = Field(examples=[0])


class ArrayWish(BaseModel):
    """What tells the elements of an array apart, as a submit takes it."""

    size: int | None = Field(examples=[100])
    grid: Grid | None = Field(examples=[{"lr": [0.1, 0.01]}])
    list: ListOfRows | None = Field(examples=[None])
    cap: int | None = Field(examples=[3])


class SecretReference(BaseModel):
    """A secret by its name."""

    secret: str = Field(examples=["HUB_KEY"])


class Rerun(BaseModel):
    """That a job repeats a run."""

    attempt: str = Field(description="The run.", examples=["a1b2c3d4e5-1"])
    code: bool = Field(description="Whether its code is restored.", examples=[True])
    strict: bool = Field(description="Whether it does not start where anything differs.", examples=[False])


class Job(BaseModel):
    """A wish to run a command, and what became of it."""

    id: str = Field(description="Ten lower-case letters and digits.", examples=["k3v9x2m1qa"])
    name: str = Field(examples=["resnet-50"])
    team: str = Field(examples=["vision"])
    project: str = Field(examples=["imagenet"])
    user: str = Field(description="The name of the token that submitted it.", examples=["admin"])
    state: JobState = Field(description="Where it stands.", examples=["running"])
    priority: int = Field(description="From 0 to 9; 9 is the most urgent.", examples=[5])
    command: list[str] = Field(examples=[["python", "train.py"]])
    cwd: str = Field(description="Empty for a directory of its own under LEVARE_HOME.", examples=["/data/imagenet"])
    env: dict[str, str | SecretReference] = Field(
        description="Its variables; of secrets only their names.",
        examples=[{"SEED": "1", "API_KEY": {"secret": "HUB_KEY"}}],
    )
    gpus: int = Field(examples=[2])
    gpu_memory_mib: int | None = Field(description="MiB of each GPU; null for whole GPUs.", examples=[20480])
    cpus: int = Field(examples=[8])
    memory_mib: int = Field(description="MiB of main memory.", examples=[32768])
    scratch_mib: int = Field(description="MiB of disk for its own files.", examples=[51200])
    gpu_model: str | None = Field(description="A part of the model's name; null for any.", examples=["H100"])
    resources: dict[str, int] = Field(description="How many of each custom resource.", examples=[{"licence": 1}])
    require: dict[str, str] = Field(description="Labels that its node must have.", examples=[{"disk": "nvme"}])
    prefer: dict[str, str] = Field(description="Labels that choose among nodes that serve.", examples=[{"zone": "a"}])
    avoid: dict[str, str] = Field(description="Labels that its node must not have.", examples=[{"node": "node-b"}])
    nodes: int = Field(description="On how many nodes it runs at once, with all it asks for on each.", examples=[1])
    spread: bool = Field(description="On the emptiest node that serves, not the fullest.", examples=[False])
    needs: list[str | Need] = Field(
        description="Jobs that must end first: ids of those that must succeed, objects for others.",
        examples=[["a1b2c3d4e5"]],
    )
    timeout_seconds: int | None = Field(description="Seconds until it is ended; null for never.", examples=[3600])
    grace_seconds: int = Field(description="Seconds from SIGTERM to SIGKILL.", examples=[10])
    retries: int = Field(description="How often it is started again after a failure.", examples=[2])
    retry_on: list[str] = Field(
        description="The endings after which it is started again; empty for all that a retry can cure.",
        examples=[["out_of_memory", "exit:75"]],
    )
    backoff_seconds: int = Field(description="Seconds until the first retry; doubled for each one more.", examples=[30])
    memory_growth: float = Field(
        description="What its memory is multiplied with after it ran out of it.", examples=[1.5]
    )
    preemptible: bool = Field(description="Whether it may be ended to make room.", examples=[True])
    min_runtime_seconds: int = Field(description="Seconds that it runs before it may be preempted.", examples=[300])
    warning_signal: str | None = Field(description="What it gets before SIGTERM; without SIG.", examples=["USR1"])
    warning_seconds: int = Field(description="Seconds from the warning signal to SIGTERM.", examples=[60])
    deadline: At | None = Field(description="When it should be done.")
    only_between: str | None = Field(
        description="The hours of the day, in UTC, in which it may start.", examples=["22:00-06:00"]
    )
    on_lost: Literal["keep", "requeue"] = Field(description="What happens when its node falls silent.")
    start_after: At | None = Field(description="It does not start before this.")
    attempt: int = Field(description="The number of its latest attempt, 0 before any.", examples=[1])
    node: str | None = Field(description="Where it is, or last was.", examples=["node-a"])
    exit_code: int | None = Field(description="128 + signal if it ended by a signal.", examples=[0])
    reason: str | None = Field(description="How it ended, in a sentence.", examples=["Exited with code 0."])
    failure: FailureName | None = Field(
        description="By what its latest attempt has failed; null for what has not.", examples=["gpu_memory"]
    )
    progress: float | None = Field(description="From 0 to 1, as the training tells it.", examples=[0.4])
    progress_from: Literal["told", "steps", "epochs"] | None = Field(
        description="`told` by the training, or taken from its steps or epochs of those that it said there will be.",
        examples=["told"],
    )
    left_seconds: float | None = Field(
        description="Seconds that it will still run, while it runs; null where nothing tells.", examples=[840.0]
    )
    left_from: Literal["progress", "steps", "epochs", "history"] | None = Field(
        description="What that is taken from: its own pace, or how long the runs of its family took (`history`).",
        examples=["progress"],
    )
    cost: float | None = Field(
        description="What its attempts have cost that have ended, of an array all elements; null without a price.",
        examples=[12.5],
    )
    energy_joules: float | None = Field(
        description="What GPUs have consumed for these attempts; null where none counts it.", examples=[3600000.0]
    )
    currency: str = Field(description="Of the cost: LEVARE_CURRENCY; may be empty.", examples=["EUR"])
    created_at: At
    started_at: At | None = Field(description="When its latest attempt started.")
    finished_at: At | None
    cancel_requested_at: At | None = Field(description="When somebody asked to cancel it.")
    pipeline: str | None = Field(description="The id of the pipeline that it is a step of.", examples=["p7d2m9x4ka"])
    step: str | None = Field(description="Its name there.", examples=["train"])
    array: ArrayProgress | None = Field(description="How far its elements are, if it is an array.")
    array_id: str | None = Field(description="The array that it is an element of.", examples=["k3v9x2m1qa"])
    array_index: int | None = Field(description="Which of them, from 0.", examples=[7])
    parameters: dict[str, str | bool | int | float] = Field(
        description="What tells it from the other elements of a sweep, or what its schedule or trigger gave it.",
        examples=[{"lr": 0.1, "seed": 1}],
    )
    schedule: str | None = Field(description="The schedule that submitted it.", examples=["nightly"])
    trigger: str | None = Field(description="The trigger that submitted it.", examples=["new-data"])
    due_at: At | None = Field(description="The due time of the schedule that it is for.")
    rerun: Rerun | None = Field(description="Which run it repeats; null for none.")


class Jobs(BaseModel):
    items: list[Job]
    next_cursor: NextCursor


class HeldGpu(BaseModel):
    """What an attempt holds of a GPU."""

    uuid: str = Field(examples=["GPU-5d5ba0c6-d33d-2b2c-524d-9e3d8d2b8a77"])
    index: int | None = Field(description="Its number on the node; null if it has left the node.", examples=[0])
    model: str = Field(examples=["NVIDIA H100"])
    memory_mib: int = Field(description="MiB of it.", examples=[20480])


class Attempt(BaseModel):
    """One try of a job on one node; a gang has one on each of its nodes, with the same number."""

    id: str = Field(description="Also the id of its Celery task.", examples=["k3v9x2m1qa-1"])
    job: str = Field(examples=["k3v9x2m1qa"])
    number: int = Field(description="1 for the first.", examples=[1])
    rank: int = Field(
        description="Which part of a gang it is; 0 for the first, and for a job on one node.", examples=[0]
    )
    state: AttemptState = Field(examples=["running"])
    node: str = Field(examples=["node-a"])
    queue: str = Field(description="The Celery queue that it was sent to.", examples=["gpu.node-a"])
    gpus: list[HeldGpu]
    price: float | None = Field(
        description="Of an hour of the whole node when it was placed; null for a node without one.", examples=[2.5]
    )
    node_share: float | None = Field(
        description="From 0 to 1: the greatest of its parts of the GPUs, CPUs and memory of the node.", examples=[0.25]
    )
    cost: float | None = Field(description="Both for as long as it held its part; null until it is over.", examples=[1])
    placed_at: At
    claimed_at: At | None
    started_at: At | None
    ended_at: At | None
    preempted_at: At | None = Field(description="When it was told to make room.")
    preempted_for: str | None = Field(description="For which job.", examples=[None])
    safe_at: At | None = Field(description="When it last saved a checkpoint, as far as its folder tells.")
    exit_code: int | None = Field(examples=[0])
    signal: int | None = Field(description="The signal that ended it.", examples=[9])
    reason: str | None = Field(examples=["Exited with code 0."])
    failure: FailureName | None = Field(
        description="The class of its failure; null while it lives, and where it succeeded or was cancelled.",
        examples=["gpu_memory"],
    )
    peak_memory_mib: int | None = Field(description="MiB of main memory at most.", examples=[2048])
    cpu_seconds: float | None = Field(description="Seconds of CPU time.", examples=[120.5])
    gpu_memory_mib: int | None = Field(description="MiB of GPU memory at most.", examples=[18000])
    gpu_utilisation_percent: float | None = Field(description="Mean over its GPUs and its life.", examples=[87.5])
    energy_joules: float | None = Field(
        description="What its GPUs consumed for it, by their own counters; null where none has one.",
        examples=[3600000.0],
    )
    log_bytes: int = Field(description="Bytes that it has written, cuts included.", examples=[4096])
    points: int = Field(description="Lines of metrics that were taken.", examples=[100])
    points_dropped: int = Field(description="Lines of metrics that were not valid.", examples=[0])


class Attempts(BaseModel):
    items: list[Attempt]


class Point(BaseModel):
    """One line of a metrics file."""

    offset: int = Field(description="Where the line begins, in bytes.", examples=[0])
    at: At
    stage: str | None = Field(examples=["train"])
    step: int | None = Field(examples=[10])
    epoch: float | None = Field(examples=[1.0])
    values: dict[str, float | str] = Field(
        description="NaN and infinities are the strings NaN, Infinity and -Infinity.", examples=[{"loss": 0.31}]
    )


Sample = Annotated[
    dict[str, float],
    Field(
        description="`at` in seconds since 1970; all other names end in their unit. An item of several `seconds` has "
        "means, and NAME_lowest and NAME_highest where these differ. docs/monitoring-samples.md lists the names.",
        examples=[{"at": 1790000000.0, "cpu_percent": 12.5}],
    ),
]


class Usage(BaseModel):
    """What an attempt used in all; null until it is over or measured."""

    peak_memory_mib: int | None = Field(examples=[2048])
    cpu_seconds: float | None = Field(examples=[120.5])
    gpu_memory_mib: int | None = Field(examples=[18000])
    gpu_utilisation_percent: float | None = Field(examples=[87.5])


class Samples(BaseModel):
    items: list[Sample] = Field(description="Oldest first; one a second where no time and no step was asked for.")
    usage: Usage


class NodeSamples(BaseModel):
    items: list[Sample] = Field(description="Oldest first; one a second where no time and no step was asked for.")


class Device(BaseModel):
    """A GPU of a node."""

    uuid: str = Field(examples=["GPU-5d5ba0c6-d33d-2b2c-524d-9e3d8d2b8a77"])
    index: int = Field(examples=[0])
    model: str = Field(examples=["NVIDIA H100"])
    memory_mib: int = Field(description="MiB in all.", examples=[81920])
    free_mib: int = Field(description="MiB that no attempt holds.", examples=[61440])
    simulated: bool = Field(description="True for a GPU that exists only in the bookkeeping.")
    excluded_until: At | None = Field(description="It takes nothing new until then; null for a GPU in use.")
    excluded_reason: str | None = Field(
        description="Why, in a sentence.", examples=["3 attempts in a row failed on it within a minute."]
    )
    attempts: list[str] = Field(description="Ids of the attempts on it.", examples=[["k3v9x2m1qa-1"]])
    ownership: Literal["free", "ours", "foreign", "orphan"] = Field(
        description="Whose it is by what runs on it; one that is `foreign` or `orphan` is not offered to jobs."
    )
    note: str | None = Field(
        description="Who uses it besides levare; null where nobody does.",
        examples=["GPU 0 of node-a is used by process 4711 of bob (python train.py), which levare did not start."],
    )


class Orphan(BaseModel):
    """A process that an ended attempt left behind on GPUs of its node."""

    pid: int = Field(examples=[4711])
    attempt: str = Field(description="The attempt that it was of.", examples=["k3v9x2m1qa-1"])
    user: str = Field(examples=["alice"])
    command: str = Field(description="Shortened.", examples=["python train.py"])
    gpus: list[int] = Field(description="Their numbers on the node.", examples=[[0]])


class Reaped(Orphan):
    """What became of it."""

    outcome: Literal["ended", "killed", "gone", "spared", "remains"] = Field(
        description="`ended` by TERM or `killed`; `gone` before; `spared` for lack of proof; or it `remains`."
    )


class Reap(BaseModel):
    """The orphans of a node, and what became of those that it was last told to end."""

    node: str = Field(examples=["node-a"])
    requested_at: At | None = Field(description="When ending them was asked for; null once it is done.")
    orphans: list[Orphan]
    reaped: list[Reaped]


class Node(BaseModel):
    """A machine with a worker."""

    name: str = Field(examples=["node-a"])
    state: Literal["ready", "draining", "lost"] = Field(description="Only a ready node takes new attempts.")
    cpus: int = Field(examples=[16])
    memory_mib: int = Field(description="MiB that it offers.", examples=[131072])
    cpus_free: int = Field(examples=[8])
    memory_free_mib: int = Field(description="MiB that no attempt has asked for.", examples=[65536])
    devices: list[Device]
    version: str = Field(description="Of levare on it.", examples=["0.1.0"])
    joined_at: At
    renewed_at: At = Field(description="When it last said that it lives.")
    labels: dict[str, str] = Field(
        description="What its owner says of it, its name as `node`, and the model of its first GPU as `gpu`.",
        examples=[{"zone": "a", "node": "node-a", "gpu": "nvidia-h100"}],
    )
    scratch_mib: int = Field(description="MiB of disk that it offers.", examples=[1048576])
    scratch_free_mib: int = Field(description="MiB of it that no attempt has asked for.", examples=[524288])
    resources: dict[str, int] = Field(description="Its custom resources.", examples=[{"licence": 3}])
    resources_free: dict[str, int] = Field(description="How many of each no attempt holds.", examples=[{"licence": 2}])
    address: str = Field(description="Where the other nodes of a job reach it.", examples=["10.0.0.7"])
    price: float | None = Field(description="Of an hour of all of it; null where nobody has said.", examples=[2.5])
    excluded_until: At | None = Field(description="It takes nothing new until then; null for a node in use.")
    excluded_reason: str | None = Field(
        description="Why, in a sentence.", examples=["4 attempts in a row failed on it within a minute."]
    )
    attempts: list[str] = Field(description="Ids of the attempts on it.", examples=[["k3v9x2m1qa-1"]])
    sample: Sample | None = Field(description="Its last heartbeat; null if that is older than 15 s.")


class Nodes(BaseModel):
    items: list[Node]


class Family(BaseModel):
    """Jobs of one team, project and name: runs of the same work."""

    name: str = Field(description="team/project/name of its jobs.", examples=["vision/imagenet/resnet-50"])
    runs: int = Field(description="How many successful runs its times are from, the last 50 at most.", examples=[12])
    typical_seconds: float | None = Field(description="Half of its runs took less; null before any.", examples=[3600.0])
    promised_seconds: float | None = Field(
        description="9 of 10 runs took less; twice the longest of few.", examples=[4200.0]
    )
    fast_failures: int = Field(description="Jobs in a row that failed within 60 s of their start.", examples=[0])
    held_until: At | None = Field(description="None of it starts until then; null if it is not held.")
    held_reason: str | None = Field(description="Why it is held, and what to do.")
    updated_at: At


class Families(BaseModel):
    items: list[Family]
    next_cursor: NextCursor


class Token(BaseModel):
    id: str = Field(examples=["k3v9x2m1qa"])
    name: str = Field(examples=["laptop"])
    role: str = Field(
        description="What it may beyond its teams: `admin` everything, `metrics`, `node`, or `team` nothing.",
        examples=["team"],
    )
    teams: dict[str, str] = Field(
        description="Its role in each of its teams: `viewer`, `member` or `admin`.", examples=[{"vision": "member"}]
    )
    created_at: At
    expires_at: At | None = Field(description="null for never.")
    revoked_at: At | None
    used_at: At | None = Field(description="When it last opened something, to within half a minute; null for never.")


class NewToken(Token):
    token: str | None = Field(description="Shown this once; null in a dry run.", examples=["lv_2Vn..."])


class Tokens(BaseModel):
    items: list[Token]


class Health(BaseModel):
    status: Literal["ok"]


class Readiness(BaseModel):
    """`ok`, or what is wrong, for each part."""

    database: str = Field(examples=["ok"])
    redis: str = Field(examples=["ok"])
    beat: str = Field(
        description="Whether somebody decides what starts; does not count for the status.", examples=["ok"]
    )


def answer(content: Any, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    """JSON as it is; the fields have been picked by the models above, so nothing is checked twice."""
    return Response(_bytes_of(text_of(content)), status, headers, "application/json")


def listed(items: Sequence[Any], **more: Any) -> Response:
    """
    The answer to a list: `items`, and what goes with them.

    Items come from SQL, whose times are UTC: what writes them then may be four times as fast as `json`.
    """
    content = {"items": items, **more}
    try:
        body = to_json(content)
    except PydanticSerializationError:  # text with half a character in it, which only `json` can write
        body = _bytes_of(text_of(content))
    return Response(body, media_type="application/json")


def _bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def text_of(content: Any) -> str:
    """JSON in one line; times in UTC."""
    return json.dumps(content, default=_plain, ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC).isoformat().removesuffix('+00:00')}Z"
    return vars(value)
