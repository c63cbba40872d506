"""A history of jobs that never were, from a seed: healthy ones with all that healthy jobs do, and planted incidents."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import exp, nan

from levare.decide.alerts.facts import Job, Point
from levare.decide.alerts.replay import Past

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
HANGS, SPINS, SLOW, DIVERGES, DEGRADES, FAILS = "hangs", "spins", "slow", "diverges", "degrades", "fails"
EXPECTED = {HANGS: "hang", SPINS: "hang", SLOW: "slow", DIVERGES: "not-finite", DEGRADES: "degraded", FAILS: "failure"}
"""Which rule each incident is for."""


@dataclass(frozen=True)
class Family:
    """Runs of the same work: epochs of steps, an evaluation and a checkpoint after each."""

    name: str
    epochs: int
    steps: int
    """Lines of metrics in an epoch."""
    interval: float
    """Seconds from line to line."""
    jitter: float
    evaluation: float
    """Seconds, in which it tells nothing, and computes."""
    checkpoint: float
    """Seconds, in which it only writes."""
    startup: float
    spread: float
    """How much the speed of its runs differs."""
    accuracy: float
    accuracy_spread: float
    has_log: bool


@dataclass(frozen=True)
class Told:
    """A run, and what was planted in it."""

    past: Past
    incident: str | None = None


@dataclass
class _Run:
    """A run in the making."""

    at: datetime
    points: list[Point] = field(default_factory=list)
    works: list[tuple[datetime, datetime]] = field(default_factory=list)
    wrote: list[datetime] = field(default_factory=list)

    def passes(self, seconds: float, *, works: bool) -> None:
        begin, self.at = self.at, self.at + timedelta(seconds=seconds)
        if works:
            self.works.append((begin, self.at))

    def tells(self, stage: str, step: int, **values: float) -> None:
        self.points.append(Point(self.at, stage, step, values))


def families(rng: random.Random, count: int) -> list[Family]:
    return [
        Family(
            name=f"work-{number}",
            epochs=rng.randint(3, 12),
            steps=rng.randint(10, 60),
            interval=rng.choice([1.0, 5.0, 10.0, 30.0, 60.0]),
            jitter=rng.choice([0.05, 0.2, 0.5]),
            evaluation=rng.choice([0.0, 20.0, 120.0, 600.0, 1800.0]),
            checkpoint=rng.choice([0.0, 5.0, 60.0]),
            startup=rng.choice([5.0, 60.0, 600.0, 1200.0]),
            spread=rng.choice([0.02, 0.05, 0.1, 0.15]),
            accuracy=rng.uniform(0.6, 0.97),
            accuracy_spread=rng.choice([0.001, 0.005, 0.015]),
            has_log=rng.random() < 0.5,
        )
        for number in range(count)
    ]


def history(
    rng: random.Random, *, hours: float, incidents: float = 0.0, warm: int = 8, kinds: int = 12
) -> Iterator[Told]:
    """
    Runs of so many hours in all, of so many kinds of work. Of each the first `warm` are healthy; of the others such a
    part has an incident.

    Healthy ones pause for minutes while they wait for data, have slow epochs, and now and then an infinite value.
    """
    known, counts, total, number = families(rng, kinds), dict[str, int](), 0.0, 0
    while total < hours:
        family = rng.choice(known)
        counts[family.name] = counts.get(family.name, 0) + 1
        is_planted = counts[family.name] > warm and rng.random() < incidents
        incident = rng.choice(list(EXPECTED)) if is_planted else None
        begin = NOON + timedelta(hours=total)
        past = _past(rng, family, f"j{number}", begin, incident)
        total += (past.ended_at - past.started_at).total_seconds() / 3600
        number += 1
        yield Told(past, incident)


def _past(rng: random.Random, family: Family, name: str, begin: datetime, incident: str | None) -> Past:
    run, speed = _Run(begin), exp(rng.gauss(0, family.spread)) * (2.2 if incident == SLOW else 1.0)
    run.passes(family.startup * rng.uniform(0.5, 1.5), works=rng.random() < 0.5)
    ends_at = rng.randint(family.epochs // 2, family.epochs - 1)
    state = "succeeded"
    for epoch in range(family.epochs):
        is_last = incident in (HANGS, SPINS, FAILS, DIVERGES) and epoch == ends_at
        _epoch(rng, family, run, epoch, speed, diverges=incident == DIVERGES and is_last)
        if is_last:
            state = _ill_end(rng, run, incident)
            break
        _evaluate(rng, family, run, epoch, degrades=incident == DEGRADES)
    job = Job(id=name, name=family.name, team="t", project="p", family=f"t/p/{family.name}", user="ada")
    past = Past(job=job, started_at=begin, ended_at=run.at, state=state, points=run.points, works=run.works, gpus=1)
    return replace(past, wrote_at=run.wrote) if family.has_log else past


def _ill_end(rng: random.Random, run: _Run, incident: str | None) -> str:
    """What does nothing any more is ended by its limit, or by somebody who has seen it."""
    if incident in (HANGS, SPINS):
        run.passes(rng.uniform(6, 9) * 3600, works=False)
    return "failed"


def _epoch(rng: random.Random, family: Family, run: _Run, epoch: int, speed: float, *, diverges: bool) -> None:
    slow = rng.uniform(1.2, 1.5) if rng.random() < 0.1 else 1.0
    for step in range(family.steps):
        run.passes(family.interval * speed * slow * exp(rng.gauss(0, family.jitter)), works=True)
        if rng.random() < 0.002:
            run.passes(rng.uniform(30, 420), works=False)  # its data do not come
        loss = 1 / (1 + epoch * family.steps + step) + rng.random() * 0.01
        ill = diverges and step > family.steps // 2
        loss = nan if ill else float("inf") if rng.random() < 0.0005 else loss
        run.tells("train", epoch * family.steps + step, loss=loss)
        if rng.random() < 0.1:
            run.wrote.append(run.at)


def _evaluate(rng: random.Random, family: Family, run: _Run, epoch: int, *, degrades: bool) -> None:
    run.passes(family.evaluation * rng.uniform(0.7, 1.4), works=True)
    reached = family.accuracy * (1 - exp(-(epoch + 1))) + rng.gauss(0, family.accuracy_spread)
    run.tells("val", epoch, accuracy=min(reached * (0.8 if degrades else 1.0), 1.0))
    run.passes(family.checkpoint * rng.uniform(0.5, 2), works=rng.random() < 0.5)
