"""What a trigger would have done: what happened is fed through the very decisions that beat takes, at its own times."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from levare.decide.declared import Trigger
from levare.decide.happenings import Happening
from levare.decide.triggers import (
    HELD,
    MOST_TOGETHER,
    PENDING,
    RUN,
    Brakes,
    Facts,
    Occurrence,
    Verdict,
    day_of,
    decide,
    next_look,
)

_LOOKED_AT = 50
_BEHIND = "Waits behind those that came before it."


@dataclass(frozen=True)
class Simulated:
    """An occurrence and what would have become of it; `run` counts runs from 1, and is None where none was started."""

    occurrence: Occurrence
    outcome: str
    reason: str
    decided_at: datetime | None = None
    run: int | None = None


@dataclass(frozen=True)
class Simulation:
    items: Sequence[Simulated]
    """By the times of their occurrences."""
    runs: int

    @property
    def totals(self) -> Mapping[str, int]:
        found = Counter(each.outcome for each in self.items)
        return {outcome: found[outcome] for outcome in (RUN, HELD, PENDING)}


def simulate(trigger: Trigger, happenings: Sequence[Happening], *, lasts: timedelta, until: datetime) -> Simulation:
    """What would have become of these until then, if each run had lasted so long. A pause is left out."""
    past = _Past(trigger.brakes, lasts)
    coming = sorted(happenings, key=lambda each: (each.at, each.key))
    place, wakes_at = 0, None
    while True:
        times = [coming[place].at] if place < len(coming) else []
        now = min([*times, *([wakes_at] if wakes_at else [])], default=until)
        if now >= until:
            return past.told()
        while place < len(coming) and coming[place].at <= now:
            past.take(coming[place], trigger)
            place += 1
        wakes_at = past.decide(now)


@dataclass
class _Past:
    """What SQL would know."""

    brakes: Brakes
    lasts: timedelta
    waiting: list[Occurrence] = field(default_factory=list)
    settled: list[Simulated] = field(default_factory=list)
    runs: list[datetime] = field(default_factory=list)
    seen: dict[str, datetime] = field(default_factory=dict)
    waits_for: dict[str, str] = field(default_factory=dict)

    def take(self, happening: Happening, trigger: Trigger) -> None:
        occurrence = happening.occurrence(trigger)
        if happening.settled is not None:
            self.settled.append(Simulated(occurrence, HELD, happening.settled, happening.at))
        else:
            self.waiting.append(occurrence)

    def decide(self, now: datetime) -> datetime | None:
        """The first of those that wait stand for the others: what stops them stops all."""
        looked_at = self.waiting[: _LOOKED_AT if self.brakes.batch == 1 and not self.brakes.quiet else MOST_TOGETHER]
        if not looked_at:
            return None
        verdicts = decide(looked_at, self._facts(now), self.brakes, now=now)
        by_key = {each.key: each for each in looked_at}
        for verdict in verdicts:
            self._carry_out(verdict, by_key, now)
        if any(verdict.outcome != PENDING for verdict in verdicts):
            is_more = len(looked_at) < len(self.waiting)
            left = [each for each in looked_at if each.key in self.waits_for]
            self.waiting = [*left, *self.waiting[len(looked_at) :]]
            return now if is_more else next_look(verdicts)
        return next_look(verdicts)

    def told(self) -> Simulation:
        left = [Simulated(each, PENDING, self.waits_for.get(each.key, _BEHIND)) for each in self.waiting]
        order = sorted([*self.settled, *left], key=lambda each: (each.occurrence.at, each.occurrence.key))
        return Simulation(order, len(self.runs))

    def _carry_out(self, verdict: Verdict, by_key: Mapping[str, Occurrence], now: datetime) -> None:
        if verdict.outcome == PENDING:
            self.waits_for |= dict.fromkeys(verdict.keys, verdict.reason)
            return
        if verdict.outcome == RUN:
            self.runs.append(now)
        for key in verdict.keys:
            self.waits_for.pop(key, None)
            number = len(self.runs) if verdict.outcome == RUN else None
            self.settled.append(Simulated(by_key[key], verdict.outcome, verdict.reason, now, number))
            if number is not None and (same := by_key[key].same) is not None:
                self.seen[same] = by_key[key].at

    def _facts(self, now: datetime) -> Facts:
        over = bisect_right(self.runs, now - self.lasts)
        return Facts(
            in_flight=len(self.runs) - over,
            frees_at=self.runs[over] + self.lasts if over < len(self.runs) else None,
            last_run_at=self.runs[-1] if self.runs else None,
            runs_today=len(self.runs) - bisect_left(self.runs, day_of(now)),
            seen=self.seen,
        )


def absences(
    begin: datetime, ends: Sequence[datetime], lasts: timedelta, *, until: datetime
) -> list[tuple[datetime, datetime]]:
    """When nothing had come for so long, each with when the last had come: `ends` are when something came."""
    marks = [begin, *sorted(at for at in ends if begin < at < until), until]
    return [(last, last + lasts) for last, following in pairwise(marks) if last + lasts < following]
