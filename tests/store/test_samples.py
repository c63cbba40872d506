"""Down-sampled samples in SQL: what was written comes back, in the tier that fits, each bucket once."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from levare.model.sampled import KEPT, TIERS, Bucket, Spread
from levare.store import samples
from levare.store.engine import Database
from levare.store.tables_samples import sample_layouts
from levare.store.tables_samples import samples as rows

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
AT = int(NOON.timestamp())


def a_bucket(at: int, seconds: int = 10, value: float = 5.0, **more: float) -> Bucket:
    counters = {"cpu_percent": Spread(value, value - 1, value + 1)}
    return Bucket(AT + at, seconds, seconds, counters | {name: Spread(each, each, each) for name, each in more.items()})


def write(database: Database, *buckets: Bucket, owner: str = "n1") -> None:
    with database.writing() as connection:
        samples.write(connection, [samples.pack("node", owner, bucket) for bucket in buckets])


def history(database: Database, begin: int, end: int, step: int | None = None, owner: str = "n1") -> list[Bucket]:
    since, until = (NOON + timedelta(seconds=at) for at in (begin, end))
    with database.reading() as connection:
        return samples.history(connection, "node", owner, since=since, until=until, step=step)


def count(database: Database) -> int:
    with database.reading() as connection:
        return connection.execute(select(func.count()).select_from(rows)).scalar_one()


def test_what_was_written_comes_back_as_it_was(database: Database):
    bucket = Bucket(
        AT, 10, 7, {"cpu_percent": Spread(12.34, 0.5, 99.99), "energy_joules": Spread(1e9 + 0.25, 1e9, 1e9 + 0.5)}
    )

    write(database, bucket)

    assert history(database, 0, 10) == [bucket]
    assert history(database, 0, 10, owner="n2") == []


def test_a_batch_that_is_written_again_changes_nothing(database: Database):
    write(database, a_bucket(0), a_bucket(10))
    write(database, a_bucket(0, value=77), a_bucket(10), a_bucket(20))

    assert history(database, 0, 60) == [a_bucket(0), a_bucket(10), a_bucket(20)]


def test_names_are_kept_once_for_all_rows_that_have_them(database: Database):
    write(database, *(a_bucket(at, gpu0_power_watts=60) for at in range(0, 1000, 10)), a_bucket(1000))

    with database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(sample_layouts)).scalar_one() == 2


def test_a_step_between_tiers_is_made_of_the_finer_one(database: Database):
    write(database, a_bucket(0, value=10), a_bucket(10, value=20), a_bucket(20, value=30), a_bucket(30, value=40))

    first, second = history(database, 0, 60, step=20)

    assert (first.at, first.seconds, first.samples) == (AT, 20, 20)
    assert first.counters == {"cpu_percent": Spread(15, 9, 21)}
    assert second.counters == {"cpu_percent": Spread(35, 29, 41)}


def test_what_is_not_yet_in_the_tier_comes_from_the_finer_ones(database: Database):
    write(database, a_bucket(0, 900, value=1), a_bucket(900, 60, value=2), a_bucket(960, 10, value=3))

    found = history(database, 0, 1800, step=900)

    assert [(each.at - AT, each.seconds, each.samples) for each in found] == [(0, 900, 900), (900, 900, 70)]
    assert found[1].counters["cpu_percent"].mean == pytest.approx((60 * 2 + 10 * 3) / 70)


def test_what_the_tier_no_longer_has_comes_from_the_coarser_ones(database: Database):
    write(database, a_bucket(0, 900, value=1), a_bucket(900, 60, value=2), a_bucket(960, 10, value=3))

    found = history(database, 0, 1800, step=10)

    assert [(each.at - AT, each.seconds) for each in found] == [(0, 900), (900, 60), (960, 10)]


def test_a_tier_that_begins_within_a_bucket_of_the_coarser_is_not_told_twice(database: Database):
    write(database, a_bucket(0, 900), *(a_bucket(at) for at in range(300, 900, 10)))

    assert {each.seconds for each in history(database, 0, 900, step=10)} == {10}


def test_without_a_step_there_are_never_more_than_so_many(database: Database):
    write(database, *(a_bucket(at) for at in range(0, 12_000, 10)))

    assert history(database, 0, 10_000)[0].seconds == 10
    assert history(database, 0, 10_020)[0].seconds == 60
    assert samples.step_for(0, 366 * 86400) % 900 == 0
    assert 366 * 86400 / samples.step_for(0, 366 * 86400) <= samples.MOST_POINTS


def test_each_tier_is_forgotten_at_its_age_and_in_batches(database: Database):
    now = NOON + timedelta(days=400)
    aged = {tier: int((KEPT[tier] + timedelta(hours=1)).total_seconds()) for tier in TIERS}
    age = int((now - NOON).total_seconds())
    for tier in TIERS:
        begin = (age - aged[tier]) // 900 * 900
        write(database, *(a_bucket(begin + n * tier, tier) for n in range(3)), a_bucket(age // 900 * 900, tier))

    with database.writing() as connection:
        removed = [samples.prune(connection, now=now, limit=2) for _ in range(3)]

    assert removed == [6, 3, 0]
    assert count(database) == 3


def test_a_row_of_a_node_with_eight_gpus_is_small():
    counters = {f"gpu{gpu}_counter_{n}": Spread(gpu * 11.13 + n, n, n + 100.7) for gpu in range(8) for n in range(27)}

    assert len(samples.pack("node", "n1", Bucket(AT, 10, 10, counters)).values) < 2500
