"""Bring a database to the present schema. Safe to run by several processes at once, and while a fleet runs."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from levare.store.engine import Database

_ADVISORY_LOCK = 0x6C65766172  # "levar": one migration at a time on PostgreSQL


def upgrade(database: Database) -> None:
    """Apply every migration that is missing, in one transaction."""
    with database.writing() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        command.upgrade(_config(connection), "head")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_folder()))
    config.attributes["connection"] = connection
    return config


def _folder() -> Path:
    return Path(__file__).with_name("migrations")
