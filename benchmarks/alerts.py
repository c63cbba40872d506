"""
How often the default rules cry wolf, and what they catch: on seeded histories, by the decisions that beat takes.

    python -m benchmarks.alerts --hours 2000

prints the false alarms per 1,000 job-hours of healthy jobs, which must be under 1, and precision and recall per rule on
a history with planted incidents.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from benchmarks.alert_history import EXPECTED, Told, history
from levare.decide.alerts.defaults import DEFAULTS
from levare.decide.alerts.replay import Firing, Replay
from levare.decide.alerts.rules import declared

RULES = [declared(name, DEFAULTS[name]) for name in sorted({*EXPECTED.values()})]
MOST_FALSE = 1.0
"""Per 1,000 job-hours of healthy jobs."""


@dataclass
class Tally:
    """What was fired, what of it was right, and what should have been."""

    hours: float = 0.0
    jobs: int = 0
    fired: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    planted: Counter[str] = field(default_factory=Counter)
    caught: Counter[str] = field(default_factory=Counter)
    missed: list[Told] = field(default_factory=list)
    false: list[Firing] = field(default_factory=list)

    def add(self, told: Told, firings: Iterable[Firing]) -> None:
        past, wanted = told.past, EXPECTED.get(told.incident or "")
        self.jobs += 1
        self.hours += (past.ended_at - past.started_at).total_seconds() / 3600
        found = list(firings)
        for firing in found:
            self._count(firing, told)
        if wanted:
            self.planted[wanted] += 1
            is_caught = any(firing.rule == wanted for firing in found)
            self.caught[wanted] += is_caught
            self.missed += [] if is_caught else [told]

    def _count(self, firing: Firing, told: Told) -> None:
        """What fails has failed, and what hangs takes longer than it should, too: to say so is right."""
        also = {"failure"} if told.past.state == "failed" else set[str]()
        also |= {"slow"} if told.incident in ("hangs", "spins") else set()
        is_right = firing.rule in also | {EXPECTED.get(told.incident or "")}
        self.fired[firing.rule] += 1
        self.right[firing.rule] += is_right
        self.false += [] if is_right else [firing]

    @property
    def false_per_1000(self) -> float:
        return 1000 * len(self.false) / self.hours

    def precision(self, rule: str) -> float:
        return self.right[rule] / self.fired[rule] if self.fired[rule] else 1.0

    def recall(self, rule: str) -> float:
        return self.caught[rule] / self.planted[rule] if self.planted[rule] else 1.0


def tally(
    seed: int, *, hours: float, incidents: float, every: timedelta = timedelta(seconds=30), kinds: int = 12
) -> Tally:
    machine, found = Replay(RULES, every=every), Tally()
    for told in history(random.Random(seed), hours=hours, incidents=incidents, kinds=kinds):
        found.add(told, machine.run(told.past))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="False alarms, precision and recall of the default rules.")
    parser.add_argument("--hours", type=float, default=2000, help="job-hours of each history")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verbose", action="store_true", help="each false alarm, and what was missed")
    given = parser.parse_args()
    begun = time.process_time()
    healthy = tally(given.seed, hours=given.hours, incidents=0.0)
    planted = tally(given.seed + 1, hours=given.hours, incidents=0.4)
    print(f"healthy: {healthy.jobs} jobs, {healthy.hours:.0f} job-hours, {len(healthy.false)} false alarms:")
    print(f"         {healthy.false_per_1000:.2f} per 1,000 job-hours (must be under {MOST_FALSE:g})")
    print(f"planted: {planted.jobs} jobs, {planted.hours:.0f} job-hours, {sum(planted.planted.values())} incidents")
    for rule in sorted({*EXPECTED.values()}):
        print(
            f"  {rule:11} planted {planted.planted[rule]:3}  fired {planted.fired[rule]:3}  "
            f"precision {planted.precision(rule):.2f}  recall {planted.recall(rule):.2f}"
        )
    print(f"CPU {time.process_time() - begun:.0f} s")
    if given.verbose:
        for firing in [*healthy.false, *planted.false]:
            print("false:", firing.rule, firing.message)
        for told in planted.missed:
            print("missed:", told.incident, told.past.job.family, told.past.ended_at - told.past.started_at)
    return 0 if healthy.false_per_1000 < MOST_FALSE else 1


if __name__ == "__main__":
    sys.exit(main())
