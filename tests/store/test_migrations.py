from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import BigInteger, inspect, text

from levare.decide.plan import digest_of
from levare.store import kinds, migrate, nodes, reaping, revisions, tables
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


AT = "2026-01-01"
BEFORE_REVISIONS = {
    "teams": {
        "name": "vision",
        "weight": 2.0,
        "quota": '{"gpus": 4, "borrow": true, "period_seconds": 2592000}',
        "projects": "{}",
        "users": "{}",
        "updated_at": AT,
    },
    "windows": {
        "name": "upgrade",
        "nodes": '["n1"]',
        "starts": "2026-02-01 00:00:00+00",
        "ends": "2026-02-02 00:00:00+00",
        "reason": "",
        "created_by": "ada",
        "created_at": AT,
    },
    "revisions": {"at": AT, "by": "ada", "source": "", "reason": ""},
    "changes": {"revision": 1, "kind": "schedule", "name": "nightly", "after": '{"at": "2026-03-01T00:00:00Z"}'},
    "schedules": {
        "name": "nightly",
        "definition": '{"at": "2026-03-01T00:00:00Z"}',
        "revision": 1,
        "owner": "ada",
        "changed_at": AT,
        "settled_to": AT,
        "paused_at": AT,
    },
}
"""A row of each table as the migrations before left it."""


def test_what_was_declared_before_all_of_it_had_revisions_gets_one(empty: Database):
    with empty.writing() as connection:
        command.upgrade(migrate._config(connection), "0017")
        for table, row in BEFORE_REVISIONS.items():
            names = ", ".join(f'"{name}"' for name in row)
            values = ", ".join(f"'{value}'" for value in row.values())
            connection.exec_driver_sql(f"INSERT INTO {table} ({names}) VALUES ({values})")

    migrate.upgrade(empty)

    with empty.reading() as connection:
        found, head = kinds.every(connection), revisions.read(connection)
        assert (head.revision, head.digest) == (2, digest_of(found))
        assert revisions.one(connection, 2)["digest"] == head.digest
        assert kinds.in_order(revisions.state_at(connection, 2)) == found
    assert [(each.kind, each.document) for each in found] == [
        ("team", {"weight": 2.0, "quota": {"gpus": 4}}),
        ("window", {"nodes": ["n1"], "starts": "2026-02-01T00:00:00Z", "ends": "2026-02-02T00:00:00Z"}),
        ("schedule", {"at": "2026-03-01T00:00:00Z", "paused": True}),
    ]
