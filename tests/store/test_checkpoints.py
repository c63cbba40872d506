"""SQLite's checkpoints: what is written comes into the database without keeping whoever writes."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from levare.store import checkpoints
from levare.store.engine import Database
from tests.fleet import eventually

WORD = "x" * 2000


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setattr(checkpoints, "AFTER_SECONDS", 0.05)
    database = Database(f"sqlite:///{tmp_path / 'levare.db'}")
    with database.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE words (word TEXT)")
    yield database
    database.dispose()


def write(database: Database) -> None:
    with database.writing() as connection:
        connection.exec_driver_sql("INSERT INTO words VALUES (?)", (WORD,))


def moved(tmp_path: Path) -> int:
    """How many rows the database has without its WAL."""
    connection = sqlite3.connect(f"{(tmp_path / 'levare.db').as_uri()}?immutable=1", uri=True)
    try:
        return connection.execute("SELECT count(*) FROM words").fetchone()[0]
    except sqlite3.DatabaseError:  # it is being written just now
        return 0
    finally:
        connection.close()


def test_what_was_written_is_moved_though_nobody_writes_any_more(database: Database, tmp_path: Path):
    for _ in range(20):
        write(database)

    eventually(lambda: moved(tmp_path) == 20, within=60)


def test_what_is_written_beside_a_checkpoint_is_not_lost_and_the_wal_ends(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(checkpoints, "LONG_PAGES", 50)
    has_begun_anew, written = Event(), list[int]()
    wal = tmp_path / "levare.db-wal"
    first = wal.read_bytes()[16:24]

    def go_on() -> None:
        while not has_begun_anew.is_set():
            write(database)
            written.append(1)

    writers = [Thread(target=go_on) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:  # its salt changes when it begins anew, which it can only when all of it has been moved
        eventually(lambda: wal.read_bytes()[16:24] != first, within=60)
    finally:
        has_begun_anew.set()
        for writer in writers:
            writer.join()

    with database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM words").scalar_one() == len(written) > 0
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
