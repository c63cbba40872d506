from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import BigInteger, inspect, text

from levare.store import migrate, nodes, reaping, tables
from levare.store.engine import Database
from levare.store.nodes import Owned


def differences(database: Database) -> list[object]:
    """What the database lacks or has besides the tables that the code knows."""
    with database.reading() as connection:
        return compare_metadata(MigrationContext.configure(connection), tables.metadata)


def test_the_migrations_make_exactly_the_tables_that_the_code_knows(database: Database):
    assert differences(database) == []


def test_an_upgrade_of_what_is_current_changes_nothing(database: Database):
    migrate.upgrade(database)

    assert differences(database) == []


def test_counts_of_bytes_have_room_for_terabytes(database: Database):
    with database.reading() as connection:
        columns = {column["name"]: column["type"] for column in inspect(connection).get_columns("attempts")}

    assert isinstance(columns["log_bytes"], BigInteger)
    assert isinstance(columns["metrics_offset"], BigInteger)


@pytest.fixture
def empty(database: Database) -> Database:
    """The same database without anything in it."""
    with database.writing() as connection:
        tables.metadata.drop_all(connection)
        connection.execute(text("DROP TABLE alembic_version"))
    return database


def test_a_fleet_of_the_first_tables_lives_on(empty: Database):
    with empty.writing() as connection:
        command.upgrade(migrate._config(connection), "0001")
        connection.execute(
            text(
                "INSERT INTO nodes (name, state, incarnation, boot_id, renewals, renewed_at, joined_at, cpus, "
                "memory_mib, version, labels) "
                "VALUES ('n1', 'ready', 'i1', 'b', 1, '2026-01-01', '2026-01-01', 8, 1024, '1', '{}')"
            )
        )
        connection.execute(text("INSERT INTO devices VALUES ('n1-0', 'n1', 0, 'H100', 81920, TRUE)"))

    migrate.upgrade(empty)

    with empty.reading() as connection:
        assert nodes.ownerships(connection, "n1") == {"n1-0": Owned()}
        assert reaping.orphans(connection, "n1") == []


def test_several_processes_that_migrate_at_once_do_it_once(empty: Database):
    def upgrade(_: int) -> None:
        database = Database(empty.url)
        migrate.upgrade(database)
        database.dispose()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade, range(4)))

    assert differences(empty) == []
