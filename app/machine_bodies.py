"""What machines say and hear."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from app.answers import At
from levare.manifest.jobs import MOST_MIB
from levare.manifest.patterns import NO_NUL, ONE_LINE
from levare.manifest.pools import MachineName
from levare.manifest.values import WHOLE, Body, Labels
from levare.store.machines import Report

Amount = Annotated[int, Field(ge=0, le=MOST_MIB), WHOLE]


class InvitationRequest(Body):
    """A code for one machine."""

    machine: MachineName | None = Field(
        None, description="The only name that may join by it; one that is known comes back only so.", examples=["atlas"]
    )
    expires_in_seconds: Annotated[int, Field(ge=10, le=86400), WHOLE] = Field(
        900, description="For how long it is valid.", examples=[900]
    )


class Invitation(BaseModel):
    code: str | None = Field(
        description="In this answer and nowhere else; null in a dry run.",
        examples=["lvj_nQ3v1b8-zkY0pT2fWm4RcXeA7uHsJd5L"],
    )
    machine: str | None = Field(examples=["atlas"])
    expires_at: At


class JoinRequest(Body):
    """A machine that comes in."""

    code: Annotated[str, Field(pattern=ONE_LINE, min_length=1, max_length=100)] = Field(
        description="As POST /v1/nodes/invitations gave it.", examples=["lvj_nQ3v1b8-zkY0pT2fWm4RcXeA7uHsJd5L"]
    )
    name: MachineName = Field(description="What the machine is called from now on.", examples=["atlas"])


class Joined(BaseModel):
    """What the machine needs; it is secret, and in this answer only."""

    machine: str = Field(examples=["atlas"])
    token: str | None = Field(
        description="By which it asks what is wanted of it; it opens nothing else. Null in a dry run.",
        examples=["lv_..."],
    )
    database: str | None = Field(
        description="What its workers get as LEVARE_DATABASE; null in a dry run.",
        examples=["postgresql+psycopg://levare:...@atlas/levare"],
    )
    redis: str | None = Field(
        description="What its workers get as LEVARE_REDIS; null in a dry run.", examples=["redis://:...@atlas:6379/0"]
    )
    lost_after_seconds: int = Field(description="What they get as LEVARE_LOST_AFTER.", examples=[60])


class Gpu(Body):
    """A real GPU of the machine."""

    uuid: Annotated[str, Field(pattern=NO_NUL, max_length=100)] = Field(examples=["GPU-5b1c"])
    index: Annotated[int, Field(ge=0, le=1024), WHOLE] = Field(examples=[0])
    memory_mib: Amount = Field(examples=[81920])
    model: Annotated[str, Field(pattern=NO_NUL, max_length=200)] = Field("", examples=["NVIDIA H100"])


class RunningWorker(Body):
    """What a machine runs as one of its workers."""

    pid: Annotated[int, Field(ge=0, le=1 << 31), WHOLE] | None = Field(
        None, description="Of its process; null between two starts.", examples=[4711]
    )
    starts: Annotated[int, Field(ge=0, le=1 << 31), WHOLE] = Field(
        0, description="How often it was started by this agent.", examples=[1]
    )
    note: Annotated[str, Field(pattern=NO_NUL, max_length=500)] | None = Field(
        None, description="What is wrong with it.", examples=["It ended with exit code 1."]
    )


class PollRequest(Body):
    """What a machine says of itself."""

    version: Annotated[str, Field(pattern=ONE_LINE, max_length=50)] = Field(
        description="Of levare.", examples=["0.1.0"]
    )
    labels: Labels = Field(default_factory=dict, description="By which pools select it.", examples=[{"zone": "a"}])
    cpus: Annotated[int, Field(ge=1, le=65536), WHOLE] = Field(examples=[64])
    memory_mib: Amount = Field(examples=[262144])
    scratch_mib: Amount = Field(0, examples=[1048576])
    gpus: list[Gpu] = Field(default_factory=list, max_length=1024)
    workers: Annotated[
        dict[Annotated[str, Field(pattern=NO_NUL, max_length=63)], RunningWorker],
        Field(max_length=2000, json_schema_extra={"additionalProperties": False}),
    ] = Field(default_factory=dict, description="What it runs, by name; also what it has still to end.")

    def report(self) -> Report:
        return Report(**self.model_dump(mode="json"))


class WantedWorker(BaseModel):
    """A worker that a machine is to run, or to end when it is `stopping`."""

    name: str = Field(examples=["atlas-small-3"])
    state: Literal["wanted", "draining", "stopping"] = Field(examples=["wanted"])
    cpus: int | None = Field(description="Null for all.", examples=[8])
    memory_mib: int | None = Field(description="Null for all.", examples=[65536])
    scratch_mib: int | None = Field(description="Null for what is free.", examples=[131072])
    gpus: list[str] | None = Field(description="UUIDs of real GPUs; null for all.", examples=[["GPU-5b1c"]])
    simulated_gpus: str = Field(examples=["4x80GiB"])
    labels: dict[str, str] = Field(examples=[{"pool": "small", "machine": "atlas"}])
    price: float | None = Field(examples=[2.5])


class Poll(BaseModel):
    workers: list[WantedWorker]


class Machine(BaseModel):
    """A machine on which `levare node run` starts what pools ask for."""

    name: str = Field(examples=["atlas"])
    state: Literal["ready", "draining", "away"] = Field(
        description="`away` has not asked for half a minute; `draining` lets all its workers go.", examples=["ready"]
    )
    seen_at: At | None = Field(description="When it last asked; null for never.")
    joined_at: At
    invited_by: str = Field(description="The name of the token that invited it.", examples=["ada"])
    draining_by: str | None = Field(description="Who wants it empty.", examples=["ada"])
    version: str = Field(description="Of levare, there.", examples=["0.1.0"])
    labels: dict[str, str] = Field(examples=[{"zone": "a"}])
    cpus: int = Field(examples=[64])
    memory_mib: int = Field(examples=[262144])
    scratch_mib: int = Field(examples=[1048576])
    gpus: list[Gpu]
    workers: list[str] = Field(description="The names of its workers.", examples=[["atlas-small-1"]])


class Machines(BaseModel):
    items: list[Machine]


class WantedMachineState(Body):
    state: Literal["ready", "draining"] = Field(
        description="`draining` lets all its workers go, each when nothing runs on it any more.", examples=["draining"]
    )
