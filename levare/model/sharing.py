"""Quotas and accounts, and the rules of a deployment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True)
class Quota:
    """
    The most that somebody may use; None bounds nothing.

    `gpus` are running at once, and may be exceeded while nobody within a quota wants them, if `borrow` allows it.
    `gpu_hours` are those of the last `period`.
    """

    gpus: int | None = None
    running: int | None = None
    queued: int | None = None
    gpu_hours: float | None = None
    period: timedelta = timedelta(days=30)
    borrow: bool = True


@dataclass(frozen=True)
class Account:
    """
    A team (`name`), a project (`team/project`) or a user (`team:user`): its weight, its quota, and what it has used.

    `use` is in weighted GPU-seconds, decayed with the half-life, of attempts that have ended; `gpu_hours` are those
    that ended in its quota's period. What runs is added from what is held.
    """

    name: str
    weight: float = 1.0
    quota: Quota = Quota()
    use: float = 0.0
    gpu_hours: float = 0.0
    queued: int = 0


@dataclass(frozen=True)
class Sharing:
    """What is known of who shares the fleet: accounts by name, the half-life of use, fleet-wide resources."""

    accounts: Mapping[str, Account] = field(default_factory=dict)
    half_life: timedelta = timedelta(days=7)
    licences: Mapping[str, int] = field(default_factory=dict)
    """Custom resources that are not of a node but of the fleet: name -> how many there are."""
    held_families: Mapping[str, str] = field(default_factory=dict)
    """Families of jobs that are held back after a burst of fast failures: family -> a sentence."""


@dataclass(frozen=True)
class Rules:
    """
    What holds for the whole fleet: how long a node may be silent, the half-life of use, fleet-wide resources, and the
    currency of prices.
    """

    lost_after: timedelta = timedelta(seconds=60)
    half_life: timedelta = Sharing.half_life
    licences: Mapping[str, int] = field(default_factory=dict)
    currency: str = ""
