"""How many workers a pool has, where, and which of them go."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from levare.decide.declared_pools import pool_of
from levare.decide.pools import Supply, at_most, demand, scale, supplied
from levare.model import Device, Machine, Offers, Pool, PoolWorker, Reason, Request, Scaling
from levare.model.pools import DRAINING, STOPPING, WANTED

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
SIMULATED = Offers(cpus=4, simulated_gpus="4x80GiB")


def a_machine(name: str = "m1", *, gpus: int = 0, **facts: Any) -> Machine:
    cards = [Device(f"GPU-{name}-{index}", index, 80 * 1024, "H100") for index in range(gpus)]
    return Machine(name, cpus=16, memory_mib=65536, gpus=cards, **facts)


def a_pool(workers: int = 1, *, most: int | None = None, **facts: Any) -> Pool:
    return Pool("p", workers, workers if most is None else most, **{"offers": SIMULATED, **facts})


def one(pool: Pool, machines: list[Machine], workers: Any = (), waiting: int = 0, now: datetime = NOON) -> Scaling:
    [scaling] = scale([pool], machines, list(workers), {pool.name: waiting}, now=now)
    return scaling


def after(workers: list[PoolWorker], decided: Scaling) -> list[PoolWorker]:
    """What SQL holds once a decision is written."""
    states = dict.fromkeys(decided.drain, DRAINING) | dict.fromkeys(decided.keep, WANTED)
    states |= dict.fromkeys(decided.stop, STOPPING)
    return [*(replace(each, state=states.get(each.name, each.state)) for each in workers), *decided.start]


def started(pool: Pool, machines: list[Machine], **attempts: int) -> list[PoolWorker]:
    """The workers that the pool has there; `attempts` live on those named so, with `_` for `-`."""
    busy = {name.replace("_", "-"): count for name, count in attempts.items()}
    return [replace(each, attempts=busy.get(each.name, 0)) for each in one(pool, machines).start]


def test_a_pool_starts_as_many_as_are_asked_for_spread_over_its_machines():
    scaling = one(a_pool(3), [a_machine("m1"), a_machine("m2")])

    assert [worker.name for worker in scaling.start] == ["m1-p-1", "m2-p-1", "m1-p-2"]
    assert (scaling.wanted, scaling.why) == (3, "3 workers are asked for.")


def test_only_machines_with_all_its_labels_are_its_own():
    machines = [a_machine("m1", labels={"zone": "a"}), a_machine("m2", labels={"zone": "b"})]

    scaling = one(a_pool(2, select=(("zone", "b"),)), machines)

    assert {worker.machine for worker in scaling.start} == {"m2"}
    assert dict(scaling.start[0].share.labels) == {"zone": "b", "pool": "p", "machine": "m2"}


def test_real_gpus_are_divided_without_overlap_until_none_is_left():
    scaling = one(a_pool(5, offers=Offers(cpus=2, gpus=2)), [a_machine(gpus=5)])

    given_away = [uuid for worker in scaling.start for uuid in worker.share.gpus or ()]
    assert len(scaling.start) == 2
    assert given_away == ["GPU-m1-0", "GPU-m1-1", "GPU-m1-2", "GPU-m1-3"]
    assert "There is no room for 3 more: m1 has 1 GPU left of 5, and a worker needs 2." in scaling.why


def test_cpus_and_memory_bound_what_is_real():
    assert len(one(a_pool(9, offers=Offers(cpus=6)), [a_machine()]).start) == 2
    assert len(one(a_pool(9, offers=Offers(cpus=1, memory_mib=30000)), [a_machine()]).start) == 2
    assert len(one(a_pool(20), [a_machine()]).start) == 20


def test_without_an_offer_one_worker_has_all_of_a_machine():
    whole, slots = a_pool(3, offers=None), Pool("q", 1, 1, offers=Offers(cpus=1))

    first, second = scale([whole, slots], [a_machine("m1"), a_machine("m2")], [], {}, now=NOON)

    assert [(worker.name, worker.share.is_whole) for worker in first.start] == [("m1-p-1", True), ("m2-p-1", True)]
    assert "m1 is taken by m1-p-1; m2 is taken by m2-p-1" in first.why
    assert not second.start


def test_no_worker_gets_the_name_of_a_node_that_is_there():
    [scaling] = scale([a_pool(1)], [a_machine()], [], {}, now=NOON, taken=frozenset(["m1-p-1"]))

    assert scaling.start[0].name == "m1-p-2"


def test_fewer_are_wanted_so_idle_ones_go_first_and_busy_ones_drain():
    pool, machines = a_pool(4), [a_machine()]
    workers = started(pool, machines, m1_p_1=2, m1_p_2=1, m1_p_3=0, m1_p_4=3)

    decided = one(replace(pool, least=1, most=1), machines, workers)

    assert list(decided.drain) == ["m1-p-3", "m1-p-2", "m1-p-1"]
    assert not decided.stop
    following = one(replace(pool, least=1, most=1), machines, after(workers, decided))
    assert (list(following.drain), list(following.stop)) == ([], ["m1-p-3"])


def test_what_drains_is_kept_after_all_before_anything_is_started():
    pool, machines = a_pool(3), [a_machine()]
    workers = started(pool, machines, m1_p_1=1, m1_p_2=1, m1_p_3=1)
    draining = after(workers, one(replace(pool, least=1, most=1), machines, workers))

    back = one(replace(pool, least=4, most=4), machines, draining)

    assert sorted(back.keep) == ["m1-p-2", "m1-p-3"]
    assert [worker.name for worker in back.start] == ["m1-p-4"]


def test_what_is_being_stopped_is_not_kept_and_its_place_is_not_given_away():
    pool, machines = a_pool(2, offers=Offers(cpus=8, gpus=1)), [a_machine(gpus=2)]
    workers = [replace(each, state=STOPPING) for each in started(pool, machines)]

    decided = one(pool, machines, workers)

    assert not decided.keep
    assert not decided.start


def test_a_pool_follows_the_queue_between_its_bounds():
    pool, machines = a_pool(1, most=6, queue_per_worker=4), [a_machine()]

    assert [len(one(pool, machines, waiting=waiting).start) for waiting in (0, 1, 4, 5, 100)] == [1, 1, 1, 2, 6]


def test_a_busy_worker_is_beside_those_that_the_queue_needs():
    pool, machines = a_pool(0, most=6, queue_per_worker=1), [a_machine()]
    workers = started(replace(pool, least=2), machines, m1_p_1=1)

    decided = one(pool, machines, workers, waiting=2)

    assert decided.wanted == 3
    assert decided.why.startswith("2 jobs that it could run wait for room, and 1 of its workers is busy:")


def test_it_shrinks_only_after_its_cool_down_and_by_what_is_idle():
    pool, machines = a_pool(0, most=6, queue_per_worker=1, cool_down=timedelta(minutes=5)), [a_machine()]
    workers = started(replace(pool, least=3), machines, m1_p_1=1)

    first = one(pool, machines, workers)
    later = one(replace(pool, surplus_since=first.surplus_since), machines, workers, now=NOON + timedelta(minutes=5))

    assert (first.surplus_since, dict(first.drain)) == (NOON, {})
    assert "2 more are kept until 12:05:00 UTC" in first.why
    assert list(later.drain) == ["m1-p-3", "m1-p-2"]


def test_the_cool_down_begins_anew_when_all_were_needed_meanwhile():
    pool, machines = a_pool(0, most=6, queue_per_worker=1, cool_down=timedelta(minutes=5)), [a_machine()]
    workers = started(replace(pool, least=2), machines)

    needed = one(replace(pool, surplus_since=NOON), machines, workers, waiting=2, now=NOON + timedelta(minutes=4))

    assert needed.surplus_since is None


def test_a_number_that_was_edited_holds_at_once():
    pool, machines = a_pool(3), [a_machine()]

    assert len(one(replace(pool, least=1, most=1), machines, started(pool, machines)).drain) == 2


def test_outside_its_hours_a_pool_has_no_workers():
    declared = {"workers": 2, "zone": "Europe/Berlin", "calendar": {"days": "MON-FRI", "windows": ["20:00-06:00"]}}
    noon, night = (pool_of("p", declared, now=at) for at in (NOON, NOON.replace(hour=19)))
    workers = started(night, [a_machine("m1"), a_machine("m2")])

    closed = one(noon, [a_machine("m1"), a_machine("m2")], workers)

    assert len(workers) == 2
    assert len(closed.drain) == 2
    assert closed.why == ("It is closed: it exists only on MON-FRI, from 20:00-06:00 by the clocks of Europe/Berlin.")


def test_the_workers_of_a_pool_that_was_removed_drain_and_stop():
    workers = started(a_pool(2), [a_machine()], m1_p_1=1)

    [decided] = scale([], [a_machine()], workers, {}, now=NOON)
    [following] = scale([], [a_machine()], after(workers, decided), {}, now=NOON)

    assert dict(decided.drain) == dict.fromkeys(["m1-p-1", "m1-p-2"], "The pool was removed.")
    assert list(following.stop) == ["m1-p-2"]


def test_another_offer_replaces_workers_and_another_price_does_not():
    pool, machines = a_pool(1), [a_machine()]
    workers = started(pool, machines, m1_p_1=1)

    dearer = one(replace(pool, price=2.5), machines, workers)
    larger = one(replace(pool, offers=Offers(cpus=8, simulated_gpus="4x80GiB")), machines, workers)

    assert not dearer.moves_any
    assert dict(larger.drain) == {"m1-p-1": "The pool offers something else now."}
    assert [worker.name for worker in larger.start] == ["m1-p-2"]


def test_a_drained_machine_lets_its_workers_go_to_others():
    pool, machines = a_pool(2), [a_machine("m1"), a_machine("m2")]
    workers = started(pool, machines)

    decided = one(pool, [replace(machines[0], is_draining=True), machines[1]], workers)

    assert dict(decided.drain) == {"m1-p-1": "Its machine is drained."}
    assert [worker.name for worker in decided.start] == ["m2-p-2"]


def test_what_runs_on_a_machine_that_is_away_is_replaced_and_let_be():
    pool, machines = a_pool(2), [a_machine("m1"), a_machine("m2")]
    workers = started(pool, machines)
    away = [replace(machines[0], is_here=False), machines[1]]

    decided = one(pool, away, workers)
    returned = one(pool, machines, after(workers, decided))

    assert [worker.name for worker in decided.start] == ["m2-p-2"]
    assert not decided.drain
    assert len(returned.drain) == 1


def test_where_no_machine_is_the_pool_says_so():
    scaling = one(a_pool(2, select=(("zone", "x"),)), [a_machine()])

    assert "No machine with zone=x has joined; `levare nodes invite` brings one in." in scaling.why


def test_only_what_a_worker_could_run_is_its_queue():
    pools = [a_pool(0, most=4, queue_per_worker=1), Pool("cpu", 0, 4, 1, offers=Offers(cpus=2))]
    asked = [(Request(gpus=1), 5), (Request(cpus=2), 3), (Request(cpus=3), 1), (Request(gpus=4, nodes=2), 1)]
    asked += [(Request(gpus=5), 7), (Request(require=(("pool", "cpu"),)), 2), (Request(require=(("zone", "x"),)), 2)]

    assert demand(asked, pools, [a_machine()]) == {"p": 5 + 3 + 1 + 2, "cpu": 3 + 2}


def test_a_gang_may_be_as_large_as_a_pool_may_become():
    pool = a_pool(0, most=3, queue_per_worker=1)

    assert [node.name for node in at_most(pool, [a_machine(is_here=False)])] == ["m1-p-1", "m1-p-2", "m1-p-3"]


def test_why_a_job_waits_names_the_pool_that_could_run_it_instead_of_never():
    never = Reason("gpus", "can-never-run", "No node has 2 GPUs.")
    supply = Supply("p", at_most(a_pool(1), [a_machine()]), 0, 1, "1 worker is asked for.")

    assert supplied([never], Request(gpus=9), [supply]) == [never]
    [reason] = supplied([never], Request(gpus=2), [supply])
    assert reason.kind == "will-wait"
    assert reason.message == "The pool p could run it; it has 0 of 1 worker. 1 worker is asked for."


Step = dict[str, tuple[int, bool, int]]
"""By pool: how many wait, whether its workers are busy, and the number that somebody has edited it to."""


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Pool], list[Machine], list[Step]]:
    """Pools, machines, and a course of events."""
    offers = st.sampled_from([None, SIMULATED, Offers(cpus=4, gpus=1), Offers(cpus=5), Offers(cpus=1, gpus=2)])
    queues = st.sampled_from([None, 1, 3])
    pools = [Pool(name, 0, 4, draw(queues), offers=draw(offers)) for name in ("a", "b")]
    machines = [a_machine(f"m{place}", gpus=draw(st.integers(0, 4))) for place in range(draw(st.integers(1, 3)))]
    event = st.tuples(st.integers(0, 9), st.booleans(), st.integers(0, 4))
    course = draw(st.lists(st.fixed_dictionaries({"a": event, "b": event}), min_size=2, max_size=6))
    return pools, machines, course


@settings(max_examples=200)
@given(situations())
def test_nothing_is_given_twice_and_nothing_that_is_busy_is_stopped(
    situation: tuple[list[Pool], list[Machine], list[Step]],
):
    pools, machines, course = situation
    workers: list[PoolWorker] = []
    for step in course:
        workers = [replace(each, attempts=int(step[each.pool][1])) for each in workers if each.state != STOPPING]
        queue = {name: waiting for name, (waiting, _, _) in step.items()}
        edited = [replace(pool, least=step[pool.name][2], most=max(4, step[pool.name][2])) for pool in pools]
        for decided in scale(edited, machines, workers, queue, now=NOON):
            assert all(each.attempts == 0 for each in workers if each.name in decided.stop)
            workers = after(workers, decided)
        assert len({each.name for each in workers}) == len(workers)
        for machine in machines:
            real = [each.share for each in workers if each.machine == machine.name and not each.share.simulated_gpus]
            gpus = [uuid for share in real for uuid in share.gpus or ()]
            assert len(gpus) == len(set(gpus))
            assert sum(share.cpus or 0 for share in real) <= machine.cpus
            assert len(real) == 1 or not any(share.is_whole for share in real)


@given(situations())
def test_what_is_decided_twice_on_the_same_facts_is_the_same_whatever_their_order(
    situation: tuple[list[Pool], list[Machine], list[Step]],
):
    pools, machines, _ = situation

    assert scale(pools, machines, [], {"a": 2}, now=NOON) == scale(pools[::-1], machines[::-1], [], {"a": 2}, now=NOON)
