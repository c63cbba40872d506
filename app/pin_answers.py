"""What the API answers of what runs were pinned to, and takes to repeat one."""

from typing import Annotated

from pydantic import BaseModel, Field

from app.answers import At, AttemptState, Job, Rerun, SecretReference
from app.bodies import Body
from app.failures import FailureChange
from levare.manifest.values import WHOLE


class Missing(BaseModel):
    """What of a run is not pinned, or could not be restored."""

    what: str = Field(
        description="`attempt`, `code`, `untracked`, `dependencies`, `interpreter`, `seed`, `data` or `inputs`.",
        examples=["seed"],
    )
    why: str = Field(description="In a sentence.", examples=["No seed was declared."])


class PinnedCode(BaseModel):
    """The checkout that the working directory is in."""

    commit: str = Field(examples=["3f2a9c1d0b7e5f8a6c4d2e1f0a9b8c7d6e5f4a3b"])
    branch: str = Field(description="HEAD for none.", examples=["main"])
    root: str = Field(description="Its folder on the node.", examples=["/home/ann/run"])
    dirty: bool | None = Field(description="Whether files differed from the commit; null if unknown.", examples=[True])
    diff: str | None = Field(description="A digest of what differed.", examples=["9be1c02a77d4"])
    diff_bytes: int | None = Field(None, description="How long that is.", examples=[2048])
    patch_kept: bool = Field(True, description="False where it was longer than 256 KiB.", examples=[True])
    untracked: int | None = Field(
        None, description="Files and folders that git did not know; null if unknown.", examples=[1]
    )
    untracked_names: list[str] = Field([], description="At most 50 of them.", examples=[["notes.txt"]])
    submodules: bool = Field(False, description="Whether it has some; they are not restored.", examples=[False])


class PinnedRun(BaseModel):
    """An attempt, and how it stands."""

    job: str = Field(examples=["a1b2c3d4e5"])
    name: str = Field(examples=["resnet-50"])
    attempt: str = Field(examples=["a1b2c3d4e5-1"])
    number: int = Field(examples=[1])
    state: AttemptState = Field(examples=["succeeded"])
    node: str = Field(examples=["node-a"])
    started_at: At | None
    seconds: float | None = Field(description="How long it ran; null while it runs.", examples=[3600.0])
    exit_code: int | None = Field(examples=[0])
    missing: list[Missing] = Field(description="What of it is not known or could not be restored.")


class Pins(PinnedRun):
    """All that an attempt was pinned to, as its node saw it when it started."""

    command: list[str] = Field(examples=[["python", "train.py"]])
    cwd: str = Field(examples=["/home/ann/run"])
    env: dict[str, str | SecretReference] = Field(description="What its job gave it.", examples=[{"LEVARE_SEED": "1"}])
    environment: dict[str, str] = Field(description="What its node gave it besides.", examples=[{"TZ": "UTC"}])
    parameters: dict[str, str | bool | int | float] = Field(examples=[{"lr": 0.1}])
    code: PinnedCode | None = Field(description="null without a repository, or where git told nothing.")
    patch: str | None = Field(description="The uncommitted changes, if `patch` asks for them.", examples=[None])
    script: dict[str, str] | None = Field(examples=[{"path": "train.py", "digest": "4be1a09c77d2"}])
    locks: dict[str, str] = Field(
        description="Digests of lock files and lists of requirements, of the working directory and of its checkout.",
        examples=[{"uv.lock": "4be1a09c77d2"}],
    )
    packages: list[str] = Field(description="What was installed for its Python.", examples=[["numpy==2.1.0"]])
    editable: list[str] = Field(description="Folders of the checkout that are installed as they stand.", examples=[[]])
    python: str | None = Field(description="The interpreter.", examples=["/home/ann/run/.venv/bin/python"])
    python_version: str | None = Field(examples=["3.11.9"])
    seed: str | None = Field(description="LEVARE_SEED.", examples=["1"])
    data_id: str | None = Field(description="LEVARE_DATA.", examples=["imagenet@v3"])
    data: dict[str, str] | None = Field(
        description="Digests of data that is named by its path: `content:` of all bytes, or `listing:` of names, sizes "
        "and times where there is much.",
        examples=[{"train": "content:9f1c3a520b6e4c1e"}],
    )
    driver: str | None = Field(description="NVIDIA's.", examples=["550.54.15"])
    kernel: str | None = Field(examples=["6.8.0"])
    gpu_models: list[str] = Field(examples=[["NVIDIA H100"]])
    rerun: Rerun | None = Field(description="Which run it repeats.")


class EndMetric(BaseModel):
    """The last value of a metric in both; null where it was not told. NaN and infinities as in a line."""

    stage: str = Field(examples=["train"])
    name: str = Field(examples=["loss"])
    before: float | str | None = Field(examples=[0.31])
    after: float | str | None = Field(examples=[0.29])


class Diff(BaseModel):
    """Two runs, and what differs as far as it is known of both."""

    before: PinnedRun
    after: PinnedRun
    changes: list[FailureChange]
    metrics: list[EndMetric]


class RerunRequest(Body):
    """How a run is repeated."""

    attempt: Annotated[int, Field(ge=1, le=1_000_000), WHOLE] | None = Field(
        None, description="Which attempt of the job; the latest by default.", examples=[1]
    )
    pinned: bool = Field(
        True, description="With the code and environment of then; false for what is there now.", examples=[True]
    )
    strict: bool = Field(
        False,
        description="Refused if anything is not pinned; and it does not start where anything differs.",
        examples=[False],
    )


class Repeated(BaseModel):
    """The new job, which run it repeats, and what of that is not as it was."""

    job: Job
    repeats: str | None = Field(description="The attempt; null where nothing is pinned.", examples=["a1b2c3d4e5-1"])
    code_restored: bool = Field(description="Whether it gets the code of then.", examples=[True])
    missing: list[Missing]
