"""What is declared of pools."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, WrapValidator

from levare.decide.declared_pools import MOST_WORKERS, check_hours
from levare.errors import Contradiction, Fault
from levare.manifest.jobs import MOST_MIB
from levare.manifest.patterns import MACHINE, POOL, SIMULATED
from levare.manifest.schedules import CalendarRequest, Line, without_null
from levare.manifest.values import MOST_SECONDS, WHOLE, Body, Labels, refusal
from levare.written import simulated_devices

_GIVEN = ("node", "gpu", "pool", "machine")


def _simulated(text: str) -> str:
    try:
        simulated_devices(text)
    except ValueError:
        raise refusal("a number of devices and a size such as 4x80GiB, of at most 64 devices") from None
    return text


def _own(labels: dict[str, str]) -> dict[str, str]:
    if taken := [name for name in _GIVEN if name in labels]:
        raise refusal(f"free of {' and '.join(taken)}, which every worker has by itself")
    return labels


Count = Annotated[int, Field(ge=0, le=MOST_WORKERS), WHOLE]
PoolName = Annotated[str, Field(pattern=POOL)]
MachineName = Annotated[str, Field(pattern=MACHINE)]
OwnLabels = Annotated[Labels, AfterValidator(_own)]


class WorkersRequest(Body):
    """As many workers as the queue needs."""

    min: Count = Field(0, description="So many there are at least.", examples=[1])
    max: Annotated[int, Field(ge=1, le=MOST_WORKERS), WHOLE] = Field(
        description="So many there are at most.", examples=[10]
    )
    queue_per_worker: Annotated[int, Field(ge=1, le=10000), WHOLE] = Field(
        1,
        description="One worker more for each so many jobs that wait for room and that it could run.",
        examples=[4],
    )
    cool_down_seconds: Annotated[int, Field(ge=0, le=MOST_SECONDS), WHOLE] = Field(
        300, description="So long there have to be more than are needed before any goes.", examples=[300]
    )


_COUNT = TypeAdapter(Count, config=ConfigDict(strict=True))


def _number_or_bounds(value: Any, _: Any) -> Any:
    """What is wrong is said of the kind that was meant, and not of both."""
    if isinstance(value, dict | WorkersRequest):
        return WorkersRequest.model_validate(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise refusal("a whole number, or an object with max, min, queue_per_worker and cool_down_seconds")
    return _COUNT.validate_python(value)


class OffersRequest(Body):
    """What each worker offers; real GPUs are divided among the workers of a machine, none is given twice."""

    cpus: Annotated[int, Field(ge=1, le=65536), WHOLE] = Field(1, description="CPUs.", examples=[8])
    memory_mib: Annotated[int, Field(ge=1, le=MOST_MIB), WHOLE] | None = Field(
        None, description="Memory; null for the machine's in the proportion of its CPUs.", examples=[65536]
    )
    gpus: Annotated[int, Field(ge=0, le=64), WHOLE] = Field(0, description="Real GPUs.", examples=[1])
    simulated_gpus: Annotated[str, Field(pattern=SIMULATED, max_length=20), AfterValidator(_simulated)] | None = Field(
        None,
        description="GPUs that exist only in the bookkeeping; then nothing is taken from the machine.",
        examples=["4x80GiB"],
    )


class PoolRequest(Body):
    """How many worker processes are to run on which machines, and what each of them offers."""

    workers: Annotated[Count | WorkersRequest, WrapValidator(_number_or_bounds)] = Field(
        description="How many: a number, or by the queue.", examples=[4]
    )
    select: Labels = Field(
        default_factory=dict,
        description="Only machines that have all these labels; all machines by default.",
        examples=[{"zone": "a"}],
    )
    offers: OffersRequest | None = Field(
        None, description="What each worker offers; null for one worker with all of a machine."
    )
    labels: OwnLabels = Field(
        default_factory=dict, description="What jobs may require of its workers, too.", examples=[{"tier": "spot"}]
    )
    price: Annotated[float, Field(ge=0, le=999_999)] | None = Field(
        None, description="Of an hour of a whole worker, in the currency of the fleet.", examples=[2.5]
    )
    zone: str = Field(
        "UTC", max_length=100, description="The IANA time zone whose clocks count.", examples=["Europe/Berlin"]
    )
    calendar: CalendarRequest | None = Field(
        None, description="The days and times of day at which it exists; null for always. Outside it its workers drain."
    )
    description: Line = Field("", description="For people.", examples=["Two workers on each machine of the lab."])

    def definition(self) -> dict[str, Any]:
        """As it is kept; raise Contradiction or InvalidSchedule for what cannot be meant."""
        faults = list(_contradictions(self))
        if faults:
            raise Contradiction(f"{faults[0].field} {faults[0].message}.", "docs/pools.md shows examples.", faults)
        found = without_null(self.model_dump(mode="json", by_alias=True))
        check_hours(found)
        return found


def _contradictions(body: PoolRequest) -> Iterator[Fault]:
    scaled, offers = body.workers, body.offers
    if isinstance(scaled, WorkersRequest) and scaled.min > scaled.max:
        yield Fault("workers.min", "must not be above workers.max", scaled.min, scaled.max)
    if offers and offers.gpus and offers.simulated_gpus:
        yield Fault("offers.gpus", "must be 0 beside simulated_gpus", offers.gpus, 0)
