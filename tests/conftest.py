"""Real parts for every test: a migrated SQLite and a real PostgreSQL, each empty for each test."""

import shutil
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from uuid import uuid4

import hypothesis
import psycopg
import pytest
from psycopg import sql

from levare.store.engine import Database
from tests import postgresql

BACKENDS = ("sqlite", "postgresql")


def pytest_configure() -> None:
    """
    No example has a deadline, for machines are shared.

    A shell that runs us in the background has SIGINT ignored, and so would have all that we start.
    """
    hypothesis.settings.register_profile("levare", deadline=None)
    hypothesis.settings.load_profile("levare")
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a real PostgreSQL server that lives as long as the tests."""
    with postgresql.served() as url:
        _make_careless(url)
        yield url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_server: str) -> str:
    _create(postgresql_server, "migrated")
    _migrate(_database(postgresql_server, "migrated"))
    return "migrated"


@pytest.fixture(scope="session")
def make_database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """From a backend's name to the URL of a new, migrated, empty database."""

    def make(backend: str) -> str:
        if backend == "sqlite":
            path = tmp_path_factory.mktemp("database") / "levare.db"
            shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
            return f"sqlite:///{path}"
        server, name = request.getfixturevalue("postgresql_server"), f"t{uuid4().hex}"
        _create(server, name, template=request.getfixturevalue("migrated_postgresql"))
        return _database(server, name)

    return make


@pytest.fixture(scope="session")
def empty_databases(make_database_url: Callable[[str], str]) -> Callable[[], AbstractContextManager[str]]:
    """Databases of PostgreSQL, each lent again once it is emptied: to make and to remove hundreds takes minutes."""
    spare: list[str] = []
    tables: set[str] = set()

    @contextmanager
    def lend() -> Iterator[str]:
        url = spare.pop() if spare else make_database_url("postgresql")
        tables.update(tables or _tables_of(url))
        yield url
        if _tables_of(url) == tables:
            _empty(url, tables - {"alembic_version"})
            spare.append(url)

    return lend


@pytest.fixture(params=BACKENDS)
def database_url(request: pytest.FixtureRequest, make_database_url: Callable[[str], str]) -> Iterator[str]:
    """A migrated, empty database; each test that asks for it runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        yield make_database_url("sqlite")
    else:
        with request.getfixturevalue("empty_databases")() as url:
            yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.dispose()


def _migrate(url: str) -> None:
    from levare.store import migrate  # a tenth of a second that most files never need

    database = Database(url)
    migrate.upgrade(database)
    database.dispose()


def _make_careless(server: str) -> None:
    """What the tests keep in it need not outlive the machine."""
    with psycopg.connect(server, autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
        connection.execute("SELECT pg_reload_conf()")


def _create(server: str, name: str, template: str = "template1") -> None:
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)


def _tables_of(url: str) -> set[str]:
    with psycopg.connect(url.replace("+psycopg", "", 1)) as connection:
        return {name for (name,) in connection.execute(_TABLES)}


def _empty(url: str, tables: Iterable[str]) -> None:
    """Remove every row, whoever has left a connection open."""
    with psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True) as connection:
        connection.execute(_LET_GO)
        has_rows = [sql.SQL(_IF_ANY).format(sql.Literal(name), sql.Identifier(name)) for name in sorted(tables)]
        found = [sql.Identifier(name) for (name,) in connection.execute(sql.SQL(" UNION ALL ").join(has_rows))]
        if found:
            connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(sql.SQL(", ").join(found)))


_TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
_IF_ANY = "SELECT {} WHERE EXISTS (SELECT FROM {})"
_LET_GO = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def _database(server: str, name: str) -> str:
    """The URL of another database on the same server."""
    base, _, query = server.partition("?")
    return f"{base.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")
