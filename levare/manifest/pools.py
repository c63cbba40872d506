"""Pools: which nodes belong together, and how many workers they run."""

from typing import Annotated, Any

from pydantic import Field

from levare.manifest.patterns import MODEL
from levare.manifest.values import WHOLE, Body, Hours, Labels

_MOST_WORKERS = 10_000
_MOST_MIB = 1 << 30
Count = Annotated[int, Field(ge=0, le=_MOST_WORKERS), WHOLE]


class Scaling(Body):
    """As many workers as the queue asks for, within bounds."""

    min: Count = Field(0, description="Never fewer.", examples=[1])
    max: Count = Field(description="Never more.", examples=[6])
    queue_per_worker: Annotated[int, Field(ge=1, le=100_000), WHOLE] = Field(
        1, description="One more worker for each so many jobs that wait.", examples=[4]
    )


class PoolRequest(Body):
    """The nodes with these labels, the workers that they run, and what each node offers."""

    select: Labels = Field(default_factory=dict, description="Labels that its nodes have.", examples=[{"pool": "big"}])
    workers: Count | Scaling = Field(1, description="A number, or bounds between which the queue decides.")
    price_per_hour: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] | None = Field(
        None, description="Of a node, in the currency of the team.", examples=[2.5]
    )
    windows: list[Hours] = Field(
        default_factory=list, max_length=20, description="Hours in UTC in which it runs; always by default."
    )
    gpus: Annotated[int, Field(ge=0, le=64), WHOLE] | None = Field(
        None, description="GPUs of each node; null if that is unknown.", examples=[4]
    )
    gpu_memory_mib: Annotated[int, Field(ge=1, le=_MOST_MIB), WHOLE] | None = Field(
        None, description="MiB of each GPU.", examples=[81920]
    )
    gpu_model: Annotated[str, Field(pattern=MODEL, max_length=100)] | None = Field(
        None, description="The model of its GPUs.", examples=["H100"]
    )
    cpus: Annotated[int, Field(ge=1, le=65536), WHOLE] | None = Field(
        None, description="CPUs of each node.", examples=[64]
    )
    memory_mib: Annotated[int, Field(ge=1, le=_MOST_MIB), WHOLE] | None = Field(
        None, description="MiB of main memory of each node.", examples=[524288]
    )
    description: Annotated[str, Field(pattern=r"^[^\x00]*$", max_length=2000)] = Field("", description="For people.")

    def definition(self) -> dict[str, Any]:
        """As it is kept."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
