"""Insert a row, or change the one that has its key: one statement for SQLite, one for PostgreSQL, built once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

_INSERTS: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


@dataclass(frozen=True)
class Upsert:
    """Dialect -> statement."""

    statements: Mapping[str, Any]

    def run(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            connection.execute(self.statements[connection.dialect.name], rows)


def upsert(table: Table, *, adding: Sequence[str] = (), replacing: Sequence[str] = ()) -> Upsert:
    """
    Of a row whose primary key is there already, the columns `adding` grow and the columns `replacing` are replaced.

    Without either it stays as it is.
    """
    return Upsert(
        {dialect: _statement(insert(table), table, adding, replacing) for dialect, insert in _INSERTS.items()}
    )


def _statement(new: Any, table: Table, adding: Sequence[str], replacing: Sequence[str]) -> Any:
    keys = list(table.primary_key.columns)
    if not adding and not replacing:
        return new.on_conflict_do_nothing(index_elements=keys)
    sums = {name: table.c[name] + new.excluded[name] for name in adding}
    return new.on_conflict_do_update(index_elements=keys, set_=sums | {name: new.excluded[name] for name in replacing})
