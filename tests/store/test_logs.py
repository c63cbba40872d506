from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, update

from levare.store import logs, shipping, tables
from levare.store.engine import Database

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ATTEMPT = "job-1"

Ship = Callable[..., None]


@pytest.fixture
def ship(database: Database, add_job: Callable[..., str]) -> Ship:
    """Replace the log: pieces at their offsets, the size, whether the attempt is over."""
    add_job()
    empty = {"job_id": "job", "number": 1, "state": "running", "node": "n1", "queue": "cpu.n1", "devices": {}}
    amounts = dict.fromkeys(("memory_mib", "log_bytes", "metrics_offset", "points", "points_dropped"), 0)
    row = {"id": ATTEMPT, "cpus": 1, "placed_at": NOON, "settled": False} | empty | amounts
    with database.writing() as connection:
        connection.execute(insert(tables.attempts), row)

    def ship(*pieces: tuple[int, bytes], size: int | None = None, state: str = "running") -> None:
        end = max((offset + len(data) for offset, data in pieces), default=0)
        with database.writing() as connection:
            connection.execute(delete(tables.logs))
            shipping.append_log(connection, ATTEMPT, pieces, size=end if size is None else size)
            connection.execute(update(tables.attempts).values(state=state))

    return ship


def read(database: Database, offset: int = 0, limit: int = 1 << 20) -> logs.Stretch:
    with database.reading() as connection:
        return logs.read(connection, ATTEMPT, offset=offset, limit=limit)


def whole(database: Database) -> bytes:
    return b"".join(logs.whole(database, ATTEMPT))


def test_pieces_that_touch_are_one_run(ship: Ship, database: Database):
    ship((0, b"abc"), (3, b"def"))

    stretch = read(database)

    assert (stretch.offset, stretch.data, stretch.cut_from, stretch.next_offset) == (0, b"abcdef", None, 6)


def test_a_read_is_exact_and_bounded(ship: Ship, database: Database):
    ship((0, b"abc"), (3, b"def"))

    assert read(database, 2, 3).data == b"cde"
    assert read(database, -2).data == b"ef"
    assert read(database, -100).data == b"abcdef"


def test_no_read_goes_across_a_cut(ship: Ship, database: Database):
    ship((0, b"head"), (100, b"tail"))

    assert read(database).data == b"head"
    after = read(database, 4)
    assert (after.offset, after.data, after.cut_from) == (100, b"tail", 4)


def test_inside_a_cut_comes_what_follows_it(ship: Ship, database: Database):
    ship((0, b"head"), (100, b"tail"))

    after = read(database, 50)

    assert (after.offset, after.data, after.cut_from) == (100, b"tail", 4)


def test_behind_a_cut_nothing_is_said_of_it(ship: Ship, database: Database):
    ship((0, b"head"), (100, b"tail"))

    assert read(database, 101).cut_from is None


def test_a_log_is_over_only_with_its_attempt(ship: Ship, database: Database):
    ship((0, b"abc"))
    assert not read(database).is_last
    assert not read(database, 3).is_last

    ship((0, b"abc"), state="succeeded")
    assert read(database).is_last
    assert not read(database, 0, 2).is_last
    assert read(database, 3).is_last


def test_an_end_that_never_arrived_is_a_cut(ship: Ship, database: Database):
    ship((0, b"abc"), size=10, state="lost")

    end = read(database, 3)

    assert not read(database).is_last
    assert (end.offset, end.data, end.cut_from, end.is_last) == (10, b"", 3, True)
    assert whole(database) == b"abc\n[levare: 7 bytes cut]\n"


def test_what_is_still_to_come_is_no_cut(ship: Ship, database: Database):
    ship((0, b"abc"), size=10)

    ahead = read(database, 3)

    assert (ahead.offset, ahead.data, ahead.cut_from) == (3, b"", None)
    assert whole(database) == b"abc"


def test_the_whole_log_says_how_much_is_cut(ship: Ship, database: Database):
    ship((0, b"head"), (100, b"tail"), state="failed")

    assert whole(database) == b"head\n[levare: 96 bytes cut]\ntail"


def test_a_log_of_many_small_pieces_is_read_whole(ship: Ship, database: Database):
    ship(*((3 * i, b"%03d" % (i % 1000)) for i in range(500)), state="failed")

    assert whole(database) == b"".join(b"%03d" % (i % 1000) for i in range(500))
    assert read(database).is_last


def test_an_empty_log_is_empty(ship: Ship, database: Database):
    ship()

    assert whole(database) == b""
    assert read(database, -10).data == b""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_reading_on_and_on_gives_every_kept_byte_once(ship: Ship, database: Database, data: st.DataObject):
    written = data.draw(st.binary(max_size=200))
    bounds = sorted(data.draw(st.sets(st.integers(0, len(written)), max_size=12)) | {0, len(written)})
    spans = [(a, b) for a, b in pairwise(bounds) if data.draw(st.booleans())]
    limit = data.draw(st.integers(1, 50))
    ship(*((a, written[a:b]) for a, b in spans), size=len(written), state="failed")

    seen, place, is_last = {}, 0, False
    while not is_last:
        stretch = read(database, place, limit)
        assert stretch.offset >= place
        assert len(stretch.data) <= limit
        assert (stretch.cut_from is not None) == (stretch.offset > place), "each jump is told, and nothing else"
        seen |= {stretch.offset + i: byte for i, byte in enumerate(stretch.data)}
        place, is_last = stretch.next_offset, stretch.is_last

    assert seen == {i: written[i] for a, b in spans for i in range(a, b)}
    assert place == len(written)
