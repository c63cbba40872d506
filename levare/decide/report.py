"""What runs asked for against what they used, and what to ask for instead."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

LEAST_RUNS = 5
"""Of so many runs that succeeded it is known what a family needs."""
ROOM = 1.25
"""What is proposed is so much more than all but one in a hundred runs have used."""
WORTHWHILE = 0.7
"""A proposal of more than this part of what is asked is not worth the change."""
IDLE_PERCENT = 30
"""GPUs that are busy less than this are mostly idle."""
_GIB = 1024
_FINE_MIB, _STEP_MIB = 4096, 256


@dataclass(frozen=True)
class Asked:
    """What the newest run of a family asked for; `gpu_total_mib` is the memory of a GPU that it held."""

    cpus: int = 1
    memory_mib: int = 0
    gpus: int = 0
    gpu_memory_mib: int | None = None
    gpu_total_mib: int | None = None
    timeout_seconds: int | None = None


@dataclass(frozen=True)
class Used:
    """What all but one in a hundred of its runs that succeeded have used at most; None where nothing was measured."""

    cpus: float | None = None
    memory_mib: float | None = None
    gpu_memory_mib: float | None = None
    gpu_utilisation_percent: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class FamilyUse:
    """A family in the time of a report. Hours are of GPUs; `idle_hours` of those that were held but not busy."""

    name: str
    team: str
    attempts: int
    succeeded: int
    failed: int
    gpu_hours: float = 0.0
    idle_hours: float = 0.0
    wait_seconds: float | None = None
    cost: float | None = None
    energy_joules: float | None = None
    asked: Asked = field(default_factory=Asked)
    used: Used = field(default_factory=Used)
    typical_seconds: float | None = None
    failures: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Proposal:
    """`option` is what to write on the command line instead, `patch` the same for a request."""

    family: str
    what: str
    text: str
    option: str
    patch: Mapping[str, int]


def proposals(families: Sequence[FamilyUse]) -> list[Proposal]:
    """Right sizes for those families that have run often enough, in the order of the families."""
    return [each for family in families if family.succeeded >= LEAST_RUNS for each in _of(family)]


def _of(family: FamilyUse) -> Iterator[Proposal]:
    yield from _memory(family)
    yield from _cpus(family)
    yield from _gpu_memory(family)
    yield from _timeout(family)


def _memory(family: FamilyUse) -> Iterator[Proposal]:
    asked, used = family.asked.memory_mib, family.used.memory_mib
    if asked and used and (size := _rounded(used * ROOM)) <= WORTHWHILE * asked:
        text = f"asks {_size(asked)}, p99 of {family.succeeded} runs uses {_size(used)}"
        yield Proposal(family.name, "memory", text, f"--memory {_size(size)}", {"memory_mib": size})


def _cpus(family: FamilyUse) -> Iterator[Proposal]:
    asked, used = family.asked.cpus, family.used.cpus
    if used is not None and (count := max(1, ceil(used * ROOM))) <= WORTHWHILE * asked:
        text = f"asks {asked} CPUs, p99 of {family.succeeded} runs keeps {used:.1f} busy"
        yield Proposal(family.name, "cpus", text, f"--cpus {count}", {"cpus": count})


def _gpu_memory(family: FamilyUse) -> Iterator[Proposal]:
    """Also of a whole GPU, of which a part would do: others may then use the rest."""
    asked, used = family.asked.gpu_memory_mib or family.asked.gpu_total_mib, family.used.gpu_memory_mib
    if family.asked.gpus == 1 and asked and used and (size := _rounded(used * ROOM)) <= WORTHWHILE * asked:
        whole = "a whole GPU of " if family.asked.gpu_memory_mib is None else ""
        busy = family.used.gpu_utilisation_percent
        is_idle = f", {busy:.0f}% busy" if busy is not None and busy < IDLE_PERCENT else ""
        text = f"asks {whole}{_size(asked)}, p99 of {family.succeeded} runs uses {_size(used)}{is_idle}"
        yield Proposal(family.name, "gpu_memory", text, f"--gpu-memory {_size(size)}", {"gpu_memory_mib": size})


def _timeout(family: FamilyUse) -> Iterator[Proposal]:
    """A limit that is near the truth lets the job start in a gap before a larger one."""
    asked, used = family.asked.timeout_seconds, family.used.seconds
    if asked and used and (limit := 60 * ceil(max(2 * used, 300) / 60)) <= WORTHWHILE * asked:
        text = f"has a limit of {_span(asked)}, p99 of {family.succeeded} runs takes {_span(used)}"
        yield Proposal(family.name, "timeout", text, f"--timeout {limit // 60}m", {"timeout_seconds": limit})


def _rounded(mib: float) -> int:
    """Up to a whole GiB, of little to a quarter of it."""
    step = _STEP_MIB if mib < _FINE_MIB else _GIB
    return step * ceil(mib / step)


def _size(mib: float) -> str:
    return f"{mib / _GIB:.3g}GiB" if mib >= _GIB else f"{mib:.0f}MiB"


def _span(seconds: float) -> str:
    for unit, size in (("h", 3600), ("m", 60)):
        if round(seconds) >= size:
            return f"{seconds / size:.3g}{unit}"
    return f"{seconds:.0f}s"
