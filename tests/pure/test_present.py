"""Nobody who has used little leaves the others without anything: what each holds now bounds what use decides."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levare.decide.line import Line
from levare.decide.placement import place
from levare.decide.present import BY_USE, FIRST, LAST, Part, Present
from levare.decide.sharing import Books
from levare.model import Account, Held, Sharing, Waiting
from tests.pure.world import CARD, NOON, a_job, a_node, a_run

MUCH = 1e7
"""Weighted GPU-seconds, so many that a newcomer would need days to catch up."""
seeds = st.integers(0, 2**32)


class Flood:
    """Teams, or users of one team, with work without end; each step something ends at random."""

    def __init__(self, dice: Random, of: str, *, gpus: int = 12) -> None:
        self.of, self.gpus, self._dice = of, gpus, dice
        self.weights = {name: dice.randint(1, 3) if of == "team" else 1 for name in "abc"[: dice.randint(1, 3)]}
        names = {name if of == "team" else f"a:{name}": weight for name, weight in self.weights.items()}
        self._sharing = Sharing({name: Account(name, weight, use=MUCH) for name, weight in names.items()})
        self._running: list[Held] = []
        self._attempts = 0
        self.decide()

    def share(self, name: str) -> float:
        return self.gpus * self.weights[name] / sum(self.weights.values())

    def short(self, held: Counter[str]) -> set[str]:
        return {
            each for each in self.weights if held[each] < self.share(each) / 2 and held[each] + 1 <= self.share(each)
        }

    def holds(self) -> Counter[str]:
        return Counter(held.job_id for held in self._running)

    def _work_of(self, name: str) -> Waiting:
        job = a_job(name, gpus=1, cpus=0, count=self.gpus)
        return replace(job, team=name) if self.of == "team" else replace(job, user=name)

    def step(self) -> list[tuple[Counter[str], str]]:
        self._running.remove(self._dice.choice(self._running))
        return self.decide()

    def decide(self) -> list[tuple[Counter[str], str]]:
        """What is free is given away: what all held before each start, and whose start it was."""
        node = replace(a_node("n0", gpus=self.gpus), held=tuple(self._running))
        jobs = [self._work_of(name) for name in self.weights]
        starts = list[tuple[Counter[str], str]]()
        for each in place(jobs, [node], now=NOON, sharing=self._sharing).placements:
            starts.append((self.holds(), each.job_id))
            self._attempts += 1
            job = next(job for job in jobs if job.job_id == each.job_id)
            self._running.append(a_run(job, each.devices, attempt_id=f"{self._attempts}", placed_at=NOON))
        return starts


@pytest.mark.parametrize("of", ["team", "user"])
@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_whatever_becomes_free_goes_first_to_whoever_holds_least_of_its_share_below_half(of: str, seed: int):
    flood = Flood(Random(seed), of)
    for step in range(60):
        if step in (20, 21):
            flood.weights[f"new{step}"] = 1
        for held, name in flood.step():
            parts = {each: held[each] / flood.share(each) for each in flood.short(held)}
            assert not parts or parts.get(name) == min(parts.values())


@pytest.mark.parametrize("of", ["team", "user"])
@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_a_newcomer_gets_twice_its_share_at_most_and_soon_nobody_holds_less_than_half_of_theirs(of: str, seed: int):
    flood = Flood(Random(seed), of)
    flood.weights["newcomer"] = 1
    settled = False
    for step in range(60):
        flood.step()
        held = flood.holds()
        settled = settled or not flood.short(held)
        assert held["newcomer"] <= max(2 * flood.share("newcomer"), flood.share("newcomer") + 1)
        assert not (settled and flood.short(held))
        assert settled or step < flood.gpus
    assert flood.holds()["newcomer"] >= flood.share("newcomer")


def test_weights_of_two_to_one_hold_on_two_gpus_where_nobody_can_hold_exactly_its_share():
    """A team of which a third of two GPUs is due may be left without, or it would always have half of them."""
    assert Part(holds=0, share=2 / 3, asks=1).band == BY_USE
    assert Part(holds=0, share=4 / 3, asks=1).band == FIRST
    assert Part(holds=1, share=2 / 3, asks=1).band == LAST
    assert Part(holds=1, share=4 / 3, asks=1).band == BY_USE


def test_who_holds_less_than_its_share_may_start_what_is_bigger_than_twice_of_it():
    assert Part(holds=1, share=2, asks=8).band == BY_USE


def test_who_holds_nothing_and_wants_nothing_takes_no_part_of_the_share_of_others():
    present = Present()
    present.take("a", 1, 6)
    present.join("b", 2)

    assert present.part("a", 1) == Part(6, 2)
    assert present.part("idle", 3) == Part(0, 3)


def test_the_order_by_what_is_held_is_told_with_its_numbers():
    few, many = (a_run(a_job(name, gpus=gpus, team=name), gpu_names(gpus)) for name, gpus in (("few", 1), ("many", 7)))
    much = Sharing({"few": Account("few", use=MUCH)})
    theirs, ours = a_job("theirs", gpus=1, team="few"), a_job("ours", gpus=1, team="many")
    books = Books(much, [replace(a_node("n0", gpus=8), held=(few, many))], now=NOON)

    line = Line(ours, [theirs, ours], books, much, NOON)

    assert next(line.turns()) == theirs
    assert line.why(theirs) == "Team few holds 23% of its present share, less than half; team many holds 154%."
    assert books.standing("few").why.endswith(
        "and has had 100% of what was used lately, but holds less than half its share now, so it comes first."
    )


def gpu_names(number: int) -> dict[str, int]:
    return {f"n0-{index}": CARD for index in range(number)}
