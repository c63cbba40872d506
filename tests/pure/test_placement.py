from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from levare.decide.placement import AGEING, PATIENCE, can_never_run, place
from levare.model import Account, Device, Duration, Held, Node, Promise, Request, Sharing, Waiting

HOUR = timedelta(hours=1)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
GIB = 1024


def a_node(
    name: str = "n1", *, gpus: int = 4, cpus: int = 16, memory_gib: int = 64, held: tuple[Held, ...] = (), **more
):
    devices = [Device(f"{name}-{i}", i, 80 * GIB) for i in range(gpus)]
    return Node(name, more.get("state", "ready"), cpus, memory_gib * GIB, devices, held)


def a_run(*uuids: str, mib: int = 80 * GIB, cpus: int = 1) -> Held:
    return Held("x-1", "x", dict.fromkeys(uuids, mib), cpus, 0)


def a_job(name: str, *, priority: int = 5, since: datetime = NOON, **request) -> Waiting:
    return Waiting(name, Request(**request), priority, since)


def codes(decision, job: str) -> list[str]:
    return [reason.code for reason in decision.reasons[job]]


def test_the_higher_priority_starts_first_when_there_is_room_for_one():
    jobs = [a_job("low", gpus=1, priority=1), a_job("high", gpus=1, priority=9)]

    decision = place(jobs, [a_node(gpus=1)], now=NOON)

    assert [placement.job_id for placement in decision.placements] == ["high"]
    assert codes(decision, "low") == ["gpus-busy"]


def test_among_equals_the_one_that_waits_longest_starts_first():
    jobs = [a_job("late", gpus=1), a_job("early", gpus=1, since=NOON - timedelta(seconds=1))]

    decision = place(jobs, [a_node(gpus=1)], now=NOON)

    assert decision.placements[0].job_id == "early"


def test_waiting_long_enough_outweighs_priority():
    jobs = [a_job("old", gpus=1, priority=3, since=NOON - 4 * AGEING), a_job("new", gpus=1, priority=6)]

    assert place(jobs, [a_node(gpus=1)], now=NOON).placements[0].job_id == "old"


def test_what_has_been_promised_holds_whoever_comes_first_later():
    """Else every start, which changes the order of the teams, would break a promise."""
    runs = replace(a_run("n1-0"), placed_at=NOON, expected=Duration(HOUR, HOUR))
    promised = replace(a_job("promised", gpus=2, since=NOON), promised_at=NOON + HOUR, team="late")
    first = replace(a_job("first", gpus=2, since=NOON), expected=Duration(HOUR, HOUR))
    books = Sharing({"late": Account("late", use=1e9)})
    nodes = [a_node(gpus=2, held=(runs,))]

    assert place([promised, first], nodes, now=NOON, sharing=books).promises == {
        "promised": Promise(("n1",), NOON + HOUR)
    }
    assert [p.job_id for p in place([promised, first], [a_node(gpus=2)], now=NOON, sharing=books).placements] == [
        "promised"
    ]


def test_a_whole_gpu_is_never_shared_and_parts_are_packed_onto_the_fullest_that_fits():
    half_used = a_run("n1-0", mib=40 * GIB)
    jobs = [a_job("whole", gpus=1, priority=9), a_job("part", gpus=1, gpu_memory_mib=30 * GIB)]

    decision = place(jobs, [a_node(gpus=2, held=(half_used,))], now=NOON)

    assert {p.job_id: dict(p.devices) for p in decision.placements} == {
        "whole": {"n1-1": 80 * GIB},
        "part": {"n1-0": 30 * GIB},
    }


def test_a_job_goes_where_it_spoils_least():
    nodes = [a_node("big", gpus=4), a_node("small", gpus=1), a_node("none", gpus=0)]
    jobs = [a_job("gpu", gpus=1, priority=6), a_job("cpu")]

    decision = place(jobs, nodes, now=NOON)

    assert {p.job_id: p.queue for p in decision.placements} == {"gpu": "gpu.small", "cpu": "cpu.none"}


def test_every_shortage_is_named_with_its_numbers():
    busy = a_node(gpus=2, cpus=4, memory_gib=8, held=(a_run("n1-0", cpus=3),))

    reasons = place([a_job("j", gpus=2, cpus=2, memory_mib=4 * GIB)], [busy], now=NOON).reasons["j"]

    assert [(r.code, r.kind, r.asked, r.available) for r in reasons] == [
        ("gpus-busy", "will-wait", 2, 1),
        ("cpus-busy", "will-wait", 2, 1),
    ]
    assert reasons[0].message == "Asks for 2 whole GPUs on one node; no node has more than 1 free (n1)."


def test_what_is_there_but_never_together_is_said_so():
    nodes = [a_node("a", gpus=1, cpus=1), a_node("b", gpus=0, cpus=8)]
    held = [a_node("a", gpus=1, cpus=4, held=(a_run(cpus=3),)), nodes[1]]

    assert codes(place([a_job("j", gpus=1, cpus=4)], held, now=NOON), "j") == ["not-together"]


def test_a_request_beyond_every_node_can_never_run():
    reason = can_never_run(Request(gpus=9), [a_node("a", gpus=4), a_node("b", gpus=8)])

    assert reason is not None
    assert (reason.kind, reason.asked, reason.available) == ("can-never-run", 9, 8)


def test_as_long_as_no_node_has_joined_nothing_is_impossible():
    assert can_never_run(Request(gpus=9), []) is None
    assert codes(place([a_job("j")], [], now=NOON), "j") == ["no-nodes"]


def test_a_draining_node_takes_nothing_and_is_the_reason():
    decision = place([a_job("j", gpus=1)], [a_node(state="draining")], now=NOON)

    assert not decision.placements
    assert "node-draining" in codes(decision, "j")


def test_small_jobs_pass_a_big_one_until_it_has_waited_long_enough_and_then_a_node_is_kept_for_it():
    busy = a_node(gpus=4, held=(a_run("n1-0", "n1-1"),))
    small = a_job("small", gpus=1, priority=0)
    fresh, patient = a_job("big", gpus=4), a_job("big", gpus=4, since=NOON - PATIENCE)

    assert [p.job_id for p in place([fresh, small], [busy], now=NOON).placements] == ["small"]
    decision = place([patient, small], [busy], now=NOON)
    assert not decision.placements
    assert "node-kept" in codes(decision, "small")


requests = st.builds(
    Request,
    gpus=st.integers(0, 3),
    gpu_memory_mib=st.sampled_from([None, 10 * GIB, 50 * GIB]),
    cpus=st.integers(1, 6),
    memory_mib=st.sampled_from([0, 8 * GIB, 40 * GIB]),
)
waiting = st.lists(
    st.builds(
        Waiting,
        job_id=st.uuids().map(str),
        request=requests,
        priority=st.integers(0, 9),
        since=st.integers(0, 5000).map(lambda s: NOON - timedelta(seconds=s)),
    ),
    max_size=12,
    unique_by=lambda job: job.job_id,
)
fleets = st.lists(
    st.builds(a_node, st.sampled_from("abcdef"), gpus=st.integers(0, 4), cpus=st.integers(1, 8)),
    max_size=4,
    unique_by=lambda node: node.name,
)


@given(waiting, fleets)
def test_nothing_is_ever_oversold(jobs, nodes):
    decision = place(jobs, nodes, now=NOON)

    for node in nodes:
        mine = [p for p in decision.placements if p.node == node.name]
        assert sum(p.request.cpus for p in mine) <= node.cpus
        assert sum(p.request.memory_mib for p in mine) <= node.memory_mib
        for device in node.devices:
            assert sum(p.devices.get(device.uuid, 0) for p in mine) <= device.memory_mib
    assert all(len(p.devices) == p.request.gpus for p in decision.placements)


@given(waiting, fleets)
def test_every_job_is_either_placed_or_has_a_reason(jobs, nodes):
    decision = place(jobs, nodes, now=NOON)

    placed = {p.job_id for p in decision.placements}
    assert placed | set(decision.reasons) == {job.job_id for job in jobs}
    assert not placed & set(decision.reasons)
    assert all(decision.reasons.values())


@given(waiting, fleets, st.randoms())
def test_the_order_of_the_input_does_not_matter(jobs, nodes, random):
    first = place(jobs, nodes, now=NOON)
    shuffled = random.sample(jobs, len(jobs)), random.sample(nodes, len(nodes))

    assert place(*shuffled, now=NOON) == first


@given(requests, fleets)
def test_what_can_never_run_is_placed_nowhere_and_all_else_fits_the_empty_fleet(request, nodes):
    decision = place([Waiting("j", request, 5, NOON)], nodes, now=NOON)

    assert bool(decision.placements) == (bool(nodes) and can_never_run(request, nodes) is None)


def taken(node: Node, *indices: int, by: str = "foreign") -> Node:
    cards = [
        replace(card, ownership=by, blocked=f"GPU {card.index} of {node.name} is bob's.")
        if card.index in indices
        else card
        for card in node.devices
    ]
    return replace(node, devices=cards)


def test_a_gpu_that_others_use_is_offered_neither_whole_nor_in_part_and_is_the_reason():
    jobs = [a_job("whole", gpus=1), a_job("part", gpus=1, gpu_memory_mib=GIB), a_job("none")]

    decision = place(jobs, [taken(a_node(gpus=1), 0)], now=NOON)

    assert [placement.job_id for placement in decision.placements] == ["none"]
    for job in ("whole", "part"):
        reasons = decision.reasons[job]
        assert [(r.code, r.kind) for r in reasons] == [("gpus-busy", "will-wait"), ("gpu-foreign", "will-wait")]
        assert reasons[1].message == "GPU 0 of n1 is bob's."


def test_a_job_takes_the_gpus_that_others_leave_alone():
    decision = place([a_job("j", gpus=2)], [taken(a_node(gpus=3), 1, by="orphan")], now=NOON)

    assert set(decision.placements[0].devices) == {"n1-0", "n1-2"}


def test_others_are_a_reason_also_where_jobs_are_in_the_way_now():
    busy = taken(a_node(gpus=4, held=(a_run("n1-1", "n1-2"),)), 0, by="orphan")

    assert codes(place([a_job("j", gpus=4)], [busy], now=NOON), "j") == ["gpus-busy", "gpu-orphan"]
    assert codes(place([a_job("j", gpus=3)], [busy], now=NOON), "j") == ["gpus-busy"]


def test_no_node_is_kept_for_a_job_that_others_keep_from_running_there():
    patient = a_job("big", gpus=2, since=NOON - PATIENCE)

    decision = place([patient, a_job("small", gpus=1, priority=0)], [taken(a_node(gpus=2), 0)], now=NOON)

    assert [placement.job_id for placement in decision.placements] == ["small"]


def test_what_others_use_today_is_no_reason_never_to_run():
    assert can_never_run(Request(gpus=2), [taken(a_node(gpus=2), 0, 1)]) is None
