"""From seconds to buckets: nothing twice, nothing lost, and little of who lived for little."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levare.model.sampled import Bucket, Spread, merge, regrouped, sampled
from worker.downsample import Downsampler

T0 = 1_800_000_000 - 1_800_000_000 % 900


def lived(seconds: int, *, begin: int = 0, end: bool = True) -> list[Bucket]:
    """The buckets of somebody who was measured so long; its counter is the second."""
    each = Downsampler()
    found = [bucket for at in range(begin, begin + seconds) for bucket in each.add({"cpu_percent": at}, T0 + at)]
    return found + (each.finish() if end else [])


def of_tier(buckets: Sequence[Bucket], tier: int) -> list[Bucket]:
    return [bucket for bucket in buckets if bucket.seconds == tier]


def test_every_second_is_in_each_tier_once():
    found = lived(1900)

    for tier in (10, 60, 900):
        assert sum(bucket.samples for bucket in of_tier(found, tier)) == 1900
        assert len({bucket.at for bucket in of_tier(found, tier)}) == len(of_tier(found, tier)) == -(-1900 // tier)


def test_mean_lowest_and_highest_are_those_of_the_seconds():
    [first, second, third] = of_tier(lived(1900), 900)

    assert (first.at, first.counters["cpu_percent"]) == (T0, Spread(449.5, 0, 899))
    assert (second.at, second.counters["cpu_percent"]) == (T0 + 900, Spread(1349.5, 900, 1799))
    assert third.counters["cpu_percent"] == Spread(1849.5, 1800, 1899)


@pytest.mark.parametrize(
    ("seconds", "rows"), [(1, []), (9, []), (10, [10]), (49, [10] * 5), (60, [10] * 6 + [60, 900])]
)
def test_who_lived_for_little_leaves_little(seconds: int, rows: list[int]):
    assert [bucket.seconds for bucket in sorted(lived(seconds), key=lambda each: each.seconds)] == rows


def test_a_full_bucket_does_not_wait_for_the_coarser_one():
    found = lived(62, end=False)

    assert [bucket.seconds for bucket in found] == [10] * 6 + [60]


def test_a_counter_that_comes_and_goes_is_that_of_the_seconds_that_had_it():
    each = Downsampler()
    for at in range(10):
        each.add({"a": 1.0} | ({"b": float(at)} if at in (3, 5) else {}), T0 + at)

    [bucket, *_] = each.finish()

    assert bucket.counters == {"a": Spread(1, 1, 1), "b": Spread(4, 3, 5)}


def test_single_cores_and_bits_are_not_kept():
    each = Downsampler()
    sample = {"cpu_percent": 5.0, "cpu0_percent": 9.0, "cpu_busiest_percent": 9.0, "gpu3_throttle_reasons": 4.0}
    for at in range(10):
        each.add(sample, T0 + at)

    assert each.finish()[0].counters.keys() == {"cpu_percent", "cpu_busiest_percent"}


def test_who_resumes_goes_on_where_the_one_before_it_stopped():
    whole = lived(1000, end=False)
    split = lived(745, end=False)
    last_minute, last_quarter = of_tier(split, 60)[-1].end, T0
    each = Downsampler()
    found = each.resume(
        [bucket for bucket in of_tier(split, 10) if bucket.at >= last_minute],
        [bucket for bucket in of_tier(split, 60) if bucket.at >= last_quarter],
    )
    for at in range(740, 1000):  # the seconds since the last bucket are in Redis
        found += each.add({"cpu_percent": at}, T0 + at)

    for tier in (10, 60, 900):
        assert of_tier([*split, *found], tier) == of_tier(whole, tier)


@given(st.lists(st.integers(-40, 40), max_size=60))
def test_a_clock_that_jumps_loses_no_second(steps: list[int]):
    each, at, found = Downsampler(), T0, list[Bucket]()
    for step in (1,) * 60 + tuple(steps):
        at += step
        found += each.add({"a": 1.0}, at)
    found += each.finish()

    for tier in (10, 60, 900):
        assert sum(bucket.samples for bucket in of_tier(found, tier)) == 60 + len(steps)
    assert all(bucket.counters["a"] == Spread(1, 1, 1) for bucket in found)


def test_a_mean_weighs_as_much_as_its_samples():
    one = Bucket(T0, 10, 9, {"a": Spread(1, 0, 2)})
    other = Bucket(T0 + 10, 10, 1, {"a": Spread(11, 11, 11), "b": Spread(3, 3, 3)})

    merged = merge([one, other], T0, 60)

    assert merged == Bucket(T0, 60, 10, {"a": Spread(2, 0, 11), "b": Spread(3, 3, 3)})


def test_coarser_buckets_stay_and_finer_ones_are_put_together():
    buckets = [Bucket(T0, 900, 900, {}), sampled(T0 + 900.7, {"a": 1.0}), sampled(T0 + 959.9, {"a": 3.0})]

    assert [(each.at - T0, each.seconds, each.samples) for each in regrouped(buckets, 60)] == [
        (0, 900, 900),
        (900, 60, 2),
    ]
