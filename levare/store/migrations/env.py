"""Alembic's entry: runs the migrations on the connection that `levare.store.migrate` hands over."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import JSON
from sqlmodel import AutoString

from levare.store import (  # noqa: F401 - so that the metadata knows all tables
    tables,
    tables_access,
    tables_alerts,
    tables_answers,
    tables_declared,
    tables_failures,
    tables_metrics,
    tables_news,
    tables_pins,
    tables_pools,
    tables_samples,
    tables_time,
    tables_triggers,
)
from levare.store.types import Utc


def _render(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Write our own column types by their names; leave all others to Alembic."""
    if kind != "type":
        return False
    names = {Utc: "Utc()", AutoString: "sa.String()", JSON: "Json"}
    return names.get(type(item), False)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.metadata,
    render_item=_render,
    render_as_batch=True,
    transactional_ddl=False,  # the transaction is the caller's
)
context.run_migrations()
