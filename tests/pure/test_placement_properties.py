"""What every single decision keeps to, whatever waits, runs, is reserved, excluded or owed."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from levare.decide.capacity import Room
from levare.decide.placement import place
from levare.decide.preemption import MARGIN
from levare.decide.sharing import Books
from levare.model import Held, Node, Placement, Waiting
from tests.pure.scenes import Scene
from tests.pure.world import CARD, NOON, after, overfull

seeds = st.integers(0, 2**32)
scenes = settings(max_examples=100, deadline=None)


@scenes
@given(seeds)
def test_nothing_is_oversold_and_everything_is_where_it_may_be(seed: int):
    scene = Scene.of(seed)
    decision = scene.decide()
    by_id, by_name = {job.job_id: job for job in scene.waiting}, {node.name: node for node in scene.nodes}

    assert not list(overfull(after(scene.nodes, scene.waiting, decision), scene.sharing.licences))
    for each in decision.placements:
        check_place(by_id[each.job_id], by_name[each.node], each)


def check_place(job: Waiting, node: Node, at: Placement) -> None:
    cards = {card.uuid: card for card in node.devices}
    assert (node.state, node.note) == ("ready", "")
    assert node.name not in job.shunned
    assert len(at.devices) == job.request.gpus
    assert not any(cards[uuid].blocked for uuid in at.devices)
    assert all((job.request.gpu_model or "") in cards[uuid].model.lower() for uuid in at.devices)
    assert all(mib == (job.request.gpu_memory_mib or cards[uuid].memory_mib) for uuid, mib in at.devices.items())
    assert dict(job.request.require).items() <= dict(node.labels).items()
    assert not dict(job.request.avoid).items() & dict(node.labels).items()
    assert job.only_between is None
    ends = NOON + (job.expected.promised if job.expected else timedelta(days=1))
    assert all(window.admits(job.team, job.user) or window.starts >= ends for window in node.windows)


@scenes
@given(seeds)
def test_every_job_starts_or_has_a_reason_and_a_gang_or_an_array_starts_as_it_should(seed: int):
    scene = Scene.of(seed)
    decision = scene.decide()

    for job in scene.waiting:
        parts = [each for each in decision.placements if each.job_id == job.job_id]
        starts, rest = divmod(len(parts), job.request.nodes)
        assert (rest, starts <= job.count) == (0, True)
        assert (job.job_id in decision.reasons) == (starts < job.count)
        assert starts == job.count or decision.reasons[job.job_id]
        for first in range(0, len(parts), job.request.nodes):
            gang = parts[first : first + job.request.nodes]
            assert len({each.node for each in gang}) == job.request.nodes
            assert [each.rank for each in gang] == list(range(job.request.nodes))


@scenes
@given(seeds)
def test_the_same_facts_in_any_order_give_the_same_decision(seed: int):
    scene, dice = Scene.of(seed), Random(seed)
    nodes = [
        replace(node, held=_mixed(dice, node.held), devices=_mixed(dice, node.devices))
        for node in _mixed(dice, scene.nodes)
    ]

    second = place(_mixed(dice, scene.waiting), nodes, now=NOON, sharing=scene.sharing)

    assert second == scene.decide()


def _mixed(dice: Random, things):
    return dice.sample(list(things), len(things))


@scenes
@given(seeds)
def test_nobody_starts_over_a_hard_quota(seed: int):
    scene = Scene.of(seed)
    by_id = {job.job_id: job for job in scene.waiting}
    starts = [by_id[each.job_id] for each in scene.decide().placements if each.rank == 0]

    for name, account in scene.sharing.accounts.items():
        quota = account.quota
        mine = [job for job in starts if _belongs(job, name)]
        held = [each for each in scene.running if _belongs(each, name)]
        new = [_gpus(job) for job in mine]
        if quota.running is not None and mine:
            assert len(held) + len(mine) <= quota.running
        if quota.gpus is not None and not quota.borrow and any(new):
            assert sum(sum(each.devices.values()) / CARD for each in held) + sum(new) <= quota.gpus + 1e-6


def _belongs(whose: Waiting | Held, account: str) -> bool:
    return account in (whose.team, f"{whose.team}/{whose.project}", f"{whose.team}:{whose.user}")


def _gpus(job: Waiting) -> float:
    return job.request.gpus * job.request.nodes * ((job.request.gpu_memory_mib or CARD) / CARD)


@scenes
@given(seeds)
def test_nobody_borrows_what_somebody_within_quota_would_use(seed: int):
    scene = Scene.of(seed, simple=True, lasts=[None])
    young = [replace(job, since=NOON, owed_since=None) for job in scene.waiting]
    decision = place(young, scene.nodes, now=NOON, sharing=scene.sharing)
    nominal = {name: account.quota.gpus or 0 for name, account in scene.sharing.accounts.items()}
    used = Counter({team: sum(len(held.devices) for held in scene.running if held.team == team) for team in nominal})
    by_id, started = {job.job_id: job for job in young}, Counter(each.job_id for each in decision.placements)
    within, borrowed = list[Placement](), list[Placement]()
    for each in decision.placements:
        job = by_id[each.job_id]
        used[job.team] += job.request.gpus
        (borrowed if job.request.gpus and used[job.team] > nominal[job.team] else within).append(each)

    rooms = [Room(node) for node in after(scene.nodes, young, replace(decision, placements=within))]
    waits = [job for job in young if started[job.job_id] < job.count] if borrowed else []
    for job in waits:
        if not job.request.gpus or used[job.team] + job.request.gpus <= nominal[job.team]:
            assert not any(_takes(room, job, decision.preemptions) for room in rooms)


def _takes(room: Room, job: Waiting, preemptions) -> bool:
    """A node from which others are about to go is kept for whom they go."""
    is_cleared = {held.attempt_id for held in room.node.held} & {each.attempt_id for each in preemptions}
    is_cleared |= {held.attempt_id for held in room.node.held if held.is_ending}
    return room.name not in job.shunned and room.fits(job.request) and not is_cleared


@scenes
@given(seeds)
def test_only_weaker_runs_past_their_least_time_end_and_none_that_could_be_spared(seed: int):
    scene = Scene.of(seed, simple=True)
    decision = scene.decide()
    by_id = {job.job_id: job for job in scene.waiting}
    at = {held.attempt_id: (held, node.name) for node in scene.nodes for held in node.held}
    books = Books(scene.sharing, scene.nodes, now=NOON)
    victims = defaultdict[tuple[str, str], set[str]](set)
    for each in decision.preemptions:
        held, node = at[each.attempt_id]
        check_claim(by_id[each.for_job], held, is_borrowed=books.is_borrowed(held))
        victims[each.for_job, node].add(each.attempt_id)

    full = {node.name: node for node in after(scene.nodes, scene.waiting, decision)}
    for (job_id, name), ended in victims.items():
        check_needed(by_id[job_id], full[name], ended, by_id)


def check_claim(job: Waiting, held: Held, *, is_borrowed: bool) -> None:
    assert not held.is_ending
    assert held.placed_at is not None
    assert NOON - held.placed_at >= held.min_runtime
    by_priority = held.preemptible and job.priority >= held.priority + MARGIN
    assert by_priority or (held.team != job.team and is_borrowed)


def check_needed(job: Waiting, node: Node, ended: set[str], waiting: Mapping[str, Waiting]) -> None:
    for_others = waiting.keys() - {job.job_id}
    leaving = {held.attempt_id for held in node.held if held.is_ending and held.ending_for not in for_others}
    assert _without(node, leaving | ended).fits(job.request)
    for spared in ended:
        assert not _without(node, leaving | (ended - {spared})).fits(job.request)


def _without(node: Node, attempts: set[str]) -> Room:
    return Room(replace(node, held=[held for held in node.held if held.attempt_id not in attempts]))
