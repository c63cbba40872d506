"""What is worked out once for a node saves work, and is nothing that a decision made anew would not say."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levare.decide.once import instant, once, span
from levare.decide.placement import place
from levare.decide.prey import Den, Pack
from levare.decide.sharing import Books
from levare.model import Duration, Node, Request
from tests.pure.scenes import Scene
from tests.pure.world import MINUTE, NOON, a_job, a_node, a_run

seeds = st.integers(0, 2**32)
scenes = settings(max_examples=100, deadline=None)
TIMES = tuple(MINUTE * minutes for minutes in (0, 1, 20, 65, 200, 3000, 2))
"""The last comes before the one before it: clocks are set back."""


def anew(nodes: Sequence[Node]) -> list[Node]:
    """The same nodes, of which nothing has been worked out yet."""
    return [replace(node, held=[replace(held) for held in node.held]) for node in nodes]


def test_a_node_is_asked_once_and_another_like_it_again():
    asked = []
    name_of = once(lambda node: asked.append(node.name) or node.name)
    node = a_node("n0")

    assert [name_of(node), name_of(node), name_of(replace(node))] == ["n0"] * 3
    assert asked == ["n0", "n0"]


def test_what_is_worked_out_of_a_node_makes_it_no_other():
    node = a_node("n0")
    once(lambda node: node.cpus)(node)

    assert node == a_node("n0")
    assert repr(node) == repr(a_node("n0"))


def test_instants_are_exact():
    for moment in (NOON, NOON + timedelta(microseconds=1), NOON - timedelta(days=30000)):
        assert instant(moment) - instant(NOON) == span(moment - NOON)


@scenes
@given(seeds)
def test_nodes_that_were_decided_upon_before_are_decided_upon_as_if_they_were_new(seed: int):
    scene = Scene.of(seed)
    for later in TIMES:
        again = place(scene.waiting, scene.nodes, now=NOON + later, sharing=scene.sharing)
        fresh = place(scene.waiting, anew(scene.nodes), now=NOON + later, sharing=scene.sharing)

        assert vars(again) | {"reasons": dict(again.reasons)} == vars(fresh) | {"reasons": dict(fresh.reasons)}


@scenes
@given(seeds)
def test_what_a_clearing_loses_at_the_least_only_saves_the_trying_of_nodes(seed: int):
    scene = Scene.of(seed)
    bounded = scene.decide()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pack, "least_loss", lambda *_: (0, 0, 0, 0))
        tried = place(scene.waiting, anew(scene.nodes), now=NOON, sharing=scene.sharing)

    assert bounded.preemptions == tried.preemptions
    assert bounded.placements == tried.placements


def test_what_may_not_be_ended_yet_is_prey_from_its_time_on():
    young = a_run(a_job("young", gpus=1), {"n0-0": 1}, placed_at=NOON, min_runtime=MINUTE)
    den, asked = Den(replace(a_node("n0", gpus=1), held=[young])), (1, 1, 9, None)

    def loss(later: timedelta) -> tuple[int, ...]:
        return den.pack(instant(NOON + later), ended=frozenset(), borrowed=frozenset()).least_loss(asked)

    assert loss(MINUTE / 2) == ()
    assert loss(MINUTE) == (1, instant(NOON), 0, 0)
    assert loss(MINUTE / 2) == ()


def test_a_pack_does_not_remember_for_ever():
    pack = Den(a_node("n0")).pack(instant(NOON), ended=frozenset(), borrowed=frozenset())
    for cpus in range(10_000):
        pack.least_loss((0, cpus, 5, None))

    assert len(pack.known) <= 256


@scenes
@given(seeds)
def test_the_books_are_the_same_in_whatever_order_nodes_and_runs_come(seed: int):
    dice = Random(seed)
    lasts = [None, Duration(MINUTE * 7, MINUTE * 9)]
    runs = [
        a_run(
            a_job(f"j{number}", team=dice.choice("ab"), user=dice.choice("uv"), expected=dice.choice(lasts)),
            {f"n{number % 3}-0": dice.randint(1, 80 * 1024)},
            placed_at=NOON - dice.random() * MINUTE * 999,
        )
        for number in range(20)
    ]
    nodes = [replace(a_node(f"n{number}"), held=runs[number::3]) for number in range(3)]
    shuffled = [replace(node, held=dice.sample(node.held, len(node.held))) for node in dice.sample(nodes, 3)]

    first, second = (Books(Scene.of(seed).sharing, each, now=NOON) for each in (nodes, shuffled))

    for team in "ab":
        assert first.standing(team) == second.standing(team)
        assert first.user_claim(team, "u") == second.user_claim(team, "u")


def test_a_request_for_more_than_is_left_loses_more():
    held = [a_run(a_job(f"r{slot}", gpus=1), {f"n0-{slot}": 80 * 1024}, placed_at=NOON - MINUTE) for slot in range(4)]
    pack = Den(replace(a_node("n0"), held=held)).pack(instant(NOON), ended=frozenset(), borrowed=frozenset())

    losses = [pack.least_loss((gpus, Request().cpus, 9, None)) for gpus in range(6)]

    assert [loss[:1] for loss in losses] == [(0,), (1,), (2,), (3,), (4,), ()]
