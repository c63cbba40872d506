"""Waiting jobs and fleets of all kinds, drawn by a seed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random

from levare.decide.capacity import Room
from levare.decide.placement import place
from levare.model import (
    Account,
    DayWindow,
    Decision,
    Device,
    Duration,
    Held,
    Node,
    Quota,
    Request,
    Sharing,
    Waiting,
    Window,
)
from tests.pure.world import CARD, GIB, NOON, a_run

HOUR = timedelta(hours=1)
TEAMS = ("a", "b")
LASTS = (None, *(Duration(HOUR * hours / 2, HOUR * hours) for hours in (1, 4, 30)))
REPAIR = Window("repair", "n0", NOON + HOUR * 2, NOON + HOUR * 3)
COURSE = Window("course", "n0", NOON - HOUR, NOON + HOUR, team="a")


@dataclass(frozen=True)
class Scene:
    """What a decision is made on."""

    waiting: list[Waiting]
    nodes: list[Node]
    sharing: Sharing

    @classmethod
    def of(cls, seed: int, *, simple: bool = False, lasts: Sequence[Duration | None] = LASTS) -> "Scene":
        """
        Any, drawn by a seed: hypothesis takes 20 times as long to draw one by itself.

        A simple one has GPUs and CPUs, one node a job, and nominal quotas of teams.
        """
        dice = Random(seed)
        nodes = [_a_node(dice, f"n{number}", simple=simple) for number in range(dice.randint(0, 3))]
        for number in range(dice.randint(0, 8) if nodes else 0):
            place_of = dice.randrange(len(nodes))
            nodes[place_of] = _filled(nodes[place_of], f"r{number}", dice, lasts, simple=simple)
        waiting = [_a_job(dice, f"j{number}", lasts, simple=simple) for number in range(dice.randint(0, 10))]
        sharing = _nominal(dice) if simple else _a_sharing(dice, nodes)
        return cls(waiting, nodes, sharing)

    @property
    def running(self) -> list[Held]:
        return [held for node in self.nodes for held in node.held]

    def decide(self) -> Decision:
        return place(self.waiting, self.nodes, now=NOON, sharing=self.sharing)


def _a_request(dice: Random, *, simple: bool) -> Request:
    plain = Request(gpus=dice.choice([0, 1, 1, 2, 3]), cpus=dice.randint(1, 4))
    if simple:
        return plain
    disk = (("disk", "ssd"),)
    rare = {
        "gpu_memory_mib": 30 * GIB,
        "memory_mib": 24 * GIB,
        "scratch_mib": 6 * GIB,
        "gpu_model": "a100",
        "resources": dice.choice([(("fpga", 1),), (("matlab", 1),), (("matlab", 2),), (("fpga", 2), ("matlab", 2))]),
        "require": disk,
        "prefer": disk,
        "avoid": disk,
        "nodes": 2,
        "spread": True,
    }
    return replace(plain, **{name: value for name, value in rare.items() if dice.random() < 0.25})


def _a_job(dice: Random, name: str, lasts: Sequence[Duration | None], *, simple: bool) -> Waiting:
    return Waiting(
        name,
        _a_request(dice, simple=simple),
        priority=dice.randint(0, 9),
        since=NOON - timedelta(minutes=dice.choice([0, 5, 29, 40, 300])),
        team=dice.choice(TEAMS),
        user=dice.choice("uv"),
        expected=dice.choice(lasts),
        only_between=DayWindow(13 * 60, 6 * 60) if dice.random() < 0.05 and not simple else None,
        shunned=frozenset({"n0"}) if dice.random() < 0.2 else frozenset(),
        count=dice.choice([1, 1, 1, 4]),
        owed_since=NOON - timedelta(minutes=1) if dice.random() < 0.1 else None,
    )


def _a_node(dice: Random, name: str, *, simple: bool) -> Node:
    cards = [Device(f"{name}-{slot}", slot, CARD, dice.choice(["H100", "A100"])) for slot in range(dice.randint(0, 4))]
    node = Node(name, "ready", dice.randint(1, 16), 64 * GIB, cards, scratch_mib=10 * GIB, resources={"fpga": 2})
    if simple:
        return node
    rare = {
        "devices": [replace(card, blocked="bob's" if dice.random() < 0.3 else "") for card in cards],
        "state": "draining",
        "labels": {"disk": "ssd"},
        "windows": [dice.choice([REPAIR, COURSE])],
        "note": "Excluded by alice.",
    }
    return replace(node, **{name: value for name, value in rare.items() if dice.random() < 0.2})


def _filled(node: Node, name: str, dice: Random, lasts: Sequence[Duration | None], *, simple: bool) -> Node:
    """With one more run on it, if it fits."""
    request = replace(_a_request(dice, simple=simple), nodes=1)
    devices = Room(node).devices_for(request)
    run = a_run(
        replace(_a_job(dice, name, lasts, simple=simple), request=request),
        devices or {},
        preemptible=dice.random() < 0.8,
        min_runtime=dice.choice([timedelta(), HOUR]),
        placed_at=NOON - timedelta(minutes=dice.randint(0, 300)),
    )
    if dice.random() < 0.2:
        run = replace(run, is_ending=True, ending_for=dice.choice([None, "j0", "j1", "gone"]))
    return node if devices is None else replace(node, held=[*node.held, run])


def _a_sharing(dice: Random, nodes: Sequence[Node]) -> Sharing:
    used = sum(dict(held.resources).get("matlab", 0) for node in nodes for held in node.held)
    known = [name for name in ("a", "b", "a:u", "b/default") if dice.random() < 0.5]
    return Sharing({name: _an_account(dice, name) for name in known}, licences={"matlab": used + dice.randint(0, 3)})


def _an_account(dice: Random, name: str) -> Account:
    quota = Quota(
        gpus=dice.choice([None, 0, 1, 2, 4]),
        running=dice.choice([None, None, 2, 5]),
        gpu_hours=dice.choice([None, None, 3.0]),
        borrow=dice.random() < 0.5,
    )
    return Account(name, dice.choice([1.0, 3.0]), quota, dice.random() * 1e6)


def _nominal(dice: Random) -> Sharing:
    return Sharing({name: Account(name, quota=Quota(gpus=dice.randint(0, 4))) for name in TEAMS})
